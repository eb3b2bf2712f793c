/** A program that runs until it is interrupted, and its output so far. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { until } from "./program.ts";

export class Follower {
  readonly #child: ChildProcess;
  #text = "";

  constructor(argv: readonly string[], env: NodeJS.ProcessEnv) {
    const [file = "", ...args] = argv;
    this.#child = spawn(file, args, { env, cwd: "/", stdio: ["ignore", "pipe", "inherit"] });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#text += text;
    });
  }

  /** Its output so far. */
  get text(): string {
    return this.#text;
  }

  /** Waits until its output contains this text. */
  async says(words: string): Promise<void> {
    await until(`"${words}" in the output of the program`, () => this.#text.includes(words));
  }

  /** Interrupts it as Ctrl-C does; returns its exit code. */
  async interrupt(): Promise<number | null> {
    const ended = once(this.#child, "exit");
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    this.#child.kill("SIGINT");
    return ((await ended) as [number | null])[0];
  }
}
