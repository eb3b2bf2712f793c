/** What a daemon's file begins as: enough of it to fill in, all of it comments. */
import { DAEMON_KEYS } from "./daemon-keys.ts";

/** The keys of which a new file shows an example, in this order. */
const EXAMPLES: readonly { readonly key: string; readonly line: string }[] = [
  { key: "start", line: "start = exec php-cgi -q" },
  { key: "dir", line: "dir = ~/site" },
  { key: "output", line: "output = log" },
  { key: "listen", line: "listen = fastcgi" },
  { key: "autostart", line: "autostart = no" },
  { key: "export", line: "export APP_ENV = production" },
];

const example = ({ key, line }: (typeof EXAMPLES)[number]): string => {
  const known = DAEMON_KEYS.find((entry) => entry.key === key);
  const otherwise = known?.default === undefined ? " It must be given." : "";
  return `# ${known?.doc ?? ""}${otherwise}\n#${line}\n`;
};

/** The text of a file that does not exist yet; by itself it defines no daemon. */
export const daemonTemplate = (id: string): string =>
  [
    `# ${id}: a new daemon. No file is made while this text is as it is, or empty.\n` +
      "# Every key: daemon.conf(5).\n",
    ...EXAMPLES.map(example),
  ].join("\n");
