/** Whether a run has accepted a connection, derived from its held socket before and after the run. */

/** A listening socket as seen from outside at one moment. */
export interface SocketEvidence {
  /** Inodes of the clients that wait to be accepted, first come first; undefined where the kernel does not tell. */
  readonly waiting: readonly number[] | undefined;
  /** Whether the accept queue holds a client, also one that has left; false where the kernel does not tell. */
  readonly queued: boolean;
  /** Whether a client has connected since the socket was last marked. */
  readonly touched: boolean;
}

/**
 * True when at least one client was accepted between `before` and `after`. Clients leave the queue in their order, so
 * the first that waited before is accepted first; a later one was accepted if a client came and none waits now. A queue
 * that was empty before and is not now proves nothing: then the run counts as having accepted one. That happens at most
 * once, because the next run starts with that queue.
 */
export const tookConnection = (before: SocketEvidence, after: SocketEvidence): boolean => {
  const first = before.waiting?.[0];
  if (first !== undefined && after.waiting !== undefined) return !after.waiting.includes(first);
  return after.touched;
};
