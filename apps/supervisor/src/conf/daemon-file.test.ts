import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { MAX_DAEMON_FILE, parseDaemonFile } from "./daemon-file.ts";
import { DAEMON_KEYS } from "./daemon-keys.ts";
import { MAX_FINDINGS } from "./findings.ts";

const DURATION = "a number of seconds, or one with ms, s, m or h after it, of at most 24h";
const ACCOUNT = "the name of an account, which begins with a letter or _ and is no number";
const VARIABLE = '"export NAME = value", with a NAME of letters, digits and _ that does not begin with a digit';
const DIR = 'an absolute path, or one that begins with "~/"';
const TRUTH = "yes or no (or true, false, on, off, 1, 0)";
const MEMORY = "a number of bytes, or one with K, M or G after it, of at least 1M";
const LIMIT =
  "a number of bytes, or one with K, M or G after it, or unlimited, or SOFT:HARD of these with SOFT not above HARD";
const both = (amount: number | "unlimited") => ({ soft: amount, hard: amount });
const LINE = '"key = value" or a comment';
const NO_START = '0: there is no "start" line: expected one like "start = exec COMMAND"';
const openQuote = (q: string): string =>
  `start: the quote ${q} is never closed: a "#" after it is no comment, and the shell will refuse it; close it, or write \\${q}`;

/** What is different from the defaults (`environment` as an object), or the errors as `line: text`. */
type Expected =
  | { value: Record<string, unknown>; warnings?: readonly string[] }
  | { errors: readonly string[]; warnings?: readonly string[] };
const start = (value: string, warnings: string[] = []): Expected => ({ value: { start: value }, warnings });

const deluged = "dir=/home/david\nstart=exec deluged -d\n";
const wordpress = "dir=/home/user/wordpress\nuser=www-data\nstart=exec php-cgi -q -b wordpress.socket\n";
const greenfelt =
  "dir=/var/www/greenfelt.net\nuser=www-data\nstart=exec ./script/greenfelt_fastcgi.pl -l greenfelt.socket -n 1\noutput=log\n";

const CASES: readonly (readonly [name: string, text: string, expected: Expected])[] = [
  ["the article's deluged.conf", deluged, { value: { dir: "/home/david", start: "exec deluged -d" } }],
  [
    "the article's wordpress.conf",
    wordpress,
    { value: { dir: "/home/user/wordpress", user: "www-data", start: "exec php-cgi -q -b wordpress.socket" } },
  ],
  [
    "the article's greenfelt.conf",
    greenfelt,
    {
      value: {
        dir: "/var/www/greenfelt.net",
        user: "www-data",
        start: "exec ./script/greenfelt_fastcgi.pl -l greenfelt.socket -n 1",
        output: "log",
      },
    },
  ],

  // start
  ["only start", "start=x", start("x")],
  ["white space around", " \t start \t = \t exec x y \t ", start("exec x y")],
  ["semicolons", "start=sh -c 'a; b'; c", start("sh -c 'a; b'; c")],
  ["equals signs", "start=A=1 exec x --b=c", start("A=1 exec x --b=c")],
  ["and, or, pipes", "start=a && b || c | d &", start("a && b || c | d &")],
  ["backslashes", "start=printf a\\tb\\\\ \\", start("printf a\\tb\\\\ \\")],
  ["quotes all round", `start="x y" 'z'`, start(`"x y" 'z'`)],
  ["words that ini reads otherwise", "start=true", start("true")],
  ["a comment", "start=x y # why", start("x y")],
  ["a comment after a tab", "start=x\t#why", start("x")],
  ["a # within a word", "start=x y#z $# a/#b", start("x y#z $# a/#b")],
  ["a # right after =", "start=#x", start("#x")],
  ["a # in single quotes", "start=x 'a # b' # c", start("x 'a # b'")],
  ["a # in double quotes", 'start=x "a # b" # c', start('x "a # b"')],
  ["an escaped double quote", 'start=x "a \\" # b" # c', start('x "a \\" # b"')],
  ["no escapes in single quotes", "start=x 'a \\' # c", start("x 'a \\'")],
  ["an escaped quote opens nothing", "start=echo it\\'s # c", start("echo it\\'s")],
  ["an apostrophe in double quotes", `start=echo "it's" # c`, start(`echo "it's"`)],
  ["a double quote in single quotes", `start=echo '"' # c`, start(`echo '"'`)],
  ["an escaped blank before #", "start=x a\\ #b", start("x a\\ #b")],
  ["quotes within $( ) within quotes", `start=x "$(y "a # b" (c))" # d`, start(`x "$(y "a # b" (c))"`)],
  ["an apostrophe within a comment", "start=x # don't", start("x")],
  ["an open quote keeps the #", "start=echo it's # c", start("echo it's # c", [`1: ${openQuote("'")}`])],
  ["an open double quote", 'start=echo "a # b', start('echo "a # b', [`1: ${openQuote('"')}`])],
  ["UTF-8 as it is", "start=echo grüße 日本 🎈", start("echo grüße 日本 🎈")],
  ["no start", "dir=/", { errors: [NO_START] }],
  ["an empty file", "", { errors: [NO_START] }],
  ["an empty start", "start=", { errors: ["1: start: expected a command: one line of shell, found nothing"] }],
  ["only a comment", "start= # x", { errors: ["1: start: expected a command: one line of shell, found nothing"] }],

  // lines
  ["comments and empty lines", "# a\n\n   \t# b = c\nstart=x\n#", start("x")],
  ["CRLF", "dir=/srv\r\nstart=x y\r\n", { value: { dir: "/srv", start: "x y" } }],
  ["a byte order mark", "\ufeffstart=x", start("x")],
  [
    "a second byte order mark",
    "\ufeff\ufeffstart=x",
    { errors: [NO_START, '1: expected a key, or "export NAME", before "=", found "\\u{feff}start"'] },
  ],
  [
    "a CR within a line",
    "start=x\ry\n",
    { errors: ["1: a CR within the line: expected text with lines that end in LF or CRLF"] },
  ],
  ["a NUL", "dir=/\nstart=x\0y\n", { errors: ["2: a NUL byte: expected text with lines that end in LF or CRLF"] }],
  ["64 KiB", `start=${"x".repeat(MAX_DAEMON_FILE - 6)}`, start("x".repeat(MAX_DAEMON_FILE - 6))],
  [
    "one byte more",
    `start=${"x".repeat(MAX_DAEMON_FILE - 5)}`,
    { errors: ["0: the file has 65537 bytes: expected at most 65536"] },
  ],
  [
    "bytes, not characters",
    `start=${"é".repeat(32_766)}`,
    { errors: ["0: the file has 65538 bytes: expected at most 65536"] },
  ],
  ["no =", "start=x\nfoo", { errors: [`2: expected ${LINE}, found "foo"`] }],
  ["a section", "[daemon]\nstart=x", { errors: [`1: expected ${LINE}, found "[daemon]"`] }],
  ["= only in a comment", "start=x\ndir # = /", { errors: [`2: expected ${LINE}, found "dir"`] }],
  ["no key", "start=x\n= y", { errors: ['2: expected a key, or "export NAME", before "=", found nothing'] }],
  [
    "a line of shell continued",
    "start=x \\\n  && y --z=1",
    { errors: ['2: expected a key, or "export NAME", before "=", found "&& y --z"'] },
  ],
  [
    "a key twice",
    "dir=/a\nstart=x\ndir=/b\ndir=/c",
    {
      errors: [
        '3: "dir" is already set on line 1: expected it once',
        '4: "dir" is already set on line 1: expected it once',
      ],
    },
  ],
  [
    "start twice",
    "start=\nstart=x",
    {
      errors: [
        "1: start: expected a command: one line of shell, found nothing",
        '2: "start" is already set on line 1: expected it once',
      ],
    },
  ],
  [
    "a misspelt key",
    "start=x\nautstart=no",
    { value: { start: "x" }, warnings: ['2: unknown key "autstart" is ignored: did you mean "autostart"?'] },
  ],
  [
    "a key in capitals, with _",
    "start=x\nStop_Timeout=1",
    { value: { start: "x" }, warnings: ['2: unknown key "Stop_Timeout" is ignored: did you mean "stop-timeout"?'] },
  ],
  [
    "a key like no other",
    "start=x\ncolour=red",
    {
      value: { start: "x" },
      warnings: [expect.stringMatching(/^2: unknown key "colour" is ignored: expected one of the \d+ in the manual$/)],
    },
  ],
  [
    "a key of Object's",
    "start=x\n__proto__=y\nconstructor=z",
    {
      value: { start: "x" },
      warnings: [
        expect.stringMatching(/^2: unknown key "__proto__" is ignored: expected one of/),
        expect.stringMatching(/^3: unknown key "constructor" is ignored: expected one of/),
      ],
    },
  ],
  [
    "all that is wrong at once",
    "dir=a\nfoo\nuser=0\n",
    {
      errors: [
        NO_START,
        `1: dir: expected ${DIR}, found "a"`,
        `2: expected ${LINE}, found "foo"`,
        `3: user: expected ${ACCOUNT}, found "0"`,
      ],
    },
  ],

  // values
  ["dir in the home", "start=x\ndir=~/a b#c/ # d", { value: { start: "x", dir: "~/a b#c/" } }],
  ["quotes of dir are literal", 'start=x\ndir=/a" #b"', { value: { start: "x", dir: '/a"' } }],
  ["dir relative", "start=x\ndir=www", { errors: [`2: dir: expected ${DIR}, found "www"`] }],
  ["dir in quotes", 'start=x\ndir="/www"', { errors: [`2: dir: expected ${DIR}, found ""/www""`] }],
  ["dir of another user", "start=x\ndir=~bob/www", { errors: [`2: dir: expected ${DIR}, found "~bob/www"`] }],
  ["dir empty", "start=x\ndir=", { errors: [`2: dir: expected ${DIR}, found nothing`] }],
  ["dir after a no-break space", "start=x\ndir=\u00a0/a", { errors: [`2: dir: expected ${DIR}, found "\\u{a0}/a"`] }],
  ["user", "start=x\nuser=_a.B-9$", { value: { start: "x", user: "_a.B-9$" } }],
  ["user 0", "start=x\nuser=0", { errors: [`2: user: expected ${ACCOUNT}, found "0"`] }],
  ["user 0x0", "start=x\nuser=0x0", { errors: [`2: user: expected ${ACCOUNT}, found "0x0"`] }],
  ["user 0day", "start=x\nuser=0day", { errors: [`2: user: expected ${ACCOUNT}, found "0day"`] }],
  ["user 65534", "start=x\nuser=65534", { errors: [`2: user: expected ${ACCOUNT}, found "65534"`] }],
  ["user -1", "start=x\nuser=-1", { errors: [`2: user: expected ${ACCOUNT}, found "-1"`] }],
  ["user empty", "start=x\nuser=", { errors: [`2: user: expected ${ACCOUNT}, found nothing`] }],
  ["user:group", "start=x\nuser=a:b", { errors: [`2: user: expected ${ACCOUNT}, found "a:b"`] }],
  [
    "user of 33 letters",
    `start=x\nuser=${"a".repeat(33)}`,
    { errors: [`2: user: expected ${ACCOUNT}, found "${"a".repeat(33)}"`] },
  ],
  ["output discard", "start=x\noutput=discard", { value: { start: "x", output: "discard" } }],
  [
    "output to a file",
    "start=x\noutput=/tmp/log",
    { errors: ['2: output: expected log or discard, found "/tmp/log"'] },
  ],
  ...["yes", "true", "1", "on"].map(
    (word) => [`autostart ${word}`, `start=x\nautostart=${word}`, { value: { start: "x", autostart: true } }] as const,
  ),
  ...["no", "false", "0", "off"].map(
    (word) =>
      [`autostart ${word}`, `start=x\nautostart=${word} # c`, { value: { start: "x", autostart: false } }] as const,
  ),
  ...["", "Off", "2", "nope", "off off"].map(
    (word) =>
      [
        `autostart "${word}"`,
        `start=x\nautostart=${word}`,
        { errors: [`2: autostart: expected ${TRUTH}, found ${word === "" ? "nothing" : `"${word}"`}`] },
      ] as const,
  ),
  ["shell", "start=x\nshell=/bin/bash", { value: { start: "x", shell: "/bin/bash" } }],
  [
    "shell without a path",
    "start=x\nshell=bash",
    { errors: ['2: shell: expected the absolute path of a shell, found "bash"'] },
  ],
  ["listen fastcgi", "start=x\nlisten=fastcgi", { value: { start: "x", listen: "fastcgi" } }],
  ["listen none", "start=x\nlisten=none", start("x")],
  [
    "listen to a port",
    "start=x\nlisten=9000",
    { errors: ['2: listen: expected none, fastcgi, systemd, http or path, found "9000"'] },
  ],
  ...["none", "path"].map(
    (listen) =>
      [
        `sleep with listen=${listen}`,
        `start=x\nondemand=yes\nlisten=${listen}`,
        { errors: [`2: ondemand: it cannot go with listen=${listen}: expected listen=fastcgi, systemd or http`] },
      ] as const,
  ),
  [
    "instances that bind sockets themselves",
    "start=x\nlisten=path\ninstances=2",
    {
      errors: ["3: instances: it cannot go with listen=path: expected another one, for each process would bind it"],
    },
  ],
  [
    "instances with a lock",
    "start=x\nlock=/run/x\ninstances=2",
    { errors: ["2: lock: only one process can hold it: expected instances=1, or no lock"] },
  ],
  [
    "readiness told on the socket's descriptor",
    "start=x\nlisten=http\nready=fd:3",
    {
      errors: ["3: ready: descriptor 3 is the socket of listen=http: expected another"],
    },
  ],
  ...(
    [
      ["0", 0],
      ["3", 3000],
      ["0.25", 250],
      ["250ms", 250],
      ["1.5 s", 1500],
      ["2m", 120_000],
      ["24h", 86_400_000],
      ["0.0004", 0],
    ] as const
  ).map(
    ([text, value]) =>
      [`${text} of time`, `start=x\nstop-timeout=${text}`, { value: { start: "x", stopTimeout: value } }] as const,
  ),
  ["drain of 10 minutes", "start=x\ndrain=10m", { value: { start: "x", drain: 600_000 } }],
  ...["601s", "10.1m", "1h", "24h"].map(
    (text) =>
      [
        `drain of ${text}`,
        `start=x\ndrain=${text}`,
        {
          errors: [
            `2: drain: expected a number of seconds, or one with ms, s or m after it, of at most 10m, found "${text}"`,
          ],
        },
      ] as const,
  ),
  ...["-1", "1d", "s", ".5", "1.", "1e3", "0x10", "1 2", "25h", "Infinity", "9".repeat(400)].map(
    (text) =>
      [
        `${text.slice(0, 9)} as a time`,
        `start=x\nhealthy-after=${text}`,
        {
          errors: [
            `2: healthy-after: expected ${DURATION}, found "${text.slice(0, 60)}${text.length > 60 ? "..." : ""}"`,
          ],
        },
      ] as const,
  ),
  ["healthy-after", "start=x\nhealthy-after=1m", { value: { start: "x", healthyAfter: 60_000 } }],
  ["max-retries", "start=x\nmax-retries=007", { value: { start: "x", maxRetries: 7 } }],
  ["log-size 4096", "start=x\nlog-size=4096", { value: { start: "x", logSize: 4096 } }],
  ["log-size 64k", "start=x\nlog-size = 64 k", { value: { start: "x", logSize: 65_536 } }],
  ["log-total 2G", "start=x\nlog-total=2G", { value: { start: "x", logTotal: 2 ** 31 } }],
  ["log-compress", "start=x\nlog-compress=on", { value: { start: "x", logCompress: true } }],
  [
    "log-select",
    `start=x\nlog-select='-* a' "+*it's *" -x*`,
    { value: { start: "x", logSelect: ["-* a", "+*it's *", "-x*"] } },
  ],
  ...["4095", "256M", "1T", "-1", "1.5M", ""].map(
    (text) =>
      [
        `log-size "${text}"`,
        `start=x\nlog-size=${text}`,
        {
          errors: [
            `2: log-size: expected a number of bytes, or one with K, M or G after it, from 4096 to 255M, found ${text === "" ? "nothing" : `"${text}"`}`,
          ],
        },
      ] as const,
  ),
  [
    "log-files 0",
    "start=x\nlog-files=0",
    { errors: ['2: log-files: expected a whole number from 1 to 10000, found "0"'] },
  ],
  ...["*", "+", "fatal", "'-a", "+a '", "-*\u00fc", `+${"a".repeat(200)}`, "+a ".repeat(33).trim()].map(
    (text) =>
      [
        `log-select ${text.slice(0, 20)}`,
        `start=x\nlog-select=${text}`,
        {
          errors: [
            `2: log-select: expected at most 32 patterns such as "-* +*fatal:*", each of at most 200 characters, with + or - before it, quoted where it has blanks, and with an ASCII character after a *, found "${text.length > 60 ? `${text.slice(0, 60)}...` : text}"`,
          ],
        },
      ] as const,
  ),
  ["max-retries 0", "start=x\nmax-retries=0", { value: { start: "x", maxRetries: 0 } }],
  ...["-1", "1.5", "1000001", "never"].map(
    (text) =>
      [
        `max-retries ${text}`,
        `start=x\nmax-retries=${text}`,
        { errors: [`2: max-retries: expected a whole number from 0 to 1000000, found "${text}"`] },
      ] as const,
  ),

  // what the process is born into
  ...(
    [
      ["nice", "0", { nice: 0 }],
      ["nice", "19", { nice: 19 }],
      ["umask", "0", { umask: 0 }],
      ["umask", "27", { umask: 0o27 }],
      ["umask", "0777", { umask: 0o777 }],
      ["limit-data", "64M", { limitData: both(64 * 1024 ** 2) }],
      ["limit-stack", "8192K:16384K", { limitStack: { soft: 8 * 1024 ** 2, hard: 16 * 1024 ** 2 } }],
      ["limit-lock", "0", { limitLock: both(0) }],
      ["limit-as", "2G", { limitAs: both(2 * 1024 ** 3) }],
      ["limit-nofile", "1K:4096", { limitNofile: { soft: 1024, hard: 4096 } }],
      ["open-files", "100", { limitNofile: both(100) }],
      ["limit-nproc", "20", { limitNproc: both(20) }],
      ["limit-fsize", "0:unlimited", { limitFsize: { soft: 0, hard: "unlimited" } }],
      ["limit-core", "unlimited", { limitCore: both("unlimited") }],
      ["limit-rss", "16777216", { limitRss: both(16_777_216) }],
      ["limit-cpu", "1m:1h", { limitCpu: { soft: 60, hard: 3600 } }],
      ["memory", "64M", { memory: 64 * 1024 ** 2 }],
      ["memory", "1M", { memory: 1048576 }],
      ["memory-high", "1G", { memoryHigh: 1024 ** 3 }],
      ["processes", "1", { processes: 1 }],
      ["processes", "4194304", { processes: 4_194_304 }],
      ["cpu", "0.5", { cpu: 0.5 }],
      ["cpu", "2", { cpu: 2 }],
      ["io-weight", "1", { ioWeight: 1 }],
      ["io-weight", "10000", { ioWeight: 10_000 }],
      ["env-dir", "~/env", { envDir: "~/env" }],
      ["env-file", "/etc/x.env # c", { envFile: "/etc/x.env" }],
      ["chroot", "~/jail", { chroot: "~/jail" }],
      ["lock", "/run/x", { lock: "/run/x" }],
    ] as const
  ).map(
    ([key, text, value]) => [`${key} ${text}`, `start=x\n${key}=${text}`, { value: { start: "x", ...value } }] as const,
  ),
  ...(
    [
      ["nice", ["20", "-21", "1.5", "+5", "low", ""], "a whole number from 0 to 19 (from -20 for root's own daemons)"],
      ["umask", ["8", "1777", "00022", "u=rwx", "-1", ""], "an octal number from 0 to 777"],
      [
        "limit-as",
        ["-1", "1.5G", "2T", "64MB", "64 M", "5:4", "unlimited:4", "1:2:3", ":", "4:", "9".repeat(16), "0x10", ""],
        `${LIMIT}, of at least 1M`,
      ],
      ["limit-nofile", ["many"], LIMIT.replace("number of bytes", "whole number")],
      [
        "limit-cpu",
        ["1K", "1d"],
        LIMIT.replace("bytes, or one with K, M or G", "seconds, or one with s, m or h").concat(", of at least 1"),
      ],
      ["memory", ["0", "4096", "1023K", "-1", "1.5G", "2T", "64 M", "unlimited", "4096:8192", "9999999G", ""], MEMORY],
      ["memory-high", ["1K", "max"], MEMORY],
      ["processes", ["0", "-1", "01", "4194305", "1K", "all", ""], "a whole number from 1 to 4194304"],
      [
        "cpu",
        ["0", "0.001", "1025", "50%", "1e3", ".5", "-1", ""],
        "a number of processors from 0.01 to 1024, such as 0.5",
      ],
      ["io-weight", ["0", "10001", "1.5", ""], "a whole number from 1 to 10000"],
      ["env-dir", ["env", "~bob/env", ""], DIR],
      ["env-file", ["./x"], DIR],
      ["chroot", ["jail"], DIR],
      ["lock", ["x.lock"], DIR],
    ] as const
  ).flatMap(([key, texts, expected]) =>
    texts.map(
      (text) =>
        [
          `${key} "${text}"`,
          `start=x\n${key}=${text}`,
          { errors: [`2: ${key}: expected ${expected}, found ${text === "" ? "nothing" : `"${text}"`}`] },
        ] as const,
    ),
  ),
  [
    "nice below 0",
    "start=x\nnice=-5",
    {
      errors: [
        `2: nice: expected a whole number from 0 to 19, for only root's own daemons may have one below 0, found "-5"`,
      ],
    },
  ],
  [
    "one limit by both of its names",
    "start=x\nlimit-nofile=5\nopen-files=6",
    { errors: ['3: "open-files" is already set on line 2: expected it once'] },
  ],

  // export
  [
    "export",
    "start=x\nexport APP_ENV = production # c",
    { value: { start: "x", environment: { APP_ENV: "production" } } },
  ],
  ["export quotes literally", `start=x\nexport A="b c" 'd`, { value: { start: "x", environment: { A: `"b c" 'd` } } }],
  ["export without white space", "start=x\n\texport\tA=b=c;d", { value: { start: "x", environment: { A: "b=c;d" } } }],
  ["export a # within quotes", `start=x\nexport A="b #c"`, { value: { start: "x", environment: { A: '"b' } } }],
  ["export a # right after =", "start=x\nexport A=#fff", { value: { start: "x", environment: { A: "#fff" } } }],
  ["export nothing", "start=x\nexport A=", { value: { start: "x", environment: { A: "" } } }],
  [
    "export twice",
    "export A=1\nexport B=2\nexport A=3\nstart=x",
    {
      value: { start: "x", environment: { A: "3", B: "2" } },
      warnings: ['3: "export A" stands on line 1 too: the later one counts'],
    },
  ],
  ["export __proto__", "start=x\nexport __proto__=y", { value: { start: "x", environment: { ["__proto__"]: "y" } } }],
  ["export without =", "start=x\nexport A", { errors: ['2: expected "export NAME = value", found "export A"'] }],
  ["export alone", "start=x\nexport", { errors: ['2: expected "export NAME = value", found "export"'] }],
  ["export as a key", "start=x\nexport=A", { errors: [`2: expected ${VARIABLE}, found the name nothing`] }],
  ["export two names", "start=x\nexport A B=c", { errors: [`2: expected ${VARIABLE}, found the name "A B"`] }],
  [
    "export what the launch needs for itself",
    "start=x\nexport DMHOST_VAR_Q=1\nexport DMHOST_VARS=Q\nexport DMHOST_OTHER=1",
    {
      errors: [
        '2: expected another name than "DMHOST_VAR_Q": those that begin with DMHOST_VAR are the launch\'s own',
        '3: expected another name than "DMHOST_VARS": those that begin with DMHOST_VAR are the launch\'s own',
      ],
    },
  ],
  [
    "export a number that shells count with",
    "start=x\nexport OPTIND = x",
    { errors: ['2: export OPTIND: expected a number, for /bin/sh does not begin with another, found "x"'] },
  ],
  ["export OPTIND", "start=x\nexport OPTIND = 3", { value: { start: "x", environment: { OPTIND: "3" } } }],
  ["export a digit first", "start=x\nexport 1A=c", { errors: [`2: expected ${VARIABLE}, found the name "1A"`] }],
  ["export a command", "start=x\nexport A;rm=c", { errors: [`2: expected ${VARIABLE}, found the name "A;rm"`] }],
  [
    "a key like export",
    "start=x\nexportA=b",
    { value: { start: "x" }, warnings: ['2: unknown key "exportA" is ignored: did you mean "export"?'] },
  ],
];

const shown = (definition: Definition): Record<string, unknown> => ({
  ...definition,
  environment: [...definition.environment],
});

describe("parseDaemonFile", () => {
  it.each(CASES)("reads %s", (_name, text, expected) => {
    const { value, errors, warnings } = parseDaemonFile(text);
    const lines = [...errors].sort((a, b) => a.line - b.line).map((problem) => `${problem.line}: ${problem.text}`);
    expect(lines).toEqual("errors" in expected ? expected.errors : []);
    expect(warnings.map((problem) => `${problem.line}: ${problem.text}`)).toEqual(expected.warnings ?? []);
    if ("errors" in expected) {
      expect(value).toBeUndefined();
      return;
    }
    const { environment = {}, ...fields } = expected.value;
    const entries = Object.entries(environment as Record<string, string>);
    expect(value && shown(value)).toEqual({ ...DEFAULTS, ...fields, environment: entries });
  });

  it("takes a nice value below 0 for root's own daemons", () => {
    expect(parseDaemonFile("start=x\nnice=-20", { uid: 0 }).value?.nice).toBe(-20);
    expect(parseDaemonFile("start=x\nnice=-20", { uid: 1001 }).errors).toHaveLength(1);
  });

  it.each([
    ["limit-as", "1023K", "1M"],
    ["limit-data", "0", "256K"],
    ["limit-data", "1:1G", "256K"],
    ["limit-stack", "0", "64K"],
    ["limit-cpu", "0", "1"],
  ])("refuses %s=%s, with which no program starts", (key, value, least) => {
    const { errors } = parseDaemonFile(`start=x\n${key}=${value}`);
    expect(errors).toEqual([{ line: 2, text: expect.stringContaining(`of at least ${least}, found "${value}"`) }]);
    expect(parseDaemonFile(`start=x\n${key}=${least}`).errors).toEqual([]);
  });

  it("keeps the defaults that the key table states", () => {
    for (const { key, default: text } of DAEMON_KEYS) {
      if (text === undefined || ["user", "max-retries", "app", "log-total", "log-select", "export"].includes(key))
        continue;
      if (["none", "the supervisor's own", "no limit", "that of others, 100"].includes(text) && key !== "listen")
        continue;
      expect(parseDaemonFile(`start=x\n${key} = ${text}`).value).toEqual({ ...DEFAULTS, start: "x" });
    }
  });

  it("names each key once, with what it expects and what it is for", () => {
    expect(new Set(DAEMON_KEYS.map((entry) => entry.key)).size).toBe(DAEMON_KEYS.length);
    for (const entry of DAEMON_KEYS) expect([entry.expected, entry.doc]).not.toContain("");
    expect(DAEMON_KEYS.filter((entry) => entry.default === undefined).map((entry) => entry.key)).toEqual(["start"]);
  });

  it("keeps a file of nothing but mistakes small", () => {
    const { errors, warnings } = parseDaemonFile("a\nb=1\n".repeat(10_000));
    expect(errors).toHaveLength(MAX_FINDINGS + 1);
    expect(warnings).toHaveLength(MAX_FINDINGS + 1);
    // `start` is missing as well, which is found last.
    expect(errors.at(-1)).toEqual({ line: 41, text: "9981 more errors from here on" });
    expect(warnings.at(-1)).toEqual({ line: 42, text: "9980 more warnings from here on" });
  });

  it("escapes what a terminal would obey, in a message", () => {
    const { errors } = parseDaemonFile("start=x\ndir=\u001b]0;x\u0007\u202e");
    expect(errors[0]?.text).toBe(`dir: expected ${DIR}, found "\\u{1b}]0;x\\u{7}\\u{202e}"`);
  });

  it("takes linear time on 64 KiB of blanks or quotes", () => {
    for (const filler of [" ", "\t#", "'", "$(", "( ", '"$("', "=", "export ", "1"]) {
      const began = performance.now();
      parseDaemonFile(`start=x${filler.repeat(65_000 / filler.length)}y`);
      parseDaemonFile(`${filler.repeat(65_000 / filler.length)}y`);
      expect(performance.now() - began).toBeLessThan(1_500);
    }
  });

  it("never throws, and gives a value or errors", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "start=x\n",
        "dir=",
        "export ",
        "A",
        "=",
        "#",
        "'",
        '"',
        "\\",
        "$(",
        ")",
        " ",
        "\n",
        "\r\n",
        "\0",
        "~/",
      ),
      fc.string({ unit: "binary", maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const { value, errors } = parseDaemonFile(pieces.join(""));
        expect(value === undefined).toBe(errors.length > 0);
      }),
    );
  });

  it("changes nothing in a start without #", () => {
    const text = fc.string({ unit: fc.constantFrom(..."ab'\"\\$() =;&|"), minLength: 1 });
    fc.assert(
      fc.property(text, (command) => {
        expect(parseDaemonFile(`start=x${command}x`).value?.start).toBe(`x${command}x`);
      }),
    );
  });
});
