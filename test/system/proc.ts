/** Reads processes in /proc: ids, environment, descriptors, limits, CPU time. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const read = (pid: number, file: string): string => readFileSync(`/proc/${pid}/${file}`, "latin1");

/** Lines of /proc/PID/status by their names. */
export const statusOf = (pid: number): ReadonlyMap<string, string> =>
  new Map(
    read(pid, "status")
      .split("\n")
      .map((line) => line.split(":\t"))
      .map(([name = "", value = ""]) => [name, value.trim()]),
  );

/** Numbers of a status line, in ascending order. */
export const numbersOf = (pid: number, line: "Uid" | "Gid" | "Groups"): number[] =>
  (statusOf(pid).get(line) ?? "")
    .split(/\s+/)
    .filter((word) => word !== "")
    .map(Number)
    .sort((a, b) => a - b);

/** Environment with which a process was exec'd. */
export const environmentOf = (pid: number): Record<string, string> =>
  Object.fromEntries(
    read(pid, "environ")
      .split("\0")
      .filter((entry) => entry !== "")
      .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );

/** Arguments of a process; none once it has ended. */
export const argumentsOf = (pid: number): string[] => {
  try {
    return read(pid, "cmdline").split("\0").slice(0, -1);
  } catch {
    return [];
  }
};

/** Name of a process in the kernel (comm); "" once it has ended. */
export const nameOf = (pid: number): string => {
  try {
    return read(pid, "comm").trimEnd();
  } catch {
    return "";
  }
};

/** What `read` gives for each open descriptor of a process, without those that it closes meanwhile. */
const eachDescriptor = <T>(pid: number, read: (fd: string) => T): [number, T][] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd): [number, T][] => {
    try {
      return [[Number(fd), read(fd)]];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  });

/** Open descriptors of a process and the files behind them. */
export const descriptorsOf = (pid: number): ReadonlyMap<number, string> =>
  new Map(eachDescriptor(pid, (fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)));

/** Descriptors of a process that stay open across execve: those without O_CLOEXEC. */
export const inheritableOf = (pid: number): number[] =>
  eachDescriptor(pid, (fd) => read(pid, `fdinfo/${fd}`))
    .filter(([, info]) => !/^flags:\s*0?[2-7]\d{6}$/m.test(info))
    .map(([fd]) => fd);

/** Fields of /proc/PID/stat from the third on: state, parent, group, session ... */
const statOf = (pid: number): string[] => {
  const text = read(pid, "stat");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
};

/** Session id of a process. */
export const sessionOf = (pid: number): number => Number(statOf(pid)[3]);

/** Nice value of a process. */
export const niceOf = (pid: number): number => Number(statOf(pid)[16]);

/** Rlimits of a process by the kernel's names (`Max open files`), each `SOFT HARD`. */
export const limitsOf = (pid: number): Record<string, string> =>
  Object.fromEntries(
    read(pid, "limits")
      .split("\n")
      .slice(1, -1)
      .map((line) => [line.slice(0, 26).trim(), line.slice(26).trim().split(/\s+/).slice(0, 2).join(" ")]),
  );

/** Start time of a process, in ticks after boot. */
export const startTimeOf = (pid: number): number => Number(statOf(pid)[19]);

/** CPU time of a process so far, in the kernel's ticks. */
export const ticksOf = (pid: number): number => Number(statOf(pid)[11]) + Number(statOf(pid)[12]);

/** Bytes that a process and its former children have read so far, of whatever. */
export const bytesReadBy = (pid: number): number => Number(/^rchar: (\d+)$/m.exec(read(pid, "io"))?.[1]);

/** How often a process has waited so far, for whatever. */
export const waitsOf = (pid: number): number => Number(statusOf(pid).get("voluntary_ctxt_switches"));

/** Whether a process runs; a zombie does not. */
export const isRunning = (pid: number): boolean => {
  try {
    return pid > 1 && !/^[ZX]/.test(statOf(pid)[0] ?? "Z");
  } catch {
    return false;
  }
};

/** Pids of all processes. */
export const allProcesses = (): number[] =>
  readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);

/** Kills a process if it still exists. */
export const kill = (pid: number): void => {
  // 0 is the group of the tests themselves.
  if (!(pid > 1)) throw new Error(`no process has the pid ${pid}`);
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // The process has ended.
  }
};

const belongsTo = (pid: number, uid: number): boolean => {
  try {
    return statusOf(pid).get("Uid")?.split(/\s+/)[0] === String(uid);
  } catch {
    return false;
  }
};

/** Pids of the running processes of an account. */
export const processesOf = (uid: number): number[] =>
  allProcesses().filter((pid) => isRunning(pid) && belongsTo(pid, uid));

/** Whether an account has processes, including zombies. */
export const hasProcesses = (uid: number): boolean => allProcesses().some((pid) => belongsTo(pid, uid));

/** Pids of a process's children, including zombies; none once it has ended. */
export const childrenOf = (pid: number): number[] => {
  try {
    return read(pid, `task/${pid}/children`)
      .split(" ")
      .filter((word) => word !== "")
      .map(Number);
  } catch {
    return [];
  }
};
