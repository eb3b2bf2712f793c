import { expect, it } from "vitest";
import { readExit } from "./report.ts";

it.each([
  ["an exit code", { code: 3, signal: undefined, report: "" }, { how: "code", code: 3 }],
  ["a signal", { code: undefined, signal: "SIGKILL", report: "" }, { how: "signal", signal: "SIGKILL" }],
  ["an exit that nobody waited for", undefined, { how: "unknown" }],
  [
    "a kill for lack of memory",
    { code: undefined, signal: "SIGKILL", report: "", oomKilled: true },
    { how: "memory", limit: undefined, peak: undefined },
  ],
  [
    "an exit code after a child was killed for lack of memory",
    { code: 137, signal: undefined, report: "", oomKilled: true },
    { how: "code", code: 137, cause: "memory" },
  ],
  [
    "another signal after a child was killed for lack of memory",
    { code: undefined, signal: "SIGTERM", report: "", oomKilled: true },
    { how: "signal", signal: "SIGTERM" },
  ],
  [
    "a stage that could not enter the directory",
    { code: 111, signal: undefined, report: "/srv/x: not a directory\nentering /srv/x\n" },
    { how: "launch", stage: "entering /srv/x", reason: "not a directory" },
  ],
  [
    "a stage that could not join the cgroup",
    {
      code: 111,
      signal: undefined,
      report: "dmhost-launch: 2: cannot create /x/cgroup.procs: Permission denied\njoining cgroup\n",
    },
    { how: "launch", stage: "joining cgroup", reason: "permission denied" },
  ],
  [
    "a limit on descriptors that is too low for the shell",
    {
      code: 127,
      signal: undefined,
      report: "/bin/sh: error while loading shared libraries: libc.so.6: cannot open shared object file: Error 24\n",
    },
    { how: "launch", stage: "starting within limit-nofile", reason: "error 24" },
  ],
  [
    "a memory limit that is too low for the shell",
    { code: 127, signal: undefined, report: "cannot allocate TLS data structures for initial thread\n" },
    {
      how: "launch",
      stage: "starting within its memory limits",
      reason: "cannot allocate TLS data structures for initial thread",
    },
  ],
  [
    "a failure of prlimit",
    {
      code: 1,
      signal: undefined,
      report: "prlimit: failed to set the NOFILE resource limit: Operation not permitted\n",
    },
    {
      how: "launch",
      stage: "setting limits",
      reason: "failed to set the NOFILE resource limit: operation not permitted",
    },
  ],
  [
    "a missing shell in the jail",
    { code: 1, signal: undefined, report: "execve '/bin/sh' failed!\n" },
    {
      how: "launch",
      stage: "running the shell within the jail",
      reason: "program not found or not executable: /bin/sh",
    },
  ],
  [
    "a file of a variable, whose name keeps its capitals",
    {
      code: 111,
      signal: undefined,
      report: "/home/amy/env/NAME: Permission denied\nreading env-dir /home/amy/env/NAME\n",
    },
    { how: "launch", stage: "reading env-dir /home/amy/env/NAME", reason: "permission denied" },
  ],
  [
    "a failure of renice",
    {
      code: 111,
      signal: undefined,
      report: "renice: failed to set priority for 7 (process ID): Permission denied\nsetting nice -5\n",
    },
    { how: "launch", stage: "setting nice -5", reason: "permission denied" },
  ],
  [
    "a failure of setpriv",
    { code: 127, signal: undefined, report: "setpriv: setresuid failed: Operation not permitted\n" },
    { how: "launch", stage: "becoming the account", reason: "operation not permitted" },
  ],
])("readExit reads %s", (_name, raw, expected) => {
  expect(readExit(raw && { oomKilled: false, ...raw })).toEqual(expected);
});
