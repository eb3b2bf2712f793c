/** Time as web/ needs it. */
export interface SiteClock {
  /** In ms, from an arbitrary moment on; never goes back. */
  now(): number;
  /** Calls `then` after `delay` ms unless the function returned is called first. */
  after(delay: number, then: () => void): () => void;
}
