import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_SETTINGS, type Rule, type Subject } from "../core/policy-rules.ts";
import { MAX_POLICY_FILE, parsePolicy } from "./policy-file.ts";
import { SETTINGS_KEYS } from "./settings-keys.ts";

const SUBJECT = "the name of a user, or @ and the name of a group";
const PATH = 'an absolute path, "~", or one that begins with "~/", without ".." and with no %...% but %username%';
const SECTIONS = '"settings", "runs_as", "can_run_as", "manages", "hosts", "limits", "images"';

const text = ({ kind, name }: Subject): string => (kind === "group" ? `@${name}` : name);
const written = (rules: readonly Rule[]): string[] =>
  rules.map(({ line, left, right }) => `${line} ${text(left)}: ${right.map(text).join(", ")}`);

const SPEC = `[settings]
daemon-path-daemon      = ~/.daemon-manager/daemons
daemon-path-log         = ~/.daemon-manager/logs
daemon-path-daemon-root = /etc/daemon-manager/daemons
daemon-path-log-root    = /var/log/daemon-manager

[runs_as]                      # [can_run_as] is the same section
david: www-data
jim:                           # may run daemons, only as himself
amy                            # the same, without the colon
user4: @group1                 # any member of group1
@group2: user1, @group3        # every member of group2 may run as these

[manages]
david: michaelc, amy           # start, stop, restart and inspect their daemons
@helpdesk: @customers          # groups on both sides; rules accumulate over repeated lines
`;

describe("a policy file", () => {
  it("the policy file of the documentation is read", () => {
    const { value, errors, warnings } = parsePolicy(SPEC);
    expect([errors, warnings]).toEqual([[], []]);
    expect(value?.settings).toEqual(DEFAULT_SETTINGS);
    expect(written(value?.runsAs ?? [])).toEqual([
      "8 david: www-data",
      "9 jim: ",
      "10 amy: ",
      "11 user4: @group1",
      "12 @group2: user1, @group3",
    ]);
    expect(written(value?.manages ?? [])).toEqual(["15 david: michaelc, amy", "16 @helpdesk: @customers"]);
  });

  it("a policy file without a line grants nothing", () => {
    expect(parsePolicy(" # nothing\n")).toEqual({
      value: { settings: DEFAULT_SETTINGS, runsAs: [], manages: [], hosts: [], limits: [], images: [] },
      errors: [],
      warnings: [],
    });
  });

  it("a policy file may repeat sections, under both names and with any white space: their lines accumulate", () => {
    const file = "\ufeff[runs_as]\r\n a:b,c\r\n[ manages ]\r\nx :y\r\n\t[can_run_as] # again\r\na : @ d".replace(
      "@ d",
      "@d",
    );
    const { value, errors } = parsePolicy(`${file}\r\n#\r\n[runs_as]\r\na\t:\te`);
    expect(errors).toEqual([]);
    expect(written(value?.runsAs ?? [])).toEqual(["2 a: b, c", "6 a: @d", "9 a: e"]);
    expect(written(value?.manages ?? [])).toEqual(["4 x: y"]);
  });

  it("a policy file sets every setting", () => {
    const { value, errors, warnings } = parsePolicy(
      "[settings]\ndaemon-path-daemon=/srv/dm/%username%/conf#x\ndaemon-path-log = ~/log\n[settings]\n" +
        "daemon-path-daemon-root=/etc/dm\ndaemon-path-log-root=~/log;\nservice-path=~/sv\nservice-path-root=/sv\nnginx-group=www-data\nstrict-limits=yes",
    );
    expect([errors, warnings]).toEqual([[], []]);
    expect(value?.settings).toEqual({
      daemonPathDaemon: "/srv/dm/%username%/conf",
      daemonPathLog: "~/log",
      daemonPathDaemonRoot: "/etc/dm",
      daemonPathLogRoot: "~/log;",
      servicePath: "~/sv",
      servicePathRoot: "/sv",
      nginxGroup: "www-data",
      strictLimits: "yes",
    });
  });

  it.each<[name: string, text: string, errors: string[]]>([
    [
      "a line before a section",
      "a: b\nc: d\n",
      ['1: "a: b" is before the first section: expected a section header such as [runs_as]'],
    ],
    ["an unknown section", "[run_as]\na: b\n", ['1: unknown section "run_as": did you mean "runs_as"?']],
    [
      "a section that resembles no known one",
      "[frobs]\nx",
      [`1: unknown section "frobs": expected one of ${SECTIONS}`],
    ],
    ["a section in capitals", "[Runs_As]", ['1: unknown section "Runs_As": did you mean "runs_as"?']],
    ["an empty section", "[]", [`1: unknown section nothing: expected one of ${SECTIONS}`]],
    [
      "a section header without ]",
      "[runs_as\na: b: c",
      ['1: the "]" is missing: expected a section header such as [runs_as], found "[runs_as"'],
    ],
    [
      "a section header with ] only in its comment",
      "[runs_as # ]",
      ['1: the "]" is missing: expected a section header such as [runs_as], found "[runs_as"'],
    ],
    [
      "text after a section header",
      "[runs_as] a",
      ['1: nothing but a comment may follow "]": expected a section header such as [runs_as], found "[runs_as] a"'],
    ],
    [
      "an unknown setting",
      "[settings]\ndaemon-path-logs = /x",
      ['2: unknown setting "daemon-path-logs": did you mean "daemon-path-log"?'],
    ],
    [
      "a setting that resembles no known one",
      "[settings]\ncolour=red",
      [`2: unknown setting "colour": expected one of ${SETTINGS_KEYS.map(({ key }) => `"${key}"`).join(", ")}`],
    ],
    [
      "a setting called __proto__",
      "[settings]\n__proto__=x",
      [expect.stringContaining('2: unknown setting "__proto__"')],
    ],
    ["a setting without =", "[settings]\nnginx-group", ['2: expected "setting = value", found "nginx-group"']],
    ["a setting without a key", "[settings]\n= x", ['2: expected "setting = value", found "= x"']],
    [
      "a setting without a value",
      "[settings]\nnginx-group =",
      ["2: nginx-group: expected the name of a group, found nothing"],
    ],
    ["a group by number", "[settings]\nnginx-group=33", ['2: nginx-group: expected the name of a group, found "33"']],
    [
      "a repeated setting",
      "[settings]\nnginx-group=a\n\nnginx-group=b",
      ['4: "nginx-group" is already set on line 2: expected it once'],
    ],
    ["a relative path", "[settings]\ndaemon-path-log=log", [`2: daemon-path-log: expected ${PATH}, found "log"`]],
    ["a path with ..", "[settings]\ndaemon-path-log=~/../x", [`2: daemon-path-log: expected ${PATH}, found "~/../x"`]],
    [
      "an unknown %word%",
      "[settings]\ndaemon-path-log=/x/%user%",
      [`2: daemon-path-log: expected ${PATH}, found "/x/%user%"`],
    ],
    ["a rule with = in place of :", "[runs_as]\na = b", [`2: expected ${SUBJECT}, before the ":", found "a = b"`]],
    ["two names on the left", "[runs_as]\na, b: c", [`2: expected ${SUBJECT}, before the ":", found "a, b"`]],
    ["no name on the left", "[runs_as]\n: b", [`2: expected ${SUBJECT}, before the ":", found nothing`]],
    [
      "a rule without a name between commas",
      "[runs_as]\na: b,,c",
      [`2: expected ${SUBJECT}, between the commas after the ":", found nothing`],
    ],
    [
      "a rule with a comma at the end",
      "[manages]\na: b,",
      [`2: expected ${SUBJECT}, between the commas after the ":", found nothing`],
    ],
    [
      "a rule with names not separated by a comma",
      "[manages]\na: b c",
      [`2: expected ${SUBJECT}, between the commas after the ":", found "b c"`],
    ],
    ["a rule with @ and no name", "[manages]\n@: b", [`2: expected ${SUBJECT}, before the ":", found "@"`]],
    [
      "a rule with a blank after @",
      "[manages]\na: @ b",
      [`2: expected ${SUBJECT}, between the commas after the ":", found "@ b"`],
    ],
    [
      "a rule with @ within a name",
      "[manages]\na: b@c",
      [`2: expected ${SUBJECT}, between the commas after the ":", found "b@c"`],
    ],
    ["a rule with two colons", "[runs_as]\na: b: c", ['2: expected one ":", found 2 in "a: b: c"']],
    [
      "a limit without a colon",
      "[limits]\na memory=1G",
      ['2: expected "user: key = value, key = value", found "a memory=1G"'],
    ],
    [
      "a limit without a value",
      "[limits]\na: memory",
      ['2: expected "key = value" between the commas, found "memory"'],
    ],
    ["a limit line without limits", "[limits]\na:", ['2: expected "key = value" between the commas, found nothing']],
    [
      "limits with wrong values",
      "[limits]\n*: daemons = 300, cpu = lots",
      [
        '2: daemons: expected a whole number from 0 to 256, found "300"',
        '2: cpu: expected a number of processors from 0.01 to 1024, such as 0.5, found "lots"',
      ],
    ],
    ["an unknown limit", "[limits]\n@g: memori = 1G", ['2: unknown limit "memori": did you mean "memory"?']],
    [
      "a repeated limit",
      "[limits]\n*: memory = 1G\na: memory = 1G, cpu = 1\n*: cpu = 1, memory = 2G",
      ['4: "memory" of "*" is already set on line 2: expected it once'],
    ],
    [
      "a budget of 0 restarts",
      "[limits]\n*: restarts=0",
      ['2: restarts: expected a whole number from 1 to 100000, found "0"'],
    ],
    ["a limit without a subject", "[limits]\n: cpu=1", [`2: expected ${SUBJECT}, or *, before the ":", found nothing`]],
    [
      "strict-limits that is neither yes nor no",
      "[settings]\nstrict-limits=1",
      ['2: strict-limits: expected yes or no, found "1"'],
    ],
    ["a NUL byte", "[runs_as]\na\0", ["2: a NUL byte: expected text with lines that end in LF or CRLF"]],
    ["too many bytes", `#${" ".repeat(MAX_POLICY_FILE)}`, [`0: the file has 1048577 B: expected at most 1 MiB`]],
    [
      "several mistakes",
      "[runs_as]\n@\n[settings]\nx\n[manages]\n,",
      [
        `2: expected ${SUBJECT}, before the ":", found "@"`,
        '4: expected "setting = value", found "x"',
        `6: expected ${SUBJECT}, before the ":", found ","`,
      ],
    ],
  ])("a policy file with %s is refused with the line", (_name, file, expected) => {
    const { value, errors } = parsePolicy(file);
    expect(errors.map((problem) => `${problem.line}: ${problem.text}`)).toEqual(expected);
    expect(value).toBeUndefined();
  });

  it("a policy file with a line that grants nothing or a directory for all owners gives a warning", () => {
    const { value, warnings } = parsePolicy(
      "[manages]\na:\n[settings]\ndaemon-path-daemon=/srv/dm\ndaemon-path-log-root=/x",
    );
    expect(value).toBeDefined();
    expect(warnings).toEqual([
      { line: 2, text: '"a:" grants nothing: expected "user: user, @group"' },
      { line: 4, text: 'daemon-path-daemon: all owners would share "/srv/dm": expected "~/" or "%username%" in it' },
    ]);
  });

  it("a policy file may state every default of the settings", () => {
    const lines = SETTINGS_KEYS.map((entry) => `${entry.key} = ${entry.default}`);
    expect(parsePolicy(["[settings]", ...lines].join("\n"))).toEqual({
      value: { settings: DEFAULT_SETTINGS, runsAs: [], manages: [], hosts: [], limits: [], images: [] },
      errors: [],
      warnings: [],
    });
  });

  it("a policy file sets limits of users, groups and all owners", () => {
    const { value, errors } = parsePolicy(
      "[limits]\nowner : memory = 1G, processes=200,cpu = 1 # c\n@group: daemons = 50\n*: log = 100M, restarts = 60\nowner: daemons=0",
    );
    expect(errors).toEqual([]);
    expect(value?.limits.map(({ line, left, amounts }) => [line, left, Object.fromEntries(amounts)])).toEqual([
      [2, { kind: "user", name: "owner" }, { memory: 1024 ** 3, processes: 200, cpu: 1 }],
      [3, { kind: "group", name: "group" }, { daemons: 50 }],
      [4, "everyone", { log: 100 * 1024 ** 2, restarts: 60 }],
      [5, { kind: "user", name: "owner" }, { daemons: 0 }],
    ]);
  });

  it("a policy file may have ten thousand owners", () => {
    const lines = Array.from({ length: 10_000 }, (_, i) => `customer${i}: www-data, @shared`);
    expect(parsePolicy(["[runs_as]", ...lines].join("\n")).value?.runsAs).toHaveLength(10_000);
  });

  it("a policy file of any text gives either a value or errors", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "[settings]\n",
        "[runs_as]\n",
        "[manages]\n",
        "[",
        "]",
        "a",
        "@",
        ":",
        ",",
        "=",
        "#",
        " ",
        "\n",
        "nginx-group",
      ),
      fc.string({ unit: "binary", maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const { value, errors } = parsePolicy(pieces.join(""));
        expect(value === undefined).toBe(errors.length > 0);
      }),
    );
  });
});

describe("the section [hosts]", () => {
  const hostsOf = (text: string) => parsePolicy(`[hosts]\n${text}`);

  it("the section [hosts] grants names, and all names below a name, to users and groups", () => {
    const { value, errors } = hostsOf("david: Blog.example.org, *.greenfelt.net # his\n@customers : *.example.net");
    expect(errors).toEqual([]);
    expect(value?.hosts).toEqual([
      {
        line: 2,
        left: { kind: "user", name: "david" },
        right: [
          { name: "blog.example.org", below: false },
          { name: "greenfelt.net", below: true },
        ],
      },
      { line: 3, left: { kind: "group", name: "customers" }, right: [{ name: "example.net", below: true }] },
    ]);
  });

  it.each([
    "*",
    "a.*.org",
    "*x.org",
    "org",
    "a.org; }",
    "$host.org",
    "a.org b.org",
    "a.org,",
    "1.2.3.4",
    "b\u00fc.org",
  ])("the section [hosts] refuses the host %j with its line", (name) => {
    const { value, errors } = hostsOf(`ok: a.org\ndavid: ${name}`);
    expect(value).toBeUndefined();
    expect(errors[0]).toMatchObject({ line: 3 });
    expect(errors[0]?.text).toMatch(/^expected a host name such as blog\.example\.org, or \*\. and a name/);
  });

  it("the section [hosts] refuses a second colon and a left side that is no subject, and warns about a line that grants nothing", () => {
    expect(hostsOf("david: a.org:80").errors[0]?.text).toContain('expected one ":"');
    expect(hostsOf("@: a.org").errors[0]?.text).toContain('before the ":"');
    expect(hostsOf("david:").warnings[0]?.text).toContain("grants no host");
  });
});

describe("the section [images]", () => {
  const imagesOf = (text: string) => parsePolicy(`[images]\n${text}`);

  it("the section [images] grants images and the network to users, groups and all owners", () => {
    const { value, errors, warnings } = imagesOf(
      "david: php:8.4-fpm, ghcr.io/david/* # his\n@web : php:*\n*: network=outbound",
    );
    expect([errors, warnings]).toEqual([[], []]);
    const php = { repository: "docker.io/library/php", below: false };
    expect(value?.images).toEqual([
      {
        line: 2,
        left: { kind: "user", name: "david" },
        right: [
          { ...php, version: ":8.4-fpm" },
          { repository: "ghcr.io/david", version: undefined, below: true },
        ],
        outbound: false,
      },
      { line: 3, left: { kind: "group", name: "web" }, right: [{ ...php, version: undefined }], outbound: false },
      { line: 4, left: "everyone", right: [], outbound: true },
    ]);
  });

  it("an entry of [images] that names no image is an error, and a line that grants none a warning", () => {
    const { value, errors } = imagesOf("david: PHP, php:8.4-fpm\nda vid: php\namy: php,, cgit");
    expect(value).toBeUndefined();
    const expected =
      "expected an image such as php:8.4-fpm, php:* for all its versions, ghcr.io/david/*, or network=outbound";
    expect(errors.map(({ line, text }) => `${line}: ${text}`)).toEqual([
      `2: ${expected}, between the commas after the ":", found "PHP"`,
      `3: expected the name of a user, or @ and the name of a group, or *, before the ":", found "da vid"`,
      `4: ${expected}, between the commas after the ":", found nothing`,
    ]);
    expect(imagesOf("david:\namy").warnings.map(({ line, text }) => `${line}: ${text}`)).toEqual([
      '2: "david:" grants no image: expected "user: php:8.4-fpm, ghcr.io/david/*"',
      '3: "amy" grants no image: expected "user: php:8.4-fpm, ghcr.io/david/*"',
    ]);
  });
});
