/** Whether this process can act as other accounts; if not, its own account is the only tenant. */
export const privileged = process.geteuid?.() === 0;
