import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { endShim, startedShim } from "../shim/started-shim.fake.ts";
import { queuedClients } from "./socket-facts.ts";

test("the accept queue has the inode of a client that waits, and 0 for one that has left", async () => {
  const directory = mkdtempSync(join(tmpdir(), "dmhost-test-"));
  const path = join(directory, "socket");
  const shim = await startedShim(directory);
  const { socket } = shim.requests.listen("web", { path, uid: 0, gid: 0, mode: 0o600, backlog: 8 });
  try {
    expect(queuedClients(socket.inode)).toEqual([]);
    const client = createConnection(path);
    await once(client, "connect");
    expect(queuedClients(socket.inode)).toEqual([expect.toSatisfy((inode: number) => inode > 0)]);
    client.destroy();
    await once(client, "close");
    expect(queuedClients(socket.inode)).toEqual([0]);
  } finally {
    endShim(shim);
    rmSync(directory, { recursive: true });
  }
});
