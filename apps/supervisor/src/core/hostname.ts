/** Names of sites: what may stand in `host=` and in [hosts]. */

declare const checked: unique symbol;

/** A fully qualified host name in lower case: at least two labels (RFC 1123, 2.1), at most LONGEST_HOSTNAME characters. */
export type Hostname = string & { readonly [checked]: "hostname" };

/** What a line of [hosts] grants: one name, or every name below one. */
export interface HostPattern {
  readonly name: string;
  /** `*.name`: the names below `name`, however many labels they have more, and not `name` itself. */
  readonly below: boolean;
}

/**
 * DNS has names of 253 characters. But a site's logs are called by its host, the oldest one HOST.access.log.4, and no file
 * has a name of more than 255 bytes.
 */
export const LONGEST_HOSTNAME = 242;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

const isName = (text: string, fewest: number): boolean => {
  const labels = text.split(".");
  return (
    text.length <= LONGEST_HOSTNAME &&
    labels.length >= fewest &&
    labels.every((label) => LABEL.test(label)) &&
    // All digits at the end: an address.
    !/^\d+$/.test(labels.at(-1) ?? "")
  );
};

/** Only what is ASCII already: `K` (U+212A) would become a plain k. */
const lowered = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

/** The host name that a text stands for, capital letters or not; undefined where it is none. */
export const hostname = (text: string): Hostname | undefined => {
  const name = lowered(text);
  return isName(name, 2) ? (name as Hostname) : undefined;
};

/** What an entry of [hosts] stands for: a host name, or `*.` and a name; undefined where it is neither. */
export const hostPattern = (text: string): HostPattern | undefined => {
  const below = text.startsWith("*.");
  const name = lowered(below ? text.slice(2) : text);
  // With the shortest label below it the name must still be one.
  const fits = below ? isName(name, 1) && name.length + 2 <= LONGEST_HOSTNAME : isName(name, 2);
  return fits ? { name, below } : undefined;
};

/** As it is written in the policy. */
export const describePattern = ({ name, below }: HostPattern): string => (below ? `*.${name}` : name);

/** Whether a pattern grants a host. */
export const covers = ({ name, below }: HostPattern, host: Hostname): boolean =>
  below ? host.endsWith(`.${name}`) : host === name;
