import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "./clock.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "clock-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Does nothing else until a timer of 1 ms is due. */
const block = (): void => {
  const end = performance.now() + 5;
  while (performance.now() < end);
};

test("what came before a late timer was called is read first", async () => {
  const server = createServer().listen(join(directory, "socket"));
  await once(server, "listening");
  const client = connect(join(directory, "socket"));
  const [peer] = (await once(server, "connection")) as [Socket];
  const order: string[] = [];
  client.on("data", () => order.push("data"));
  const called = new Promise<void>((resolve) => {
    systemClock.after(1, () => {
      order.push("timer");
      resolve();
    });
  });
  peer.write("x");
  block();
  await called;
  expect(order).toEqual(["data", "timer"]);
  peer.destroy();
  client.destroy();
  server.close();
});

test("a timer that is late can still be cancelled by what comes before it", async () => {
  let called = false;
  const cancel = systemClock.after(1, () => {
    called = true;
  });
  setTimeout(cancel, 1);
  block();
  await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setImmediate(resolve));
  expect(called).toBe(false);
});
