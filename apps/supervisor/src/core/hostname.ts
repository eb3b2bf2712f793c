/** Host names, as in `host=` and in [hosts]. */

declare const checked: unique symbol;

/** A fully qualified host name in lower case: at least two labels (RFC 1123, 2.1), at most LONGEST_HOSTNAME characters. */
export type Hostname = string & { readonly [checked]: "hostname" };

/** A grant of [hosts]: one name, or every name below one. */
export interface HostPattern {
  readonly name: string;
  /** `*.name`: names below `name` at any depth, without `name` itself. */
  readonly below: boolean;
}

/**
 * DNS allows 253 characters. But a site's logs are named after its host, the oldest HOST.access.log.4, and a file name has
 * at most 255 bytes.
 */
export const LONGEST_HOSTNAME = 242;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

const isName = (text: string, fewest: number): boolean => {
  const labels = text.split(".");
  return (
    text.length <= LONGEST_HOSTNAME &&
    labels.length >= fewest &&
    labels.every((label) => LABEL.test(label)) &&
    // A last label of digits is an address.
    !/^\d+$/.test(labels.at(-1) ?? "")
  );
};

/** ASCII only: `K` (U+212A) would become a plain k. */
const lowered = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

/** Parses a host name in upper or lower case; undefined where it is invalid. */
export const hostname = (text: string): Hostname | undefined => {
  const name = lowered(text);
  return isName(name, 2) ? (name as Hostname) : undefined;
};

/** Parses an entry of [hosts]: a host name, or `*.` and a name; undefined where it is neither. */
export const hostPattern = (text: string): HostPattern | undefined => {
  const below = text.startsWith("*.");
  const name = lowered(below ? text.slice(2) : text);
  // The name must leave room for the shortest label below it.
  const fits = below ? isName(name, 1) && name.length + 2 <= LONGEST_HOSTNAME : isName(name, 2);
  return fits ? { name, below } : undefined;
};

/** As written in the policy. */
export const describePattern = ({ name, below }: HostPattern): string => (below ? `*.${name}` : name);

/** Whether a pattern grants a host. */
export const covers = ({ name, below }: HostPattern, host: Hostname): boolean =>
  below ? host.endsWith(`.${name}`) : host === name;
