/** dmctl as a process: run by Node from its sources, and by Bun, which compiles the shipped program. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { apiError, daemon, type FakeAnswer, fakeSupervisor } from "./supervisor.fake.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const LINE = "@4000000037c219bf2ef02e94 x\n";
const daemons = Array.from({ length: 5000 }, (_, index) => daemon(`alice/site${index}`));
const bunArch = process.arch === "arm64" ? "aarch64" : process.arch;
const BUN = resolve(import.meta.dirname, `../../../node_modules/@oven/bun-linux-${bunArch}/bin/bun`);

let fake: Awaited<ReturnType<typeof fakeSupervisor>>;
let sent = 0;
const endless: FakeAnswer = (_, respond) => {
  const more = (): void => {
    do sent += 65_536;
    while (respond.write(Buffer.alloc(65_536, "x")));
    respond.once("drain", more);
  };
  more();
};
beforeEach(async () => {
  sent = 0;
  fake = await fakeSupervisor({
    "GET /v1/daemons": () => ({ daemons }),
    "GET /v1/daemons/web/log": (_, respond) => void respond.end(LINE),
    "GET /v1/daemons/web/log?lines=10&follow=1": (_, respond) => void respond.write(LINE),
    "GET /v1/daemons/cut/log?lines=10&follow=1": (_, respond) => {
      respond.write(LINE);
      setTimeout(() => respond.socket?.end(), 50);
    },
    "GET /v1/daemons/ended/log?lines=10&follow=1": (_, respond) => void respond.end(LINE),
    "GET /v1/daemons/endless/log": endless,
    "GET /v1/daemons/none/log": () => apiError("not-applicable", "no log is kept"),
    "GET /v1/health": (_, respond) => void respond.socket?.destroy(),
    "GET /v1/daemons/web": (_, respond) => {
      respond.writeHead(200, { "content-length": 1000 });
      respond.write('{"id":"alice/web","pid":4711}', () => respond.socket?.end());
    },
    "GET /v1/daemons/late": (_, respond) => {
      if (fake.requests.length > 2) return daemon("alice/late", { pid: 4712 });
      return void respond.socket?.destroy();
    },
    "GET /v1/daemons/moved": (_, respond) => {
      respond.writeHead(302, { location: "http://dmhost/v1/daemons" });
      respond.end();
    },
  });
});
afterEach(() => fake.close());

const env = (more: Record<string, string> = {}) => ({
  PATH: process.env["PATH"] ?? "",
  DMCTL_SOCKET: fake.socket,
  ...more,
});

describe.each([
  ["Node", process.execPath],
  ["Bun", BUN],
])("dmctl in %s", (_, runtime) => {
  const dmctl = async (line: string, more: Record<string, string> = {}) => {
    const child = spawn(runtime, [MAIN, ...line.split(" ")], { env: env(more), stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let errors = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (errors += chunk));
    const [code] = await once(child, "close");
    return { code, output, errors };
  };

  test("dmctl writes a big table to a pipe completely", async () => {
    const { stdout } = await promisify(execFile)(runtime, [MAIN], { env: env(), maxBuffer: 10_000_000 });
    expect(stdout.split("\n")).toHaveLength(daemons.length + 2);
  });

  test("dmctl exits without an error when its reader leaves early", async () => {
    const line = `"$0" "$1" | head -n 1; "$0" "$1" | true; "$0" "$1" log endless | head -c 9`;
    const result = await promisify(execFile)("/bin/sh", ["-c", line, runtime, MAIN], { env: env() });
    expect(result.stdout).toMatch(/^daemon-id[^\n]*\nx{9}$/);
    expect(result.stderr).toBe("");
  });

  test("dmctl exits with the code of the command", async () => {
    expect((await dmctl("frobnicate")).code).toBe(2);
    expect((await dmctl("start missing")).code).toBe(3);
  });

  test("dmctl shows stamps in the time zone of the reader, summer time included", async () => {
    const shown = async (TZ: string): Promise<string> => (await dmctl("log web", { TZ })).output;
    expect(await shown("America/New_York")).toBe("1999-08-24 00:03:43.787492500 x\n");
    expect(await shown("Asia/Kathmandu")).toBe("1999-08-24 09:48:43.787492500 x\n");
  });

  test("dmctl ends a followed log at Ctrl-C with exit code 0 and no message", async () => {
    const child = spawn(runtime, [MAIN, "tail", "web", "--raw"], { env: env() });
    const [first] = await once(child.stdout, "data");
    expect(String(first)).toBe(LINE);
    let errors = "";
    child.stderr.on("data", (chunk) => (errors += chunk));
    child.kill("SIGINT");
    expect(await once(child, "close")).toEqual([0, null]);
    expect(errors).toBe("");
  });

  test.each(["cut", "ended"])("dmctl exits with code 4 when the supervisor has %s a followed log", async (id) => {
    const { code, output, errors } = await dmctl(`tail ${id} --raw`);
    expect([code, output]).toEqual([4, LINE]);
    expect(errors).toContain(`dmctl: the log of "${id}" broke off: the supervisor closed it: `);
  });

  test("dmctl exits with code 4 when an answer breaks off or never comes", async () => {
    const message = `dmctl: cannot reach ${fake.socket}: it closed the connection before the end of its answer\n`;
    expect(await dmctl("pid web")).toEqual({ code: 4, output: "", errors: message });
    expect(await dmctl("health")).toEqual({ code: 4, output: "", errors: message });
  });

  test("dmctl asks again when the supervisor was replaced before it answered", async () => {
    expect(await dmctl("pid late")).toEqual({ code: 0, output: "4712\n", errors: "" });
    expect(fake.requests.map(({ line }) => line)).toEqual(Array(3).fill("GET /v1/daemons/late"));
  });

  test("dmctl follows no redirect", async () => {
    const { code, errors } = await dmctl("pid moved");
    expect([code, errors]).toEqual([4, expect.stringContaining("HTTP status 302")]);
  });

  test("dmctl reports an error answer in place of a log", async () => {
    expect(await dmctl("log none")).toEqual({ code: 1, output: "", errors: "dmctl: no log is kept\n" });
  });

  test("dmctl refuses a name that a URL would resolve, and sends no request", async () => {
    for (const id of ["..", "."]) expect((await dmctl(`status ${id}`)).code).toBe(2);
    expect(fake.requests).toEqual([]);
  });

  test("the supervisor stops sending a log when the reader of dmctl stops reading", async () => {
    const child = spawn(runtime, [MAIN, "log", "endless"], { env: env() });
    await once(child.stdout, "readable");
    await expect
      .poll(
        async () => {
          const before = sent;
          await new Promise((resolve) => setTimeout(resolve, 200));
          return sent - before;
        },
        { timeout: 20_000 },
      )
      .toBe(0);
    expect(sent).toBeLessThan(8_000_000);
    child.stdout.destroy();
    expect(await once(child, "close")).toEqual([0, null]);
  });

  test("dmctl exits with code 4 when nobody listens at the socket", async () => {
    const dead = `${fake.dir}/dead.sock`;
    const bind = "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])";
    await promisify(execFile)("python3", ["-c", bind, dead]);
    const { code, errors } = await dmctl("health", { DMCTL_SOCKET: dead });
    const message = `dmctl: no supervisor: nothing listens at ${dead}\nstart one with "./dmhost up", or unset DMCTL_SOCKET\n`;
    expect([code, errors]).toEqual([4, message]);
  });

  test("dmctl exits with code 4 when the socket speaks another protocol", async () => {
    const other = `${fake.dir}/other.sock`;
    const greeting = "220 mail.example.org ESMTP ready\r\n\r\n";
    const server = createServer((socket) =>
      socket
        .on("error", () => {})
        .resume()
        .write(greeting),
    ).listen(other);
    const { code, errors } = await dmctl("health", { DMCTL_SOCKET: other });
    expect([code, errors]).toEqual([4, `dmctl: the answer at ${other} is not the control API v1: no HTTP\n`]);
    await new Promise((resolve) => server.close(resolve));
  });
});
