/** Whether a run has taken a connection, told from its held socket before and after: nobody sits between the two. */

/** What can be seen of a listening socket from outside at one moment. */
export interface SocketEvidence {
  /** Inodes of the clients that wait to be accepted, first come first; undefined where the kernel does not say. */
  readonly waiting: readonly number[] | undefined;
  /** Whether anybody has connected since the socket was last marked. */
  readonly touched: boolean;
}

/**
 * True when at least one client was accepted between `before` and `after`. Clients leave the queue in their order, so
 * the first that waited before is the first to be taken; one who came later was taken if somebody came and nobody waits.
 * A queue that was empty before and is not now tells nothing: then the run is given the benefit of the doubt, which it
 * has once, for the next run starts with that queue.
 */
export const tookConnection = (before: SocketEvidence, after: SocketEvidence): boolean => {
  const first = before.waiting?.[0];
  if (first !== undefined && after.waiting !== undefined) return !after.waiting.includes(first);
  return after.touched;
};
