/** What programs that call dmctl with --json rely on. */
import { afterEach, describe, expect, test } from "vitest";
import { run } from "./session.fake.ts";
import { apiError, daemon, type FakeAnswer, fakeSupervisor } from "./supervisor.fake.ts";

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
});

const supervisor = async (answers: Record<string, FakeAnswer>): Promise<string> => {
  const fake = await fakeSupervisor(answers);
  closing.push(fake.close);
  return fake.socket;
};

const web = daemon("alice/web", { warnings: ["/x.conf:3: unknown key"] });
const outcome = (fields: object) => ({
  ok: true,
  changed: true,
  reason: "",
  lastLogLine: "",
  advice: "",
  daemon: web,
  ...fields,
});
/** The documents of standard error, one a line. */
const errorsIn = (errors: string): unknown[] =>
  errors
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

describe.each([
  ["start", "web"],
  ["stop", "web"],
  ["restart", "web"],
  ["scale", "web 2"],
])("dmctl %s --json", (verb, operands) => {
  test.each([true, false])("a control command with --json prints the outcome with changed: %j", async (changed) => {
    const socket = await supervisor({ [`POST /v1/daemons/web/${verb}`]: () => outcome({ changed }) });
    const { code, output, errors } = await run(socket, `${verb} ${operands} --json`);
    expect([code, errors, JSON.parse(output)]).toEqual([0, "", outcome({ changed })]);
  });
});

test("an outcome that is not ok goes to standard output, and its error with the code failed to standard error", async () => {
  const failed = outcome({ ok: false, reason: 'cannot start "alice/web": no port', advice: "Free the port." });
  const socket = await supervisor({ "POST /v1/daemons/web/start": () => failed });
  const { code, output, errors } = await run(socket, "start web --json");
  expect([code, JSON.parse(output)]).toEqual([1, failed]);
  expect(errorsIn(errors)).toEqual([
    { error: { code: "failed", message: 'cannot start "alice/web": no port\nFree the port.' } },
  ]);
});

test("each error of several daemons is one line of JSON, and the answers stay apart from them", async () => {
  const socket = await supervisor({
    "POST /v1/daemons/web/stop": () => outcome({}),
    "POST /v1/daemons/two/stop": () => apiError("ambiguous", "which?\nwrite it in full", ["a/two", "b/two\u001b"]),
  });
  const { code, output, errors } = await run(socket, "stop two web none --json");
  expect([code, JSON.parse(output)]).toEqual([3, outcome({})]);
  expect(errorsIn(errors)).toEqual([
    { error: { code: "ambiguous", message: "which?\nwrite it in full", details: ["a/two", "b/two\u001b"] } },
    { error: { code: "not-found", message: "no POST /v1/daemons/none/stop" } },
  ]);
  expect(errors).not.toContain("\u001b");
});

test.each([
  ["pid idle --json", 1, "not-applicable"],
  ["status nobody --json", 3, "not-found"],
  ["rescan --json", 1, "invalid-file"],
  ["restart --json", 2, "usage"],
  ["stauts --json", 2, "usage"],
  ["status --jsno --json", 2, "usage"],
  ["edit web --json", 2, "usage"],
  ["--json=true health", 2, "usage"],
  ["start web --json=yes", 2, "usage"],
  ["start web --json=", 2, "usage"],
])("`dmctl %s` exits with code %i, and its error has the code %s", async (line, exit, code) => {
  const socket = await supervisor({
    "GET /v1/daemons/idle": () => daemon("alice/idle", { pid: 0 }),
    "POST /v1/rescan": () => ({
      found: [],
      started: [],
      changed: [],
      removed: [],
      problems: ["/x: no"],
      warnings: ["w"],
    }),
  });
  const result = await run(socket, line);
  expect([result.code, errorsIn(result.errors)]).toEqual([
    exit,
    [{ error: expect.objectContaining({ code, message: expect.any(String) }) }],
  ]);
});

test("a supervisor that is not there is an error with the code unreachable", async () => {
  const { code, output, errors } = await run("/nonexistent/command.sock", "health --json");
  expect([code, output, errorsIn(errors)]).toEqual([
    4,
    "",
    [{ error: { code: "unreachable", message: expect.stringContaining("/nonexistent/command.sock") } }],
  ]);
});

test("after `--`, --json is a name, and errors stay text", async () => {
  const { errors } = await run("/nonexistent/command.sock", "status -- --json");
  expect(errors).toMatch(/^dmctl: /);
});
