/** Time, and chance. */
export interface Clock {
  /** Milliseconds of a clock that never goes back and continues when the supervisor is replaced. */
  now(): number;
  /** From [0, 1). */
  random(): number;
  /** Calls `then` after `delay` ms unless the returned function is called first. */
  after(delay: number, then: () => void): () => void;
}
