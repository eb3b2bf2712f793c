import { createServer } from "node:net";
import { ERROR_STATUS, type ErrorCode } from "@dmhost/contract";
import { afterEach, expect, test } from "vitest";
import { FAILURES } from "./failure.ts";
import { run } from "./session.fake.ts";
import { apiError, daemon, type FakeAnswer, fakeSupervisor } from "./supervisor.fake.ts";

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
});

const supervisor = async (answers: Record<string, FakeAnswer>) => {
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

test("`dmctl` without words is `dmctl status`", async () => {
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

test("a daemon is addressed by name or id, before or after the command, and its slash stays inside one path segment", async () => {
  const { socket, requests } = await supervisor(statuses);
  for (const line of ["web status", "status web", "alice/web status"]) {
    expect((await run(socket, line)).output).toMatch(/^daemon-id.*\nalice\/web .*\n$/);
  }
  expect(requests.at(-1)?.line).toBe("GET /v1/daemons/alice%2Fweb");
});

test("an address cannot leave its path segment", async () => {
  const { socket, requests } = await supervisor({});
  for (const id of ["../health", "%2e%2e", "a?b=c", "a#b"]) await run(socket, `status ${id}`);
  expect(requests.map(({ line }) => line)).toEqual([
    "GET /v1/daemons/..%2Fhealth",
    "GET /v1/daemons/%252e%252e",
    "GET /v1/daemons/a%3Fb%3Dc",
    "GET /v1/daemons/a%23b",
  ]);
});

test("--json prints the values of the contract", async () => {
  const { socket } = await supervisor({ ...statuses, "POST /v1/daemons/web/start": () => outcome(true) });
  const value = async (line: string): Promise<unknown> => JSON.parse((await run(socket, `${line} --json`)).output);
  expect(await value("status")).toEqual({ daemons: [idle, web] });
  expect(await value("web status")).toEqual({ daemons: [web] });
  expect(await value("list")).toEqual(["alice/idle", "alice/web"]);
  expect(await value("web pid")).toEqual({ id: "alice/web", pid: 4711 });
  expect(await value("web start")).toEqual(outcome(true));
});

test("list, pid, logfile and configfile print the value and nothing else", async () => {
  const { socket } = await supervisor(statuses);
  expect(await run(socket, "list")).toEqual({ code: 0, output: "alice/idle\nalice/web\n", errors: "" });
  expect(await run(socket, "web pid")).toEqual({ code: 0, output: "4711\n", errors: "" });
  expect((await run(socket, "logfile web")).output).toBe(`${web.logFile}\n`);
  expect((await run(socket, "web configfile")).output).toBe(`${web.configFile}\n`);
});

test("without a process, pid prints nothing that kill could take for a process id", async () => {
  const { socket } = await supervisor(statuses);
  expect(await run(socket, "idle pid")).toEqual({
    code: 1,
    output: "",
    errors: 'dmctl: "alice/idle" has no process\n',
  });
  expect((await run(socket, "idle logfile")).code).toBe(1);
});

test("start, stop and restart print the outcome, and the exit code says whether it is ok", async () => {
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

test("several daemons settle in parallel and are reported in order, and the exit code is the highest of them", async () => {
  const order: string[] = [];
  let end = (): void => undefined;
  const isQuickOver = new Promise<void>((resolve) => {
    end = resolve;
  });
  const slow: FakeAnswer = async () => {
    await isQuickOver;
    order.push("slow");
    return outcome(true);
  };
  const { socket } = await supervisor({
    "POST /v1/daemons/slow/stop": slow,
    "POST /v1/daemons/quick/stop": () => {
      order.push("quick");
      end();
      return outcome(false, "quick is stuck");
    },
  });
  const result = await run(socket, "stop slow quick missing");
  expect(order).toEqual(["quick", "slow"]);
  expect(result.code).toBe(3);
  expect(result.errors).toBe("dmctl: quick is stuck\ndmctl: no POST /v1/daemons/missing/stop\n");
});

test("kill sends the name of the signal, and refuses what is not a signal without a request", async () => {
  const { socket, requests } = await supervisor({ "POST /v1/daemons/web/kill": () => ({}) });
  for (const line of ["web kill -9", "kill -KILL web", "kill web SIGKILL", "kill KILL web"]) {
    expect(await run(socket, line)).toEqual({ code: 0, output: "", errors: "" });
  }
  expect(requests.map(({ body }) => JSON.parse(body))).toEqual(Array(4).fill({ signal: "KILL" }));
  for (const line of ["web kill -0", "kill web 0", "web kill -NOPE"]) expect((await run(socket, line)).code).toBe(2);
  expect(requests).toHaveLength(4);
});

test("warnings about conf files are printed by rescan and status, and are not failures", async () => {
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

test("rescan prints the daemons that it found and the files that it could not load", async () => {
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

test.each(Object.keys(ERROR_STATUS).map((code) => [code as ErrorCode, FAILURES[code as ErrorCode].exit] as const))(
  "the API error %s is exit code %d, with its message and details",
  async (code, exit) => {
    const { socket } = await supervisor({
      "POST /v1/daemons/web/start": () => apiError(code, "why, and what to do", ["alice/web", "bob/web\u001b[2J"]),
    });
    expect(await run(socket, "web start")).toEqual({
      code: exit,
      output: "",
      errors: "dmctl: why, and what to do\n  alice/web\n  bob/web\\x1b[2J\n",
    });
  },
);

test("help and version need no supervisor, and health without one is exit code 4", async () => {
  const nowhere = "/nonexistent/command.sock";
  expect(await run(nowhere, "--version")).toMatchObject({
    code: 0,
    output: expect.stringMatching(/^dmctl \d+\.\d+\.\d+\n$/),
  });
  const help = await run(nowhere, "help");
  expect(help).toEqual(await run(nowhere, "--help"));
  expect(help.output.split("\n").every((line) => line.length <= 120)).toBe(true);
  expect((await run(nowhere, "kill --help")).output).toMatch(/^usage: dmctl kill ID \[-SIGNAL\] \[OPTION\]\.{3}\n/);
  expect((await run(nowhere, "help frobnicate")).code).toBe(2);
  expect(await run(nowhere, "health")).toMatchObject({ code: 4, errors: expect.stringContaining(nowhere) });
});

test.each([
  ["", 0, ""],
  ["1 host has been pending", 1, "problem     1 host has been pending\n"],
])("health with the problem %j is exit code %d", async (problem, code, line) => {
  const health = { version: "1.0.0", pid: 7, uptime: 1, containment: "cgroup", shim: "current", problem };
  const fake = await supervisor({ "GET /v1/health": (_, respond) => void respond.end(JSON.stringify(health)) });
  const ended = await run(fake.socket, "health");
  expect(ended).toMatchObject({ code, output: expect.stringMatching(new RegExp(`shim        current\n${line}$`)) });
});

test("an answer that is not JSON, and one that is not HTTP, are exit code 4", async () => {
  const fake = await supervisor({ "GET /v1/health": (_, respond) => void respond.end("<html>") });
  expect(await run(fake.socket, "health")).toMatchObject({ code: 4, errors: expect.stringContaining("no JSON") });
  const other = `${fake.dir}/other.sock`;
  const server = createServer((socket) => socket.resume().end("220 mail\r\n\r\n")).listen(other);
  expect(await run(other, "health")).toMatchObject({ code: 4, errors: expect.stringContaining("no HTTP") });
  await new Promise((resolve) => server.close(resolve));
});

test("an answer that breaks off prints nothing and is exit code 4", async () => {
  const { socket } = await supervisor({
    "GET /v1/daemons": (_, respond) => {
      respond.writeHead(200, { "content-length": 1000 });
      respond.write('{"daemons":[]}', () => respond.destroy());
    },
  });
  expect(await run(socket, "list")).toMatchObject({ code: 4, output: "" });
});

test("colour is used only on a terminal and without NO_COLOR", async () => {
  const { socket } = await supervisor(statuses);
  const esc = String.fromCodePoint(27);
  expect((await run(socket, "")).output).not.toContain(esc);
  expect((await run(socket, "", { terminal: true })).output).toContain(`${esc}[32mrunning`);
  expect((await run(socket, "", { terminal: true, env: { NO_COLOR: "1" } })).output).not.toContain(esc);
});
