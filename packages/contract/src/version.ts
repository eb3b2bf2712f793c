/** Version of dmhost: that of package.json, which a shipped program does not carry. */
export const VERSION = "0.1.0";

/** Version of the control API; the first segment of every path. */
export const API_VERSION = "v1";
