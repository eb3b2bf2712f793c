/** Whether this process may act as other accounts; if not, its own is the only tenant. */
export const privileged = process.geteuid?.() === 0;
