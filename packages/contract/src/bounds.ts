/** Upper bounds of one request. */

/** Longest text of a conf file, in bytes of UTF-8. */
export const LONGEST_CONF_FILE = 65_536;

/** Instances that one daemon may have. */
export const MOST_INSTANCES = 64;

/** Lines of a log that one request may start with. */
export const MOST_LOG_LINES = 10_000_000;

/** Longest address in a path, in characters as encoded. */
export const LONGEST_ADDRESS = 300;

/** Latest time that a Date can hold, in ms since 1970. */
export const LATEST_TIME = 8_640_000_000_000_000;
