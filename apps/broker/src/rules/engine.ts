/** What the broker needs of a Docker engine. docker/ implements it. */
import type { ContainerBody } from "./container-body.ts";

/** What an engine says about itself. */
export interface EngineFacts {
  /** Its name and version. */
  readonly engine: string;
  /** Whether it is Docker's and not another program with the same API. */
  readonly isDocker: boolean;
  readonly apiVersion: string;
  readonly system: string;
  /** As `name=seccomp,profile=default`. */
  readonly securityOptions: readonly string[];
  readonly cgroupDriver: string;
  readonly cgroupVersion: string;
  /** Processors that it can give to a container. */
  readonly cpus: number;
  readonly limitsMemory: boolean;
  readonly limitsProcesses: boolean;
  readonly limitsCpu: boolean;
}

/** An image of this machine. */
export interface PresentImage {
  /** `sha256:...`. */
  readonly id: string;
  /** `REPOSITORY@sha256:...`; none where it was built here. */
  readonly digests: readonly string[];
  readonly entrypoint: readonly string[];
  readonly arguments: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  /** "" where it names none. */
  readonly directory: string;
  /** Keys of its labels. */
  readonly labels: readonly string[];
  /** Directories that the engine would make volumes for. */
  readonly volumes: readonly string[];
}

/** A container with our labels, or any. */
export interface FoundContainer {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly running: boolean;
  /** undefined where it has not ended. */
  readonly exitCode: number | undefined;
  readonly oomKilled: boolean;
  /** Of its first process, as the engine sees it; 0 where it does not run. */
  readonly pid: number;
}

/** A container was created, ended, or is gone. */
export interface EngineEvent {
  readonly kind: "created" | "ended" | "removed";
  readonly id: string;
}

/** Events of the engine from now on. */
export interface EventStream {
  /** Resolves when no more come, because the engine has stopped. */
  readonly over: Promise<void>;
  close(): void;
}

/** The engine failed or refused; the message has its words. */
export class EngineFailure extends Error {
  /** HTTP status; 0 where it did not answer. */
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** Each method throws EngineFailure. */
export interface ContainerEngine {
  facts(): Promise<EngineFacts>;
  /** @param name complete, or an id */
  image(name: string): Promise<PresentImage | undefined>;
  /** @param percent called with the share of all layers' bytes that has come */
  pull(repository: string, version: string, percent: (value: number) => void): Promise<void>;
  /** Returns its id. */
  create(name: string, body: ContainerBody): Promise<string>;
  start(id: string): Promise<void>;
  /** Kills and removes it; nothing happens where it is gone. */
  remove(id: string): Promise<void>;
  inspect(id: string): Promise<FoundContainer | undefined>;
  /** All containers with the label, whatever their state; ids and labels are enough to tell them apart. */
  list(label: string): Promise<readonly Pick<FoundContainer, "id" | "labels" | "running">[]>;
  /** Events of containers with the label. Resolves when none is missed any more. */
  events(label: string, listener: (event: EngineEvent) => void): Promise<EventStream>;
}
