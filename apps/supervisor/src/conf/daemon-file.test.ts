import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { MAX_DAEMON_FILE, parseDaemonFile } from "./daemon-file.ts";
import { MAX_PROBLEMS } from "./file-problems.ts";

const ACCOUNT = "the name of an account, which begins with a letter or _ and is no number";
const VARIABLE = '"export NAME = value", with a NAME of letters, digits and _ that does not begin with a digit';
const PATH = 'an absolute path, "~", or one that begins with "~/"';
const LINE = '"key = value" or a comment';
const NO_START = '0: there is no "start" line: expected one like "start = exec COMMAND"';
const openQuote = (q: string): string =>
  `start: the quote ${q} is never closed: a "#" after it starts no comment, and the shell will refuse the line; close it, or write \\${q}`;

/** Fields that differ from the defaults (`environment` as an object), or the errors as `line: text`. */
type Expected =
  | { value: Record<string, unknown>; warnings?: readonly string[] }
  | { errors: readonly string[]; warnings?: readonly string[] };
const start = (value: string, warnings: string[] = []): Expected => ({ value: { start: value }, warnings });

const deluged = "dir=/home/david\nstart=exec deluged -d\n";
const wordpress = "dir=/home/user/wordpress\nuser=www-data\nstart=exec php-cgi -q -b wordpress.socket\n";
const greenfelt =
  "dir=/var/www/greenfelt.net\nuser=www-data\nstart=exec ./script/greenfelt_fastcgi.pl -l greenfelt.socket -n 1\noutput=log\n";

const CASES: readonly (readonly [name: string, text: string, expected: Expected])[] = [
  ["deluged.conf of the article", deluged, { value: { dir: "/home/david", start: "exec deluged -d" } }],
  [
    "wordpress.conf of the article",
    wordpress,
    { value: { dir: "/home/user/wordpress", user: "www-data", start: "exec php-cgi -q -b wordpress.socket" } },
  ],
  [
    "greenfelt.conf of the article",
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
  ["start alone", "start=x", start("x")],
  ["white space around start", " \t start \t = \t exec x y \t ", start("exec x y")],
  ["semicolons in start", "start=sh -c 'a; b'; c", start("sh -c 'a; b'; c")],
  ["equals signs in start", "start=A=1 exec x --b=c", start("A=1 exec x --b=c")],
  ["&&, || and pipes in start", "start=a && b || c | d &", start("a && b || c | d &")],
  ["backslashes in start", "start=printf a\\tb\\\\ \\", start("printf a\\tb\\\\ \\")],
  ["quotes around all of start", `start="x y" 'z'`, start(`"x y" 'z'`)],
  ["a start that is a truth value in ini files", "start=true", start("true")],
  ["a comment after start", "start=x y # why", start("x y")],
  ["a comment after a tab", "start=x\t#why", start("x")],
  ["a # within a word", "start=x y#z $# a/#b", start("x y#z $# a/#b")],
  ["a # right after =", "start=#x", start("#x")],
  ["a # in single quotes", "start=x 'a # b' # c", start("x 'a # b'")],
  ["a # in double quotes", 'start=x "a # b" # c', start('x "a # b"')],
  ["an escaped double quote", 'start=x "a \\" # b" # c', start('x "a \\" # b"')],
  ["a backslash in single quotes, which escapes nothing", "start=x 'a \\' # c", start("x 'a \\'")],
  ["an escaped quote, which opens nothing", "start=echo it\\'s # c", start("echo it\\'s")],
  ["an apostrophe in double quotes", `start=echo "it's" # c`, start(`echo "it's"`)],
  ["a double quote in single quotes", `start=echo '"' # c`, start(`echo '"'`)],
  ["an escaped blank before #", "start=x a\\ #b", start("x a\\ #b")],
  ["quotes within $( ) within quotes", `start=x "$(y "a # b" (c))" # d`, start(`x "$(y "a # b" (c))"`)],
  ["an apostrophe within a comment", "start=x # don't", start("x")],
  ["an open quote before a #", "start=echo it's # c", start("echo it's # c", [`1: ${openQuote("'")}`])],
  ["an open double quote", 'start=echo "a # b', start('echo "a # b', [`1: ${openQuote('"')}`])],
  ["UTF-8 in start", "start=echo grüße 日本 🎈", start("echo grüße 日本 🎈")],
  ["no start line", "dir=/", { errors: [NO_START] }],
  ["no line at all", "", { errors: [NO_START] }],
  ["an empty start", "start=", { errors: ["1: start: expected a command: one line of shell, found nothing"] }],
  [
    "a start that is only a comment",
    "start= # x",
    { errors: ["1: start: expected a command: one line of shell, found nothing"] },
  ],

  // lines
  ["comments and empty lines", "# a\n\n   \t# b = c\nstart=x\n#", start("x")],
  ["CRLF line ends", "dir=/srv\r\nstart=x y\r\n", { value: { dir: "/srv", start: "x y" } }],
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
  ["64 KiB of text", `start=${"x".repeat(MAX_DAEMON_FILE - 6)}`, start("x".repeat(MAX_DAEMON_FILE - 6))],
  [
    "64 KiB and a byte",
    `start=${"x".repeat(MAX_DAEMON_FILE - 5)}`,
    { errors: ["0: the file has 65537 B: expected at most 64 KiB"] },
  ],
  [
    "fewer than 64 Ki characters and more than 64 KiB",
    `start=${"é".repeat(32_766)}`,
    { errors: ["0: the file has 65538 B: expected at most 64 KiB"] },
  ],
  ["a line without =", "start=x\nfoo", { errors: [`2: expected ${LINE}, found "foo"`] }],
  ["a section header", "[daemon]\nstart=x", { errors: [`1: expected ${LINE}, found "[daemon]"`] }],
  ["= only in the comment of a line", "start=x\ndir # = /", { errors: [`2: expected ${LINE}, found "dir"`] }],
  [
    "a line without a key",
    "start=x\n= y",
    { errors: ['2: expected a key, or "export NAME", before "=", found nothing'] },
  ],
  [
    "a continued line of shell",
    "start=x \\\n  && y --z=1",
    { errors: ['2: expected a key, or "export NAME", before "=", found "&& y --z"'] },
  ],
  [
    "the same key three times",
    "dir=/a\nstart=x\ndir=/b\ndir=/c",
    {
      errors: [
        '3: "dir" is already set on line 1: expected it once',
        '4: "dir" is already set on line 1: expected it once',
      ],
    },
  ],
  [
    "start twice, first empty",
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
    "a key in capitals and with _",
    "start=x\nStop_Timeout=1",
    { value: { start: "x" }, warnings: ['2: unknown key "Stop_Timeout" is ignored: did you mean "stop-timeout"?'] },
  ],
  [
    "a key that resembles no known one",
    "start=x\ncolour=red",
    {
      value: { start: "x" },
      warnings: [expect.stringMatching(/^2: unknown key "colour" is ignored: expected one of the \d+ in the manual$/)],
    },
  ],
  [
    "names of properties of Object as keys",
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
    "several mistakes",
    "dir=a\nfoo\nuser=0\n",
    {
      errors: [
        NO_START,
        `1: dir: expected ${PATH}, found "a"`,
        `2: expected ${LINE}, found "foo"`,
        `3: user: expected ${ACCOUNT}, found "0"`,
      ],
    },
  ],

  // keys that do not go together
  ...["none", "path"].map(
    (listen) =>
      [
        `ondemand and listen=${listen}`,
        `start=x\nondemand=yes\nlisten=${listen}`,
        { errors: [`2: ondemand: cannot be combined with listen=${listen}: expected listen=fastcgi, systemd or http`] },
      ] as const,
  ),
  [
    "several instances that bind the socket themselves",
    "start=x\nlisten=path\ninstances=2",
    {
      errors: [
        "3: instances: cannot be combined with listen=path: expected another one, because each process would bind the socket",
      ],
    },
  ],
  [
    "several instances and a lock",
    "start=x\nlock=/run/x\ninstances=2",
    { errors: ["2: lock: only one process can hold the lock: expected instances=1, or no lock"] },
  ],
  [
    "readiness on the descriptor of the socket",
    "start=x\nlisten=http\nready=fd:3",
    {
      errors: ["3: ready: descriptor 3 is the socket of listen=http: expected another"],
    },
  ],
  [
    "a nice value below 0",
    "start=x\nnice=-5",
    {
      errors: [
        `2: nice: expected a whole number from 0 to 19, because only root's own daemons may have one below 0, found "-5"`,
      ],
    },
  ],
  [
    "a limit by both of its names",
    "start=x\nlimit-nofile=5\nopen-files=6",
    { errors: ['3: "open-files" is already set on line 2: expected it once'] },
  ],

  // export
  [
    "an exported variable",
    "start=x\nexport APP_ENV = production # c",
    { value: { start: "x", environment: { APP_ENV: "production" } } },
  ],
  [
    "an exported value in quotes, which are literal",
    `start=x\nexport A="b c" 'd`,
    { value: { start: "x", environment: { A: `"b c" 'd` } } },
  ],
  ["an export line with tabs", "start=x\n\texport\tA=b=c;d", { value: { start: "x", environment: { A: "b=c;d" } } }],
  [
    "a # within quotes of an exported value",
    `start=x\nexport A="b #c"`,
    { value: { start: "x", environment: { A: '"b' } } },
  ],
  [
    "a # right after the = of an export line",
    "start=x\nexport A=#fff",
    { value: { start: "x", environment: { A: "#fff" } } },
  ],
  ["an empty exported value", "start=x\nexport A=", { value: { start: "x", environment: { A: "" } } }],
  [
    "two export lines of the same name",
    "export A=1\nexport B=2\nexport A=3\nstart=x",
    {
      value: { start: "x", environment: { A: "3", B: "2" } },
      warnings: ['3: "export A" is already set on line 1: the later value is used'],
    },
  ],
  [
    "an exported variable __proto__",
    "start=x\nexport __proto__=y",
    { value: { start: "x", environment: { ["__proto__"]: "y" } } },
  ],
  [
    "an export line without =",
    "start=x\nexport A",
    { errors: ['2: expected "export NAME = value", found "export A"'] },
  ],
  ["export without a name", "start=x\nexport", { errors: ['2: expected "export NAME = value", found "export"'] }],
  ["export = value", "start=x\nexport=A", { errors: [`2: expected ${VARIABLE}, found the name nothing`] }],
  [
    "two names in an export line",
    "start=x\nexport A B=c",
    { errors: [`2: expected ${VARIABLE}, found the name "A B"`] },
  ],
  [
    "exported variables of the launch",
    "start=x\nexport DMHOST_VAR_Q=1\nexport DMHOST_VARS=Q\nexport DMHOST_OTHER=1",
    {
      errors: [
        '2: expected another name than "DMHOST_VAR_Q": names that begin with DMHOST_VAR are reserved for the launch',
        '3: expected another name than "DMHOST_VARS": names that begin with DMHOST_VAR are reserved for the launch',
      ],
    },
  ],
  [
    "an exported OPTIND that is no number",
    "start=x\nexport OPTIND = x",
    { errors: ['2: export OPTIND: expected a number, because /bin/sh does not start with any other value, found "x"'] },
  ],
  [
    "an exported OPTIND that is a number",
    "start=x\nexport OPTIND = 3",
    { value: { start: "x", environment: { OPTIND: "3" } } },
  ],
  [
    "an exported name that begins with a digit",
    "start=x\nexport 1A=c",
    { errors: [`2: expected ${VARIABLE}, found the name "1A"`] },
  ],
  [
    "a command in an exported name",
    "start=x\nexport A;rm=c",
    { errors: [`2: expected ${VARIABLE}, found the name "A;rm"`] },
  ],
  [
    "a key that resembles export",
    "start=x\nexportA=b",
    { value: { start: "x" }, warnings: ['2: unknown key "exportA" is ignored: did you mean "export"?'] },
  ],
];

const shown = (definition: Definition): Record<string, unknown> => ({
  ...definition,
  environment: [...definition.environment],
});

describe("a conf file", () => {
  it.each(CASES)("a conf file with %s is read or refused as documented", (_name, text, expected) => {
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

  it("a conf file may have a nice value below 0 only for root's own daemons", () => {
    expect(parseDaemonFile("start=x\nnice=-20", { uid: 0 }).value?.nice).toBe(-20);
    expect(parseDaemonFile("start=x\nnice=-20", { uid: 1001 }).errors).toHaveLength(1);
  });

  it("a conf file of nothing but mistakes gives a bounded number of problems", () => {
    const { errors, warnings } = parseDaemonFile("a\nb=1\n".repeat(10_000));
    expect(errors).toHaveLength(MAX_PROBLEMS + 1);
    expect(warnings).toHaveLength(MAX_PROBLEMS + 1);
    // `start` is missing as well, which is found last.
    expect(errors.at(-1)).toEqual({ line: 41, text: "9981 more errors from here on" });
    expect(warnings.at(-1)).toEqual({ line: 42, text: "9980 more warnings from here on" });
  });

  it("a conf file cannot put control characters into a message", () => {
    const { errors } = parseDaemonFile("start=x\ndir=\u001b]0;x\u0007\u202e");
    expect(errors[0]?.text).toBe(`dir: expected ${PATH}, found "\\u{1b}]0;x\\u{7}\\u{202e}"`);
  });

  it("a conf file of 64 KiB of blanks or quotes is read without backtracking", () => {
    for (const filler of [" ", "\t#", "'", "$(", "( ", '"$("', "=", "export ", "1", "1m"]) {
      const long = filler.repeat(65_000 / filler.length);
      // A quadratic reader would exceed the time of the test.
      for (let times = 0; times < 20; times += 1) parseDaemonFile(`${long}y\nlog-size=${long}\n`);
      expect(parseDaemonFile(`start=x${long}y`).errors).toEqual([]);
    }
  });

  it("a conf file of any text gives either a value or errors", () => {
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

  it("a conf file keeps a start without # as it stands", () => {
    const text = fc.string({ unit: fc.constantFrom(..."ab'\"\\$() =;&|"), minLength: 1 });
    fc.assert(
      fc.property(text, (command) => {
        expect(parseDaemonFile(`start=x${command}x`).value?.start).toBe(`x${command}x`);
      }),
    );
  });
});
