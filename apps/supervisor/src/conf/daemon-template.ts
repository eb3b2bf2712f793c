/** Template of a new conf file, for `dmctl edit`: comments to fill in. */
import { DAEMON_KEYS } from "./daemon-keys.ts";

/** Keys with an example in the template, in this order. */
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
  const required = known?.default === undefined ? " Required." : "";
  return `# ${known?.doc ?? ""}${required}\n#${line}\n`;
};

/** Text of a conf file that does not exist yet; unchanged, it defines no daemon. */
export const daemonTemplate = (id: string): string =>
  [
    `# ${id}: a new daemon. No file is written while this text is unchanged or empty.\n` +
      "# Every key: daemon.conf(5).\n",
    ...EXAMPLES.map(example),
  ].join("\n");
