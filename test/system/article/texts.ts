/** The texts of the article about Daemon Manager, with its absolute paths put elsewhere. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The article's [runs_as] and [manages]. */
export const POLICY = readFileSync(join(import.meta.dirname, "daemon-manager.conf"), "utf8");

/** What `dmctl status` printed for david. */
export const STATUS = readFileSync(join(import.meta.dirname, "status.txt"), "utf8");

/** The lines of one of the article's daemon files; its directory is `dir` instead. */
export const confLines = (name: "deluged" | "wordpress" | "greenfelt", dir: string): string[] =>
  readFileSync(join(import.meta.dirname, `${name}.conf`), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => (line.startsWith("dir=") ? `dir=${dir}` : line));

const COLUMNS = { daemon: [0, 31], state: [31, 44], pid: [44, 53], uptime: [71, 80], total: [80, 89] } as const;

/**
 * A line of the status table in which what differs from one moment to the next (the pid, and the durations of what runs)
 * is stars. Throws where one of them is not a number or a duration, on the right of its column.
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
