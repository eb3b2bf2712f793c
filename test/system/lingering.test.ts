/** Tenants who send descriptors that take long to close: neither the shim nor the supervisor waits for them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { waitsOf } from "./proc.ts";
import { CHECKOUT, succeed, until } from "./program.ts";
import { lineOf, ShimProgram } from "./shim-program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

/**
 * Sends TCP sockets whose last close takes ten minutes to a UNIX socket, and closes them at once, so that the receiver is the last
 * to close some of them. Says `refused` where the kernel refuses them, else `sent`.
 */
const SENDER = `
import array, os, socket, struct, sys, time
kind, path = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
target = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "message" else socket.SOCK_STREAM)
target.connect(path)
def send():
    client = socket.create_connection(listener.getsockname())
    client.setblocking(False)
    try:
        while True: client.send(b"x" * 65536)
    except BlockingIOError: pass
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))
    try: target.sendmsg([b"GET /v1/health HTTP/1.1\\r\\n"], [rights])
    except PermissionError: os._exit(1)
    os.close(client.detach())
    os._exit(0)
for attempt in range(20):
    if os.fork() == 0: send()
time.sleep(1)
print("refused" if os.waitpid(-1, os.WNOHANG)[1] else "sent", flush=True)
time.sleep(1000)
`;

/** Sends 16 such sockets, one with each message, to each of its arguments, to all at the same time. */
const CROWD = `
import array, os, socket, struct, sys, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
listener.bind(("127.0.0.1", 0))
listener.listen(4096)
def make():
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.connect(listener.getsockname())
    client.setblocking(False)
    try:
        while True: client.send(b"x" * 4096)
    except BlockingIOError: pass
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    return client
begin = time.time() + 4
for path in sys.argv[1:]:
    if os.fork() != 0: continue
    target = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    target.connect(path)
    clients = [make() for each in range(16)]
    time.sleep(max(0, begin - time.time()))
    print("begun", flush=True)
    for client in clients:
        target.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))])
        os.close(client.detach())
    os._exit(0)
time.sleep(1000)
`;

let stage: Stage;
let mallory: Account;
let bob: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  [mallory, bob] = [await stage.account("mallory"), await stage.account("bob")];
  mallory.write("send.py", SENDER);
  mallory.writeConf(
    "sender",
    `start = exec /usr/bin/python3 ${mallory.home}/send.py message "$NOTIFY_SOCKET"`,
    "ready = notify",
    "ready-timeout = 1h",
    "output = log",
  );
  bob.writeConf("plain", "start = exec sleep 1000", "autostart = no");
  supervisor = stage.supervisor("main", ["[runs_as]", mallory.name, bob.name]);
});
afterAll(async () => {
  await ShimProgram.removeAll();
  await stage.remove();
});

test("the shim does not wait for the end of a socket that comes with a message of readiness", async () => {
  await supervisor.start();
  const log = `${mallory.home}/.daemon-manager/logs/sender/current`;
  await until("what it has sent", () => existsSync(log) && /sent|refused/.test(readFileSync(log, "utf8")));
  expect((await supervisor.up(`${bob.name}/plain`)).state).toBe("running");
});

test("the supervisor does not wait for the end of a socket that comes with a request", async ({ skip }) => {
  const [file = "", ...args] = [
    ...mallory.become,
    "/usr/bin/python3",
    `${mallory.home}/send.py`,
    "request",
    supervisor.socket,
  ];
  const sender = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [said] = (await once(sender.stdout, "data")) as [Buffer];
    if (said.toString() === "sent\n") skip("before Linux 6.16 nothing can refuse descriptors");
    expect((await supervisor.status(`${bob.name}/plain`)).state).toBe("running");
  } finally {
    sender.kill("SIGKILL");
    await until("its end", () => sender.exitCode !== null || sender.signalCode !== null);
  }
});

test("before Linux 6.16 many programs that send such messages at one time do not keep the shim from its supervisor", async () => {
  const compiler = join(stage.directory, "cc");
  // No kernel has this option.
  writeFileSync(compiler, '#!/bin/sh\nexec cc -DSO_PASSRIGHTS=9999 "$@"\n', { mode: 0o755 });
  const program = join(stage.directory, "dmhost-shim");
  await succeed("env", `CC=${compiler}`, join(CHECKOUT, "shim/build"), "program", program);
  const shim = new ShimProgram(program, join(stage.directory, "shim.sock"));
  await shim.start();
  const directory = join(stage.directory, "notify");
  mkdirSync(directory);
  chmodSync(directory, 0o755);
  const paths = Array.from({ length: 32 }, (_, index) => join(directory, String(index)));
  for (const notifyPath of paths) await shim.up(notifyPath, lineOf("exec sleep 1000", mallory, { notifyPath }));
  const [file = "", ...args] = [...mallory.become, "/usr/bin/python3", mallory.write("crowd.py", CROWD), ...paths];
  const sender = spawn(file, args, { stdio: ["ignore", "pipe", "ignore"] });
  try {
    await once(sender.stdout, "data");
    let most = 0;
    await until("the shim to close all sockets", () => {
      const before = waitsOf(shim.pid);
      shim.ask.list();
      most = Math.max(most, waitsOf(shim.pid) - before);
      return !paths.some(existsSync);
    });
    // Between two requests each of the 32 sockets may make it wait for a message and for its end, not for all 16 messages.
    expect(most).toBeLessThan(256);
  } finally {
    sender.kill("SIGKILL");
  }
});
