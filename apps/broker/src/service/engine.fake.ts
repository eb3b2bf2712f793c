/** An engine in memory. */
import type { ContainerBody } from "../rules/container-body.ts";
import type {
  ContainerEngine,
  EngineEvent,
  EngineFacts,
  EngineFailure,
  FoundContainer,
  PresentImage,
} from "../rules/engine.ts";
import { engineFacts } from "../rules/parts.fake.ts";

export class FakeContainerEngine implements ContainerEngine {
  readonly containers = new Map<string, FoundContainer & { readonly body?: ContainerBody }>();
  readonly images = new Map<string, PresentImage>();
  readonly calls: string[] = [];
  /** What the engine says about itself. */
  said: EngineFacts = engineFacts();
  /** Names of calls that fail, with the reason. */
  readonly failures = new Map<string, EngineFailure>();
  /** What a pull brings. */
  pulled: PresentImage | undefined;
  /** Percentages that a pull reports. */
  percentages: readonly number[] = [];
  #listener: ((event: EngineEvent) => void) | undefined;
  #over: PromiseWithResolvers<void> | undefined;
  #last = 0;

  /** Stops the stream of events, as the end of the engine does. */
  stop(): void {
    this.#over?.resolve();
  }

  emit(event: EngineEvent): void {
    this.#listener?.(event);
  }

  /** Adds a container that was not made here. @returns its id */
  add(labels: Readonly<Record<string, string>>, change: Partial<FoundContainer> = {}): string {
    this.#last += 1;
    const id = this.#last.toString(16).padStart(64, "0");
    const usual = { id, labels, running: true, exitCode: undefined, oomKilled: false, pid: 4000 + this.#last };
    this.containers.set(id, { ...usual, ...change });
    return id;
  }

  async facts(): Promise<EngineFacts> {
    this.#called("facts");
    return this.said;
  }
  async image(name: string): Promise<PresentImage | undefined> {
    return this.images.get(name);
  }
  async pull(repository: string, version: string, percent: (value: number) => void): Promise<void> {
    this.#called("pull");
    for (const value of this.percentages) percent(value);
    if (this.pulled) this.images.set(repository + version, this.pulled);
  }
  async create(_name: string, body: ContainerBody): Promise<string> {
    this.#called("create");
    const id = this.add(body.Labels, { running: false, pid: 0 });
    const made = this.containers.get(id);
    if (made) this.containers.set(id, { ...made, body });
    return id;
  }
  async start(id: string): Promise<void> {
    this.#called("start");
    const made = this.containers.get(id);
    if (made) this.containers.set(id, { ...made, running: true, pid: 4321 });
  }
  async remove(id: string): Promise<void> {
    this.#called("remove");
    if (this.containers.delete(id)) this.emit({ kind: "removed", id });
  }
  async inspect(id: string): Promise<FoundContainer | undefined> {
    return this.containers.get(id);
  }
  async list(label: string) {
    this.#called("list");
    return [...this.containers.values()].filter(({ labels }) =>
      Object.entries(labels).some(([key, value]) => `${key}=${value}` === label),
    );
  }
  async events(_label: string, listener: (event: EngineEvent) => void) {
    this.#called("events");
    this.#listener = listener;
    const over = Promise.withResolvers<void>();
    this.#over = over;
    return { over: over.promise, close: () => over.resolve() };
  }

  #called(name: string): void {
    this.calls.push(name);
    const failure = this.failures.get(name);
    if (failure) throw failure;
  }
}
