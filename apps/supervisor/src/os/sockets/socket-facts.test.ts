import { once } from "node:events";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listenUnix } from "../kernel/unix-socket.ts";
import { queuedClients } from "./socket-facts.ts";

test("the accept queue has the inode of a client that waits, and 0 for one that has left", async () => {
  const directory = mkdtempSync(join(tmpdir(), "dmhost-test-"));
  const path = join(directory, "socket");
  const fd = listenUnix(path, 8);
  try {
    expect(queuedClients(fd)).toEqual([]);
    const client = createConnection(path);
    await once(client, "connect");
    expect(queuedClients(fd)).toEqual([expect.toSatisfy((inode: number) => inode > 0)]);
    client.destroy();
    await once(client, "close");
    expect(queuedClients(fd)).toEqual([0]);
  } finally {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
});
