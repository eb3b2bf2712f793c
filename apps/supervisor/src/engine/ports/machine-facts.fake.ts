import type { Means } from "../../core/enforcement.ts";
import type { MachineFacts } from "./machine-facts.ts";

/** A machine whose cgroups enforce every limit, and a supervisor that is root, unless a test changes that. */
export class FakeMachineFacts implements MachineFacts {
  means: Means = { controllers: new Set(["memory", "pids", "cpu", "io"]), swaps: undefined, why: "" };
  privileged = true;
  readonly tools = "/tools";
  containerObjection: string | undefined = "containers are not enabled here";
}
