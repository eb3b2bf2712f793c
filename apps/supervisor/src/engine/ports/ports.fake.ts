import { FakeClock } from "./clock.fake.ts";
import { FakeConfSource } from "./conf-source.fake.ts";
import { FakeLimits } from "./limits.fake.ts";
import { FakeLogs } from "./logs.fake.ts";
import { FakeMachineFacts } from "./machine-facts.fake.ts";
import type { Ports } from "./ports.ts";
import { FakeRecords } from "./records.fake.ts";
import { FakeRuns } from "./runs.fake.ts";
import { FakeSockets } from "./sockets.fake.ts";

/** How the supervisor is replaced: killed, killed in the turn of its latest action, or together with the shim. */
export type Replacement = "killed" | "killed at once" | "with the shim";

/** A fake for each port. Events of runs come after 1 ms of the clock. */
export const fakePorts = () => {
  const clock = new FakeClock();
  const later = (then: () => void): void => void clock.after(1, then);
  const runs = new FakeRuns({
    later,
    outside: (delay, then) => void clock.outside(delay, then),
    now: () => clock.now(),
  });
  const ports = {
    clock,
    confs: new FakeConfSource(),
    runs,
    sockets: new FakeSockets(later),
    logs: new FakeLogs(),
    limits: new FakeLimits(runs),
    machine: new FakeMachineFacts(),
    records: new FakeRecords((then) => void clock.after(0, then)),
  } satisfies Ports;
  return {
    ...ports,
    /** The present supervisor ends; processes, records and conf files stay for the next. */
    replace: (how: Replacement): void => {
      if (how !== "killed at once") ports.records.flush();
      ports.records.forget();
      clock.forget();
      runs.forget();
      ports.sockets.forget();
      if (how === "with the shim") {
        runs.die();
        ports.sockets.die();
      }
      ports.logs.forget();
      ports.confs.die();
    },
  };
};

export type FakePorts = ReturnType<typeof fakePorts>;
