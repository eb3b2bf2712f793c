/** The acts of a random play. */
import fc from "fast-check";
import type { Definition } from "../core/definition.ts";
import type { Replacement } from "./ports/ports.fake.ts";
import type { World } from "./scene.fake.ts";

/** Names of the daemons that acts are about. */
export const NAMES = ["a", "b"] as const;
export type Name = (typeof NAMES)[number];
export type RequestVerb = "start" | "once" | "stop" | "restart" | "exit" | "pause" | "continue";

/** How processes that start from now on behave. */
export interface Manners {
  readonly obedient: boolean;
  readonly slowness: number;
  /** Delay of readiness, in ms; undefined: it is never ready. */
  readonly ready: number | undefined;
  /** Its launch waits for a lock so long, in ms. */
  readonly lock: number | undefined;
  /** Exit code of the finish that follows it; undefined where that is killed. */
  readonly finish: number | undefined;
  /** It exits by itself after so long, in ms. */
  readonly lifetime: number | undefined;
}

/** Something that happens to the supervisor, its processes or its files. `which` selects a live run. */
export type Act =
  | { readonly act: "request"; readonly name: Name; readonly verb: RequestVerb }
  | { readonly act: "scale" | "resize"; readonly name: Name; readonly size: number }
  | { readonly act: "write"; readonly name: Name; readonly definition: Partial<Definition> }
  | { readonly act: "spoil" | "remove"; readonly name: Name }
  | { readonly act: "rescan" }
  | { readonly act: "reload"; readonly world: World }
  | { readonly act: "manners"; readonly manners: Manners }
  | { readonly act: "fail"; readonly port: "sockets" | "logs" | "limits" | "runs" }
  | { readonly act: "end"; readonly which: number; readonly code: number | undefined; readonly rest: boolean }
  | { readonly act: "client"; readonly which: number; readonly client: boolean | undefined }
  | { readonly act: "grow"; readonly which: number }
  | { readonly act: "connect"; readonly name: Name; readonly accept: boolean }
  | { readonly act: "slow log" | "finish logs" | "full disk" | "lose socket" }
  | { readonly act: "spoil directory" | "mend directory" }
  | { readonly act: "wait"; readonly ms: number }
  | { readonly act: "replace"; readonly how: Replacement };

const SERVICE: Definition["service"] = { directory: "/home/alice/service/web", finish: true, contents: "" };
const name = fc.constantFrom(...NAMES);
const definition = fc
  .record({
    listen: fc.constantFrom("none", "fastcgi", "fastcgi", "systemd", "path"),
    instances: fc.constantFrom(1, 1, 2, 3),
    rolling: fc.boolean(),
    ready: fc.constantFrom("accept", "accept", "notify", "fd:3"),
    readyTimeout: fc.constant(3000),
    readyAfter: fc.constantFrom(50, 1000),
    drain: fc.constantFrom(0, 2000),
    stopTimeout: fc.constantFrom(0, 1000),
    ondemand: fc.constantFrom(false, false, true),
    idleTimeout: fc.constant(4000),
    autostart: fc.boolean(),
    output: fc.constantFrom("discard", "log", "log", "log/run"),
    maxRetries: fc.constantFrom(undefined, undefined, 0, 2),
    service: fc.constantFrom(undefined, undefined, SERVICE),
    lock: fc.constantFrom(undefined, undefined, "/run/lock/x"),
    user: fc.constantFrom(undefined, undefined, "www"),
    memory: fc.constantFrom(undefined, 64 << 20),
  })
  .map((found) => ({
    ...found,
    ondemand: found.ondemand && found.listen !== "none" && found.listen !== "path",
  })) as fc.Arbitrary<Partial<Definition>>;
const worlds: readonly World[] = [
  {},
  { runsAs: { alice: [] } },
  { runsAs: { bob: [] } },
  { uids: { root: 0, alice: 1001, bob: 1002, www: 1101 } },
  { uids: { root: 0, alice: 1003, bob: 1002, www: 1100 } },
  { limits: { alice: { daemons: 1 } } },
  { limits: { alice: { restarts: 2, memory: 100 << 20, log: 1 << 20 } } },
  { settings: { strictLimits: "yes" } },
];
const which = fc.nat(7);

/** Any act. */
export const actOf: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constant("request"),
      name,
      verb: fc.constantFrom<RequestVerb>(
        "start",
        "start",
        "once",
        "stop",
        "restart",
        "restart",
        "restart",
        "exit",
        "pause",
        "continue",
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("scale"), name, size: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("resize"), name, size: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant("write"), name, definition }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constantFrom("spoil", "remove"), name }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant("rescan") }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant("reload"), world: fc.constantFrom(...worlds) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant("manners"),
      manners: fc.record({
        obedient: fc.boolean(),
        slowness: fc.constantFrom(0, 0, 500),
        ready: fc.constantFrom(10, 10, 500, undefined),
        lock: fc.constantFrom(undefined, undefined, undefined, 50, 5000),
        finish: fc.constantFrom(0, 0, 100, undefined),
        lifetime: fc.constantFrom(undefined, undefined, 5, 150, 3000),
      }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant("fail"), port: fc.constantFrom("sockets", "logs", "limits", "runs") }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constant("end"),
      which,
      code: fc.constantFrom(0, 0, 1, 1, undefined, undefined, 100),
      rest: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constant("client"), which, client: fc.constantFrom(true, false, undefined) }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("grow"), which }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("connect"), name, accept: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      act: fc.constantFrom("slow log", "finish logs", "full disk", "lose socket"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constantFrom("spoil directory", "mend directory") }) },
  {
    weight: 9,
    arbitrary: fc.record({ act: fc.constant("wait"), ms: fc.constantFrom(0, 1, 2, 20, 110, 500, 1500, 6000, 30_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      act: fc.constant("replace"),
      how: fc.constantFrom("killed", "killed at once", "with the shim"),
    }),
  },
) as fc.Arbitrary<Act>;
