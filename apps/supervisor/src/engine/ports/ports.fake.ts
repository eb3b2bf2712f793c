import { FakeClock } from "./clock.fake.ts";
import { FakeConfSource } from "./conf-source.fake.ts";
import { FakeLimits } from "./limits.fake.ts";
import { FakeLogs } from "./logs.fake.ts";
import type { Ports } from "./ports.ts";
import { FakeRecords } from "./records.fake.ts";
import { FakeRuns } from "./runs.fake.ts";
import { FakeSockets } from "./sockets.fake.ts";

/** A fake for each port. News of runs come after 1 ms of the clock. */
export const fakePorts = () => {
  const clock = new FakeClock();
  return {
    clock,
    confs: new FakeConfSource(),
    runs: new FakeRuns((then) => void clock.after(1, then)),
    sockets: new FakeSockets(),
    logs: new FakeLogs(),
    limits: new FakeLimits(),
    records: new FakeRecords(),
  } satisfies Ports;
};

export type FakePorts = ReturnType<typeof fakePorts>;
