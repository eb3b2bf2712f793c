import { describe, expect, it } from "vitest";
import { DEFAULTS } from "../core/definition.ts";
import { parseDaemonFile } from "./daemon-file.ts";
import { DAEMON_KEYS } from "./daemon-keys.ts";

const M = 1024 ** 2;
const both = (amount: number | "unlimited") => ({ soft: amount, hard: amount });

const read = (key: string, text: string) => parseDaemonFile(`start=x\n${key}=${text}`);
const quoted = (text: string): string => {
  if (text === "") return "nothing";
  return text.length > 60 ? `"${text.slice(0, 60)}..."` : `"${text}"`;
};

const PATH = 'an absolute path, "~", or one that begins with "~/"';
const ACCOUNT = "the name of an account, which begins with a letter or _ and is no number";
const MEMORY = "a size of at least 1 MiB, such as 8M or 1.5 MiB";
const LIMIT = "or unlimited, or SOFT:HARD of these with SOFT not above HARD";
const PATTERNS =
  'at most 32 patterns such as "-* +*fatal:*", each of at most 200 characters, with + or - before it, quoted where it has blanks, and with an ASCII character after a *';

describe("the value of a key", () => {
  it.each<[key: string, text: string, fields: object]>([
    ["dir", "~/a b#c/ # d", { dir: "~/a b#c/" }],
    ["dir", "~", { dir: "~" }],
    ["dir", '/a" #b"', { dir: '/a"' }],
    ["user", "_a.B-9$", { user: "_a.B-9$" }],
    ["output", "discard", { output: "discard" }],
    ["autostart", "yes", { autostart: true }],
    ["autostart", "true", { autostart: true }],
    ["autostart", "1", { autostart: true }],
    ["autostart", "on", { autostart: true }],
    ["autostart", "no # c", { autostart: false }],
    ["autostart", "false", { autostart: false }],
    ["autostart", "0", { autostart: false }],
    ["autostart", "off", { autostart: false }],
    ["shell", "/bin/bash", { shell: "/bin/bash" }],
    ["listen", "fastcgi", { listen: "fastcgi" }],
    ["listen", "none", {}],
    ["stop-timeout", "0", { stopTimeout: 0 }],
    ["stop-timeout", "24h", { stopTimeout: 86_400_000 }],
    ["drain", "10m", { drain: 600_000 }],
    ["max-retries", "007", { maxRetries: 7 }],
    ["max-retries", "0", { maxRetries: 0 }],
    ["log-size", "4096", { logSize: 4096 }],
    ["log-size", "255M", { logSize: 255 * M }],
    ["log-total", "2G", { logTotal: 2 ** 31 }],
    ["log-compress", "on", { logCompress: true }],
    ["log-select", `'-* a' "+*it's *" -x*`, { logSelect: ["-* a", "+*it's *", "-x*"] }],
    ["nice", "0", { nice: 0 }],
    ["nice", "19", { nice: 19 }],
    ["umask", "0", { umask: 0 }],
    ["umask", "27", { umask: 0o27 }],
    ["umask", "0777", { umask: 0o777 }],
    ["limit-data", "64M", { limitData: both(64 * M) }],
    ["limit-stack", "8192K:16384K", { limitStack: { soft: 8 * M, hard: 16 * M } }],
    ["limit-stack", "8 MiB : 16 MiB", { limitStack: { soft: 8 * M, hard: 16 * M } }],
    ["limit-lock", "0", { limitLock: both(0) }],
    ["limit-as", "2G", { limitAs: both(2048 * M) }],
    ["limit-nofile", "1K:4096", { limitNofile: { soft: 1024, hard: 4096 } }],
    ["open-files", "100", { limitNofile: both(100) }],
    ["limit-nproc", "20", { limitNproc: both(20) }],
    ["limit-fsize", "0:unlimited", { limitFsize: { soft: 0, hard: "unlimited" } }],
    ["limit-core", "unlimited", { limitCore: both("unlimited") }],
    ["limit-rss", "16777216", { limitRss: both(16 * M) }],
    ["limit-cpu", "1m:1h30m", { limitCpu: { soft: 60, hard: 5400 } }],
    ["memory", "1M", { memory: M }],
    ["memory-high", "1G", { memoryHigh: 1024 * M }],
    ["processes", "1", { processes: 1 }],
    ["processes", "4M", { processes: 4_194_304 }],
    ["cpu", "0.5", { cpu: 0.5 }],
    ["cpu", "2", { cpu: 2 }],
    ["io-weight", "1", { ioWeight: 1 }],
    ["io-weight", "10000", { ioWeight: 10_000 }],
    ["env-dir", "~/env", { envDir: "~/env" }],
    ["env-dir", "~", { envDir: "~" }],
    ["env-file", "/etc/x.env # c", { envFile: "/etc/x.env" }],
    ["chroot", "~", { chroot: "~" }],
    ["lock", "/run/x", { lock: "/run/x" }],
  ])("the value of a key is accepted: %s=%s", (key, text, fields) => {
    const { value, errors } = read(key, text);
    expect(errors).toEqual([]);
    expect(value).toEqual({ ...DEFAULTS, start: "x", ...fields });
  });

  it.each<[key: string, texts: readonly string[], expected: string]>([
    ["dir", ["www", '"/www"', "~bob/www", "~bob", ""], PATH],
    ["user", ["0", "0x0", "0day", "65534", "-1", "", "a:b", "a".repeat(33)], ACCOUNT],
    ["output", ["/tmp/log"], "log or discard"],
    ["autostart", ["", "Off", "2", "nope", "off off"], "yes or no (or true, false, on, off, 1, 0)"],
    ["shell", ["bash"], "the absolute path of a shell"],
    ["listen", ["9000"], "none, fastcgi, systemd, http or path"],
    ["ready", ["fd:2", "fd:10", "yes"], "accept, notify or fd:N with N from 3 to 9"],
    ["instances", ["0", "65", "1K"], "a whole number from 1 to 64"],
    ["drain", ["601s", "10.1m", "1h", "24h"], "0 or a duration from 1ms to 10m, such as 10s or 1m30s"],
    [
      "healthy-after",
      ["25h", "1d1ms", "Infinity", "9".repeat(400)],
      "0 or a duration from 1ms to 1d, such as 10s or 1m30s",
    ],
    ["log-size", ["4095", "256M", "1T"], "a size from 4 KiB to 255 MiB, such as 8M or 1.5 MiB"],
    ["log-total", ["4095", "1025G"], "a size from 4 KiB to 1 TiB, such as 8M or 1.5 MiB"],
    ["log-files", ["0", "10001"], "a whole number from 1 to 10000"],
    [
      "log-select",
      ["*", "+", "fatal", "'-a", "+a '", "-*\u00fc", `+${"a".repeat(200)}`, "+a ".repeat(33).trim()],
      PATTERNS,
    ],
    ["max-retries", ["-1", "1.5", "1000001", "never"], "a whole number from 0 to 1000000"],
    ["nice", ["20", "-21", "1.5", "+5", "low", ""], "a whole number from 0 to 19 (from -20 for root's own daemons)"],
    ["umask", ["8", "1777", "00022", "u=rwx", "-1", ""], "an octal number from 0 to 777"],
    [
      "limit-as",
      ["1023K", "5:4", "5M:4M", "unlimited:4M", "1M:2M:3M", ":", "4M:", "1K:4M", "9".repeat(16)],
      `a size of at least 1 MiB, such as 8M or 1.5 MiB, ${LIMIT}`,
    ],
    ["limit-data", ["0", "1:1G", "255K"], `a size of at least 256 KiB, such as 8M or 1.5 MiB, ${LIMIT}`],
    ["limit-stack", ["0", "63K"], `a size of at least 64 KiB, such as 8M or 1.5 MiB, ${LIMIT}`],
    ["limit-nofile", ["many"], `a whole number, such as 1024 or 4K, ${LIMIT}`],
    [
      "limit-cpu",
      ["0", "500ms", "1.5s", "1K"],
      `a duration in whole seconds of at least 1s, such as 10s or 1m30s, ${LIMIT}`,
    ],
    ["memory", ["0", "4096", "1023K", "unlimited", "4096:8192", "9999999G"], MEMORY],
    ["memory-high", ["1K", "max"], MEMORY],
    ["processes", ["0", "-1", "4194305", "all", ""], "a whole number from 1 to 4194304"],
    [
      "cpu",
      ["0", "0.001", "1025", "50%", "1e3", ".5", "-1", ""],
      "a number of processors from 0.01 to 1024, such as 0.5",
    ],
    ["io-weight", ["0", "10001", "1.5", ""], "a whole number from 1 to 10000"],
    ["env-dir", ["env", "~bob/env", ""], PATH],
    ["env-file", ["./x"], PATH],
    ["chroot", ["jail"], PATH],
    ["lock", ["x.lock"], PATH],
  ])("the value of a key is refused with its line and the expected form: %s=%j", (key, texts, expected) => {
    const errors = texts.map((text) => read(key, text).errors);
    expect(errors).toEqual(
      texts.map((text) => [{ line: 2, text: `${key}: expected ${expected}, found ${quoted(text)}` }]),
    );
  });
});

describe("the table of keys", () => {
  it("the table of keys states defaults that a conf file can write", () => {
    const words = ["none", "no limit", "the owner", "the supervisor's own", "by listen and docroot", "every line"];
    const written = DAEMON_KEYS.filter(
      ({ key, default: text }) =>
        text !== undefined && (key === "listen" || !words.includes(text)) && !["export", "io-weight"].includes(key),
    );
    expect(written.length).toBeGreaterThan(20);
    for (const { key, default: text } of written) {
      expect([key, read(key, text ?? "").value]).toEqual([key, { ...DEFAULTS, start: "x" }]);
    }
  });

  it("the table of keys has each key once, with its form and its effect, and only start without a default", () => {
    expect(new Set(DAEMON_KEYS.map((entry) => entry.key)).size).toBe(DAEMON_KEYS.length);
    for (const entry of DAEMON_KEYS) expect([entry.expected, entry.doc]).not.toContain("");
    expect(DAEMON_KEYS.filter((entry) => entry.default === undefined).map((entry) => entry.key)).toEqual(["start"]);
  });
});
