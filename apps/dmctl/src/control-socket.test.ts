import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import type { UnixFetch } from "@dmhost/client";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { candidates, supervisorClient } from "./control-socket.ts";

const me = userInfo();
const HEALTHY = { status: 200, body: null, text: () => Promise.resolve("{}") };

/** The socket that a request is sent to. @param dead the sockets that refuse connections */
const usedSocket = async (
  env: Record<string, string>,
  uid: number,
  places: readonly string[],
  dead: readonly string[] = [],
): Promise<string> => {
  let used = "";
  const fetch: UnixFetch = (_, { unix }) => {
    if (dead.includes(unix)) throw Object.assign(new Error(`connect ${unix}`), { code: "ECONNREFUSED" });
    used = unix;
    return Promise.resolve(HEALTHY);
  };
  await supervisorClient(env, uid, fetch, 0, places).call("getHealth");
  return used;
};

let dir = "";
let servers: Server[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "dmctl-test-"));
});
afterEach(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  servers = [];
  rmSync(dir, { recursive: true, force: true });
});

const listen = async (path: string): Promise<string> => {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
};

test("the socket is looked for in the home, then as the user's own, then as the public one", () => {
  expect(candidates({ HOME: "/home/x" }, me.uid, "/run/d")).toEqual([
    "/home/x/.daemon-manager/command.sock",
    `/run/d/users/${me.username}/command.sock`,
    "/run/d/command.sock",
  ]);
  expect(candidates({ HOME: "relative" }, me.uid, "/run/d")[0]).toBe(`${me.homedir}/.daemon-manager/command.sock`);
  expect(candidates({ HOME: "/home/x", DMCTL_SOCKET: "/s" }, me.uid)).toEqual(["/s"]);
  expect(candidates({ DMCTL_SOCKET: "" }, 4_000_000, "/run/d")).toEqual(["/run/d/command.sock"]);
});

test("the first socket that exists is used, by its real path", async () => {
  const socket = await listen(join(dir, "real.sock"));
  symlinkSync(socket, join(dir, "link"));
  symlinkSync(join(dir, "nowhere"), join(dir, "dangling"));
  const places = [join(dir, "missing"), join(dir, "dangling"), join(dir, "link")];
  expect(await usedSocket({}, me.uid, places)).toBe(socket);
});

test("without any socket, the failure is unreachable and names the paths that were tried", async () => {
  const places = [join(dir, "a"), join(dir, "b")];
  const message = expect.stringContaining(`${dir}/a, ${dir}/b`);
  await expect(usedSocket({}, me.uid, places)).rejects.toThrow(
    expect.objectContaining({ code: "unreachable", message }),
  );
});

test("the next socket is used when nothing listens at the one before", async () => {
  const [dead, alive] = [await listen(join(dir, "dead")), await listen(join(dir, "alive"))];
  expect(await usedSocket({}, me.uid, [dead, alive], [dead])).toBe(alive);
});

test("when nothing listens anywhere, the failure is unreachable and names all that was tried", async () => {
  const dead = await listen(join(dir, "dead"));
  symlinkSync(dead, join(dir, "link"));
  const places = [join(dir, "link"), dead, join(dir, "missing")];
  await expect(usedSocket({}, me.uid, places, [dead])).rejects.toThrow(
    expect.objectContaining({
      code: "unreachable",
      message:
        `no supervisor: nothing listens at ${dir}/link (${dead}), ${dead}; there is no socket at ${dir}/missing\n` +
        'start one with "./dmhost up", or set DMCTL_SOCKET to its socket',
    }),
  );
});

test("a request that was sent is not sent to another socket when the connection breaks", async () => {
  const [first, second] = [await listen(join(dir, "first")), await listen(join(dir, "second"))];
  const tried: string[] = [];
  const fetch: UnixFetch = (_, { unix }) => {
    tried.push(unix);
    throw Object.assign(new Error("broken"), { code: "ECONNRESET" });
  };
  const client = supervisorClient({}, me.uid, fetch, 0, [first, second]);
  await expect(client.call("getHealth")).rejects.toThrow(`cannot reach ${first}: it closed the connection`);
  expect(tried).toEqual([first]);
});

describe("a supervisor that is being replaced", () => {
  const PATIENT = 10_000;
  const broken = (code: string): Error => Object.assign(new Error(code), { code });
  const stopping = { status: 503, body: null, text: async () => '{"code":"stopping","message":"it is stopping"}' };

  /** A client whose requests have these results in turn, then a healthy one; and how many were sent. */
  const client = async (...results: (Error | typeof stopping)[]) => {
    const sent = { count: 0 };
    const fetch: UnixFetch = async () => {
      sent.count += 1;
      const result = results[sent.count - 1] ?? HEALTHY;
      if (result instanceof Error) throw result;
      return result;
    };
    return { sent, client: supervisorClient({}, me.uid, fetch, PATIENT, [await listen(join(dir, "socket"))]) };
  };

  test.each([
    ["nothing listens", broken("ECONNREFUSED")],
    ["its socket is gone", broken("ENOENT")],
    ["too many clients wait for it", broken("EAGAIN")],
    ["it is stopping", stopping],
  ])("any request is sent again while %s", async (_, failure) => {
    const { sent, client: patient } = await client(failure, failure);
    await patient.call("kill", { params: { address: "web" }, body: { signal: "KILL" } });
    expect(sent.count).toBe(3);
  });

  test("a request whose connection broke is sent again where it is idempotent", async () => {
    const { sent, client: patient } = await client(broken("ECONNRESET"), broken("EPIPE"));
    await patient.call("stop", { params: { address: "web" } });
    expect(sent.count).toBe(3);
  });

  test.each(["restart", "once", "exit"] as const)("a %s whose connection broke is not sent again", async (name) => {
    const { sent, client: patient } = await client(broken("ECONNRESET"));
    await expect(patient.call(name, { params: { address: "web" } })).rejects.toThrow("it closed the connection");
    expect(sent.count).toBe(1);
  });

  test("a request for health is sent once", async () => {
    const { sent, client: patient } = await client(broken("ECONNREFUSED"));
    await expect(patient.call("getHealth")).rejects.toThrow("no supervisor: nothing listens at");
    expect(sent.count).toBe(1);
  });

  test("a socket that appears is used, and no directory of a socket means that none will", async () => {
    const late = join(dir, "late");
    const used: string[] = [];
    const fetch: UnixFetch = async (_, { unix }) => {
      used.push(unix);
      return HEALTHY;
    };
    const answer = supervisorClient({}, me.uid, fetch, PATIENT, [late]).call("listDaemons");
    await listen(late);
    await answer;
    expect(used).toEqual([late]);
    const nowhere = supervisorClient({}, me.uid, fetch, 1e9, [join(dir, "none", "socket")]);
    await expect(nowhere.call("listDaemons")).rejects.toThrow(`there is no socket at ${dir}/none/socket`);
  });

  test("the patience ends", async () => {
    const places = [await listen(join(dir, "socket"))];
    const fetch: UnixFetch = () => Promise.reject(broken("ECONNREFUSED"));
    await expect(supervisorClient({}, me.uid, fetch, 120, places).call("listDaemons")).rejects.toThrow("no supervisor");
  });
});

test("root gets the advice to start a supervisor, and a tenant to ask for one", async () => {
  const places = [join(dir, "none", "socket")];
  await expect(usedSocket({}, 0, places)).rejects.toThrow(/\nstart one with "\.\/dmhost up", or set DMCTL_SOCKET/);
  await expect(usedSocket({}, 4_000_000, places)).rejects.toThrow(
    "\nask the administrator of this machine to start it, or set DMCTL_SOCKET to its socket",
  );
});

test("a file that is not a socket is refused, even if DMCTL_SOCKET names it", async () => {
  const path = join(dir, "file");
  writeFileSync(path, "");
  const refused = expect.objectContaining({
    code: "permission-denied",
    message: expect.stringContaining("not a socket"),
  });
  await expect(usedSocket({}, me.uid, [path])).rejects.toThrow(refused);
  await expect(usedSocket({ DMCTL_SOCKET: path }, me.uid, [path])).rejects.toThrow(refused);
});

test("a socket in a directory that others may write is refused, unless it is sticky or DMCTL_SOCKET names the socket", async () => {
  const open = join(dir, "open");
  mkdirSync(open);
  chmodSync(open, 0o777);
  const socket = await listen(join(open, "s"));
  const message = expect.stringContaining(`its directory ${open} can be written by others (mode 777)`);
  await expect(usedSocket({}, me.uid, [socket])).rejects.toThrow(
    expect.objectContaining({ code: "permission-denied", message }),
  );
  expect(await usedSocket({ DMCTL_SOCKET: socket }, me.uid, [socket])).toBe(socket);
  chmodSync(open, 0o1777);
  expect(await usedSocket({}, me.uid, [socket])).toBe(socket);
});

test("a socket that belongs to another user, or lies in another user's directory, is refused", async () => {
  const socket = await listen(join(dir, "s"));
  const stranger = 4_000_000;
  // Root's things are trusted by everybody, so as root the stranger's have to be made.
  if (me.uid === 0) {
    chownSync(socket, stranger, -1);
  }
  const caller = me.uid === 0 ? 0 : stranger;
  const refusal = (what: string) =>
    expect.objectContaining({ code: "permission-denied", message: expect.stringContaining(what) });
  await expect(usedSocket({}, caller, [socket])).rejects.toThrow(refusal("it belongs to uid"));
  if (me.uid === 0) {
    chownSync(socket, 0, -1);
    chownSync(dir, stranger, -1);
    await expect(usedSocket({}, caller, [socket])).rejects.toThrow(refusal(`its directory ${dir} belongs to uid`));
  }
});
