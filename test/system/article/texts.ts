/** Files of the article about Daemon Manager, with its absolute paths replaced. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The article's [runs_as] and [manages]. */
export const POLICY = readFileSync(join(import.meta.dirname, "daemon-manager.conf"), "utf8");

/** Output of `dmctl status` for david. */
export const STATUS = readFileSync(join(import.meta.dirname, "status.txt"), "utf8");

/** Lines of one of the article's conf files, with `dir` as its directory. */
export const confLines = (name: "deluged" | "wordpress" | "greenfelt", dir: string): string[] =>
  readFileSync(join(import.meta.dirname, `${name}.conf`), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => (line.startsWith("dir=") ? `dir=${dir}` : line));

const COLUMNS = { daemon: [0, 31], state: [31, 44], pid: [44, 53], uptime: [71, 80], total: [80, 89] } as const;

/**
 * Returns a line of the status table with stars in place of the pid and of the durations of a running daemon. Throws if one
 * of them is not a number or a duration, right-aligned in its column.
 */
export const timeless = (line: string): string => {
  const cell = (column: keyof typeof COLUMNS): string => line.slice(...COLUMNS[column]);
  if (cell("state").trim() !== "running") return line;
  const stars = (column: keyof typeof COLUMNS, shape: RegExp): string => {
    if (!shape.test(cell(column))) throw new Error(`column ${column} is ${JSON.stringify(cell(column))}: ${line}`);
    return "*".repeat(cell(column).length);
  };
  const duration = /^ +(\d+[wdhms]){1,2}$/;
  const [pid, uptime, total] = [stars("pid", /^ +[1-9]\d*$/), stars("uptime", duration), stars("total", duration)];
  return `${line.slice(0, 44)}${pid}${line.slice(53, 71)}${uptime}${total}${line.slice(89)}`;
};
