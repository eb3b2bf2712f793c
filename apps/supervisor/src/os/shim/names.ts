/** Names of what the shim has. Names of owners and daemons contain neither `/` nor `:`. */
import type { DaemonKey, InstanceKey } from "../../core/daemon-key.ts";

/** `owner/name`: also the name of a daemon's socket. */
export const daemonName = ({
  owner,
  name,
}: {
  readonly owner: Pick<DaemonKey["owner"], "name">;
  readonly name: string;
}): string => `${owner.name}/${name}`;

export const runName = (key: InstanceKey, run: number): string => `${daemonName(key)}:${key.instance}:${run}`;

/** The program that follows a run of an instance. */
export const finishName = (key: InstanceKey, run: number): string => `${runName(key, run)}:finish`;

/** One of the FIFOs for a daemon's log: while one is being closed, the next may be open. */
export const fifoName = (daemon: string, number: number): string => `${daemon}:fifo:${number}`;

/** One of the loggers that read a FIFO one after another. */
export const loggerName = (fifo: string, number: number): string => `${fifo}:log:${number}`;

/** Standard error of a FIFO's loggers. */
export const loggerErrors = (fifo: string): string => `${fifo}:errors`;

/** The FIFO whose loggers have this standard error. */
export const fifoOfErrors = (name: string): string => name.replace(/:errors$/, "");

/** The daemon, instance and number of a run; undefined for a name of anything else. */
export const readRunName = (
  name: string,
): { readonly daemon: string; readonly instance: number; readonly run: number } | undefined => {
  const [, daemon = "", instance, run] = /^([^:]+):(\d+):(\d+)$/.exec(name) ?? [];
  return daemon === "" ? undefined : { daemon, instance: Number(instance), run: Number(run) };
};

/** The name, or the cgroup, of the run after one of an instance. */
export const nextRunName = (name: string): string => name.replace(/\d+$/, (number) => String(Number(number) + 1));

/** The FIFO that a logger reads; undefined for a name of anything else. */
export const fifoOfLogger = (name: string): string | undefined => /^(.*):log:\d+$/.exec(name)?.[1];

/** The daemon and number of a FIFO; undefined for a name of anything else. */
export const readFifoName = (name: string): { readonly daemon: string; readonly number: number } | undefined => {
  const [, daemon = "", number] = /^([^:]+):fifo:(\d+)$/.exec(name) ?? [];
  return daemon === "" ? undefined : { daemon, number: Number(number) };
};

/** The number of a FIFO's logger; undefined for a name of anything else. */
export const readLoggerName = (fifo: string, name: string): number | undefined => {
  const prefix = `${fifo}:log:`;
  return name.startsWith(prefix) ? Number(name.slice(prefix.length)) : undefined;
};
