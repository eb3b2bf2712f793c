import { createServer } from "node:net";
import { Readable } from "node:stream";
import type { ErrorCode } from "@dmhost/contract";
import { afterEach, expect, test } from "vitest";
import { EXIT_OF_ERROR } from "./failure.ts";
import { run } from "./session.fake.ts";
import { type Answer, apiError, daemon, fakeSupervisor } from "./supervisor.fake.ts";

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
});

const supervisor = async (answers: Record<string, Answer>) => {
  const fake = await fakeSupervisor(answers);
  closing.push(fake.close);
  return fake;
};

const web = daemon("alice/web");
const idle = daemon("alice/idle", { state: "stopped", desiredState: "down", pid: 0, logFile: "" });
const statuses = {
  "GET /v1/daemons": () => ({ daemons: [idle, web] }),
  "GET /v1/daemons?usage=1": () => ({ daemons: [idle, web] }),
  "GET /v1/daemons/web": () => web,
  "GET /v1/daemons/alice%2Fweb": () => web,
  "GET /v1/daemons/idle": () => idle,
};
const outcome = (ok: boolean, reason = "", lastLogLine = "", advice = "") => ({
  ok,
  reason,
  lastLogLine,
  advice,
  daemon: ok ? web : { ...web, state: "failed", pid: 0 },
});

test("dmctl alone is dmctl status", async () => {
  const { socket } = await supervisor(statuses);
  const alone = await run(socket, "");
  expect(alone).toEqual(await run(socket, "status"));
  expect(alone.code).toBe(0);
  expect(alone.output.split("\n").map((line) => line.split(/ +/)[0])).toEqual([
    "daemon-id",
    "alice/idle",
    "alice/web",
    "",
  ]);
});

test("one daemon by name or id, in both word orders, with its slash inside the segment", async () => {
  const { socket, asked } = await supervisor(statuses);
  for (const line of ["web status", "status web", "alice/web status"]) {
    expect((await run(socket, line)).output).toMatch(/^daemon-id.*\nalice\/web .*\n$/);
  }
  expect(asked.at(-1)?.line).toBe("GET /v1/daemons/alice%2Fweb");
});

test("an address cannot leave its segment", async () => {
  const { socket, asked } = await supervisor({});
  for (const id of ["../health", "%2e%2e", "a?b=c", "a#b"]) await run(socket, `status ${id}`);
  expect(asked.map(({ line }) => line)).toEqual([
    "GET /v1/daemons/..%2Fhealth",
    "GET /v1/daemons/%252e%252e",
    "GET /v1/daemons/a%3Fb%3Dc",
    "GET /v1/daemons/a%23b",
  ]);
});

test("--json prints the contract's values", async () => {
  const { socket } = await supervisor({ ...statuses, "POST /v1/daemons/web/start": () => outcome(true) });
  const value = async (line: string): Promise<unknown> => JSON.parse((await run(socket, `${line} --json`)).output);
  expect(await value("status")).toEqual({ daemons: [idle, web] });
  expect(await value("web status")).toEqual({ daemons: [web] });
  expect(await value("list")).toEqual(["alice/idle", "alice/web"]);
  expect(await value("web pid")).toEqual({ id: "alice/web", pid: 4711 });
  expect(await value("web start")).toEqual(outcome(true));
});

test("list, pid, logfile and configfile print just that", async () => {
  const { socket } = await supervisor(statuses);
  expect(await run(socket, "list")).toEqual({ code: 0, output: "alice/idle\nalice/web\n", errors: "" });
  expect(await run(socket, "web pid")).toEqual({ code: 0, output: "4711\n", errors: "" });
  expect((await run(socket, "logfile web")).output).toBe(`${web.logFile}\n`);
  expect((await run(socket, "web configfile")).output).toBe(`${web.configFile}\n`);
});

test("where there is no pid, nothing is printed that kill could take for one", async () => {
  const { socket } = await supervisor(statuses);
  expect(await run(socket, "idle pid")).toEqual({
    code: 1,
    output: "",
    errors: 'dmctl: "alice/idle" has no process\n',
  });
  expect((await run(socket, "idle logfile")).code).toBe(1);
});

test("start, stop and restart tell how it came out, and exit so", async () => {
  const reason = 'cannot start "alice/web": entering /srv/x: no such directory';
  const { socket } = await supervisor({
    "POST /v1/daemons/web/start": () => outcome(true),
    "POST /v1/daemons/web/restart": () => outcome(false, reason),
    "POST /v1/daemons/web/stop": () => ({
      ok: true,
      reason: "",
      lastLogLine: "",
      advice: "",
      daemon: { ...idle, warnings: ["/x.conf:3: unknown"] },
    }),
  });
  expect(await run(socket, "web start")).toEqual({ code: 0, output: "alice/web running, pid 4711\n", errors: "" });
  expect(await run(socket, "restart web")).toEqual({ code: 1, output: "", errors: `dmctl: ${reason}\n` });
  expect(await run(socket, "stop web")).toEqual({
    code: 0,
    output: "alice/idle stopped\n",
    errors: "warning: /x.conf:3: unknown\n",
  });
});

test("several daemons settle side by side and are told of in order; the gravest is the exit code", async () => {
  const order: string[] = [];
  const slow: Answer = async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    order.push("slow");
    return outcome(true);
  };
  const { socket } = await supervisor({
    "POST /v1/daemons/slow/stop": slow,
    "POST /v1/daemons/quick/stop": () => {
      order.push("quick");
      return outcome(false, "quick is stuck");
    },
  });
  const result = await run(socket, "stop slow quick missing");
  expect(order).toEqual(["quick", "slow"]);
  expect(result.code).toBe(3);
  expect(result.errors).toBe("dmctl: quick is stuck\ndmctl: no POST /v1/daemons/missing/stop\n");
});

test("kill sends the contract's name of the signal, and an impossible one goes nowhere", async () => {
  const { socket, asked } = await supervisor({ "POST /v1/daemons/web/kill": () => ({}) });
  for (const line of ["web kill -9", "kill -KILL web", "kill web SIGKILL", "kill KILL web"]) {
    expect(await run(socket, line)).toEqual({ code: 0, output: "", errors: "" });
  }
  expect(asked.map(({ body }) => JSON.parse(body))).toEqual(Array(4).fill({ signal: "KILL" }));
  for (const line of ["web kill -0", "kill web 0", "web kill -NOPE"]) expect((await run(socket, line)).code).toBe(2);
  expect(asked).toHaveLength(4);
});

test("what files say that is passed over is told by rescan and by status in a pipe, and is no failure", async () => {
  const warnings = ["/home/alice/x.conf:2: unknown key \u001b"];
  const { socket } = await supervisor({
    "POST /v1/rescan": () => ({ found: ["alice/x"], started: [], changed: [], removed: [], problems: [], warnings }),
    "GET /v1/daemons": () => ({ daemons: [daemon("alice/x", { warnings })] }),
    "GET /v1/daemons?usage=1": () => ({ daemons: [daemon("alice/x", { warnings })] }),
  });
  const errors = "warning: /home/alice/x.conf:2: unknown key \\x1b\n";
  expect(await run(socket, "rescan")).toEqual({ code: 0, output: "found   alice/x\n", errors });
  expect(await run(socket, "status")).toMatchObject({ code: 0, errors });
  expect(await run(socket, "status", { terminal: true })).toMatchObject({
    errors: "",
    output: expect.stringContaining(errors),
  });
  expect(await run(socket, "status --long")).toMatchObject({ errors: "", output: expect.stringContaining(errors) });
  for (const verb of ["status", "rescan"])
    expect(await run(socket, `${verb} --json`)).toMatchObject({ code: 0, errors: "" });
});

test("rescan names what it found, and what it could not load", async () => {
  const result = {
    found: ["alice/new"],
    started: ["alice/new"],
    changed: [],
    removed: [],
    problems: [] as string[],
    warnings: [] as string[],
  };
  const { socket } = await supervisor({ "POST /v1/rescan": () => result });
  expect(await run(socket, "scan")).toEqual({ code: 0, output: "found   alice/new\nstarted alice/new\n", errors: "" });
  result.problems.push("/home/alice/x.conf:2: expected start=");
  expect(await run(socket, "rescan")).toMatchObject({
    code: 1,
    errors: "dmctl: /home/alice/x.conf:2: expected start=\n",
  });
});

test.each(Object.entries(EXIT_OF_ERROR))(
  "an answer of %s is exit code %d, with its message and details",
  async (code, exit) => {
    const { socket } = await supervisor({
      "POST /v1/daemons/web/start": () =>
        apiError(code as ErrorCode, "why, and what to do", ["alice/web", "bob/web\u001b[2J"]),
    });
    expect(await run(socket, "web start")).toEqual({
      code: exit,
      output: "",
      errors: "dmctl: why, and what to do\n  alice/web\n  bob/web\\x1b[2J\n",
    });
  },
);

test("help and version need no supervisor; health without one is exit code 4", async () => {
  const nowhere = "/nonexistent/command.sock";
  expect(await run(nowhere, "--version")).toMatchObject({
    code: 0,
    output: expect.stringMatching(/^dmctl \d+\.\d+\.\d+\n$/),
  });
  const help = await run(nowhere, "help");
  expect(help).toEqual(await run(nowhere, "--help"));
  expect(help.output.split("\n").every((line) => line.length <= 120)).toBe(true);
  expect((await run(nowhere, "kill --help")).output).toMatch(/^usage: dmctl kill ID \[-SIGNAL\]\n/);
  expect((await run(nowhere, "help frobnicate")).code).toBe(2);
  expect(await run(nowhere, "health")).toMatchObject({ code: 4, errors: expect.stringContaining(nowhere) });
});

test("a socket that nobody listens at, and one where something else answers, are exit code 4", async () => {
  const fake = await supervisor({ "GET /v1/health": (_, respond) => void respond.end("<html>") });
  expect(await run(fake.socket, "health")).toMatchObject({ code: 4, errors: expect.stringContaining("no JSON") });
  const other = `${fake.dir}/other.sock`;
  const server = createServer((socket) => socket.resume().end("220 mail\r\n\r\n")).listen(other);
  expect(await run(other, "health")).toMatchObject({ code: 4, errors: expect.stringContaining("no HTTP") });
  await new Promise((resolve) => server.close(resolve));
});

test("an answer that breaks off is no answer", async () => {
  const { socket } = await supervisor({
    "GET /v1/daemons": (_, respond) => {
      respond.writeHead(200, { "content-length": 1000 });
      respond.write('{"daemons":[]}', () => respond.destroy());
    },
  });
  expect(await run(socket, "list")).toMatchObject({ code: 4, output: "" });
});

test("colour only on a terminal and without NO_COLOR", async () => {
  const { socket } = await supervisor(statuses);
  const esc = String.fromCodePoint(27);
  expect((await run(socket, "")).output).not.toContain(esc);
  expect((await run(socket, "", { terminal: true })).output).toContain(`${esc}[32mrunning`);
  expect((await run(socket, "", { terminal: true, env: { NO_COLOR: "1" } })).output).not.toContain(esc);
});

test("explain --policy asks with three words, and its exit code is the answer", async () => {
  const answer = (allowed: boolean) => ({ allowed, reason: "so it is", source: "/etc/p.conf:9" });
  const { socket, asked } = await supervisor({
    "GET /v1/policy?caller=david&verb=restart&address=amy%2Fblog": () => answer(true),
    "GET /v1/policy?caller=amy&verb=run-as&address=www-data": () => answer(false),
  });
  expect(await run(socket, "explain --policy david restart amy/blog")).toEqual({
    code: 0,
    output: "yes: so it is (/etc/p.conf:9)\n",
    errors: "",
  });
  expect(await run(socket, "explain amy run-as www-data --policy")).toMatchObject({
    code: 1,
    output: "no: so it is (/etc/p.conf:9)\n",
  });
  expect(asked).toHaveLength(2);
  for (const line of ["explain --policy david restart", "explain a b c", "explain", "explain --policy a frob b/c"]) {
    expect((await run(socket, line)).code).toBe(2);
  }
  expect(asked).toHaveLength(2);
});

test("a refused start tells what was written last, and what to do, escaped", async () => {
  const { socket } = await supervisor({
    "POST /v1/daemons/web/start": () => outcome(false, "cannot start it", "no port\u001b[2J", "Free the port."),
  });
  expect((await run(socket, "start web")).errors).toBe(
    "dmctl: cannot start it\nit wrote: no port\\x1b[2J\nFree the port.\n",
  );
});

test("export prints what it gets", async () => {
  const { socket } = await supervisor({ "GET /v1/export": () => ({ version: "1", daemons: [] }) });
  expect(JSON.parse((await run(socket, "export")).output)).toEqual({ version: "1", daemons: [] });
});

test.each([
  ["hup web", "HUP"],
  ["web alarm", "ALRM"],
  ["web interrupt", "INT"],
  ["term web", "TERM"],
  ["web kill", "KILL"],
])("%s sends %s", async (line, signal) => {
  const { socket, asked } = await supervisor({ "POST /v1/daemons/web/kill": () => ({}) });
  expect((await run(socket, line)).code).toBe(0);
  expect(asked).toEqual([{ line: "POST /v1/daemons/web/kill", body: JSON.stringify({ signal }) }]);
});

test("tai64nlocal needs no supervisor, and escapes on a terminal alone", async () => {
  const input = () => Readable.from([Buffer.from("@4000000037c219bf2ef0"), Buffer.from("2e94 \u001b[2J\n@4 \n")]);
  const piped = await run("/nowhere", "tai64nlocal --utc", { input: input() });
  expect(piped).toEqual({ code: 0, output: "1999-08-24 04:03:43.787492500 \u001b[2J\n@4 \n", errors: "" });
  const shown = await run("/nowhere", "tai64nlocal --utc", { input: input(), terminal: true });
  expect(shown.output).toBe("1999-08-24 04:03:43.787492500 \\x1b[2J\n@4 \n");
  const old = await run("/nowhere", "tai64nlocal --utc --multilog", { input: input() });
  expect(old.output).toBe("1999-08-24 04:04:05.787492500 \u001b[2J\n@4 \n");
});

test("tai64nlocal says why its input cannot be read", async () => {
  const broken = new Readable({ read: (): void => void broken.destroy(new Error("EISDIR: illegal operation")) });
  const { code, errors } = await run("/nowhere", "tai64nlocal", { input: broken });
  expect([code, errors]).toEqual([1, "dmctl: cannot read standard input: EISDIR: illegal operation\n"]);
});
