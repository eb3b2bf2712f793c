import type { Client } from "@dmhost/client";
import type { DaemonStatus } from "@dmhost/contract";

/** Every daemon that the caller may control. @param measured with its use of the machine */
export const allDaemons = async (client: Client, measured = false): Promise<readonly DaemonStatus[]> =>
  (await client.call("listDaemons", { query: measured ? { usage: "1" } : {} })).daemons;
