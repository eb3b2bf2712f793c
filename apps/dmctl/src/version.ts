/** dmctl's own version: that of its package.json, which the shipped program does not carry. */
export const VERSION = "0.1.0";
