/** Time, and chance. */
export interface Clock {
  /** Milliseconds of a clock that never goes back and continues when the supervisor is replaced. */
  now(): number;
  /** Milliseconds of processor time that the supervisor has used. */
  used(): number;
  /** From [0, 1). */
  random(): number;
  /** Calls `then` after `delay` ms, and after all events that came before, unless the returned function is called first. */
  after(delay: number, then: () => void): () => void;
}
