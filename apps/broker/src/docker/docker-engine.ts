/** The Docker engine, by dockerode. This file alone calls it, and only what is here: no exec, attach, build, volume or network. */
import Docker from "dockerode";
import { messageOf } from "../../../supervisor/src/core/error-message.ts";
import type { ContainerBody } from "../rules/container-body.ts";
import {
  type ContainerEngine,
  type EngineEvent,
  type EngineFacts,
  EngineFailure,
  type EventStream,
  type FoundContainer,
  type PresentImage,
} from "../rules/engine.ts";
import { PullProgress } from "../rules/pull-progress.ts";
import { lines } from "./json-lines.ts";

/** Until a request counts as failed, in ms. A start waits for other starts. */
const PATIENCE = 60_000;
/** Until a pull without news counts as failed, and any pull, in ms: a slow registry must not keep others waiting for ever. */
const PULL_PATIENCE = { silent: 300_000, whole: 3_600_000 };

const NOT_FOUND = 404;
const NOT_MODIFIED = 304;
const CONFLICT = 409;

/** Kinds of events by the engine's words. */
const KINDS: Readonly<Record<string, EngineEvent["kind"]>> = { create: "created", die: "ended", destroy: "removed" };

/** dockerode's types lack some fields of 1.41. */
interface EngineInfo {
  readonly OSType?: string;
  readonly SecurityOptions?: readonly string[] | null;
  readonly CgroupDriver?: string;
  readonly CgroupVersion?: string;
  readonly NCPU?: number;
  readonly MemoryLimit?: boolean;
  readonly PidsLimit?: boolean;
  readonly CpuCfsQuota?: boolean;
}

/** What dockerode puts before the engine's words. */
const PREFIX = /^\(HTTP code \d+\) .*? - /;

/** An error of dockerode as the engine's words. */
const failure = (error: unknown): EngineFailure => {
  if (error instanceof EngineFailure) return error;
  const { statusCode } = error as { statusCode?: unknown };
  const words = messageOf(error).replaceAll(/\s+/g, " ").replace(PREFIX, "").trim();
  return new EngineFailure(words.slice(0, 1000), typeof statusCode === "number" ? statusCode : 0);
};

/** The result of a request, or an EngineFailure; one that takes too long has failed. */
const answered = async <T>(request: Promise<T>, what: string): Promise<T> => {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = (): void => reject(new EngineFailure(`${what}: no answer within ${PATIENCE / 1000} s`, 0));
  const timer = setTimeout(late, PATIENCE);
  try {
    return await Promise.race([request, promise]);
  } catch (error) {
    throw failure(error);
  } finally {
    clearTimeout(timer);
  }
};

/** The result, or undefined where the engine has no such object. */
const present = async <T>(request: Promise<T>): Promise<T | undefined> => {
  try {
    return await request;
  } catch (error) {
    if (error instanceof EngineFailure && error.status === NOT_FOUND) return undefined;
    throw error;
  }
};

/** An entrypoint or a command: old images have a text. */
const wordsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.map(String) : typeof value === "string" && value !== "" ? [value] : [];

export class DockerEngine implements ContainerEngine {
  readonly #docker: Docker;

  constructor(socketPath: string) {
    // All is given: dockerode reads DOCKER_HOST and others of its environment otherwise.
    this.#docker = new Docker({ socketPath, version: "v1.41" });
  }

  async facts(): Promise<EngineFacts> {
    const version = await answered(this.#docker.version(), "its version");
    const info = (await answered(this.#docker.info(), "what it can do")) as EngineInfo;
    const names = version.Components?.map(({ Name }) => Name) ?? ["Engine"];
    return {
      engine: `Docker ${version.Version}`,
      isDocker: names.includes("Engine"),
      apiVersion: version.ApiVersion,
      system: info.OSType ?? "",
      securityOptions: info.SecurityOptions ?? [],
      cgroupDriver: info.CgroupDriver ?? "",
      cgroupVersion: info.CgroupVersion ?? "",
      cpus: info.NCPU ?? 1,
      limitsMemory: info.MemoryLimit === true,
      limitsProcesses: info.PidsLimit === true,
      limitsCpu: info.CpuCfsQuota === true,
    };
  }

  async image(name: string): Promise<PresentImage | undefined> {
    const found = await present(answered(this.#docker.getImage(name).inspect(), `image ${name}`));
    if (found === undefined) return undefined;
    const { Config: config } = found;
    return {
      id: found.Id,
      digests: found.RepoDigests ?? [],
      entrypoint: wordsOf(config?.Entrypoint),
      arguments: wordsOf(config?.Cmd),
      environment: wordsOf(config?.Env),
      directory: config?.WorkingDir ?? "",
      labels: Object.keys(config?.Labels ?? {}),
      volumes: Object.keys(config?.Volumes ?? {}),
    };
  }

  async pull(repository: string, version: string, percent: (value: number) => void): Promise<void> {
    const isDigest = version.startsWith("@");
    const from = {
      fromImage: isDigest ? repository + version : repository,
      ...(!isDigest && { tag: version.slice(1) }),
    };
    const stream = await answered(this.#docker.createImage(from), `pull of ${repository}${version}`);
    const progress = new PullProgress();
    try {
      for await (const line of lines(stream, PULL_PATIENCE)) {
        const value = progress.take(line);
        if (progress.failure !== undefined) throw new EngineFailure(progress.failure.slice(0, 1000), 0);
        if (value !== undefined) percent(value);
      }
    } catch (error) {
      throw failure(error);
    }
  }

  async create(name: string, body: ContainerBody): Promise<string> {
    // A copy, because dockerode's types are not of readonly arrays.
    const options = structuredClone(body) as unknown as Docker.ContainerCreateOptions;
    const { id } = await answered(this.#docker.createContainer({ ...options, name }), `container ${name}`);
    return id;
  }

  async start(id: string): Promise<void> {
    await answered(this.#docker.getContainer(id).start(), `start of ${id}`);
  }

  async remove(id: string): Promise<void> {
    try {
      await answered(this.#docker.getContainer(id).remove({ force: true, v: true }), `removal of ${id}`);
    } catch (error) {
      const { status } = failure(error);
      if (status === NOT_FOUND || status === NOT_MODIFIED) return;
      // Its removal is in progress already.
      if (status === CONFLICT && /in progress/.test(messageOf(error))) return;
      throw error;
    }
  }

  async inspect(id: string): Promise<FoundContainer | undefined> {
    const found = await present(answered(this.#docker.getContainer(id).inspect(), `container ${id}`));
    if (found === undefined) return undefined;
    const { State: state, Config: config } = found;
    const hasEnded = !state.Running && !state.Restarting && state.Status !== "created";
    return {
      id: found.Id,
      labels: config.Labels ?? {},
      running: state.Running,
      exitCode: hasEnded ? state.ExitCode : undefined,
      oomKilled: state.OOMKilled,
      pid: state.Pid,
    };
  }

  async list(label: string): Promise<readonly Pick<FoundContainer, "id" | "labels" | "running">[]> {
    const filters = { label: [label] };
    const found = await answered(this.#docker.listContainers({ all: true, filters }), "the containers");
    return found.map(({ Id: id, Labels: labels, State: state }) => ({ id, labels, running: state === "running" }));
  }

  async events(label: string, listener: (event: EngineEvent) => void): Promise<EventStream> {
    const filters = { type: ["container" as const], label: [label], event: ["create", "die", "destroy"] };
    const stream = await answered(this.#docker.getEvents({ filters }), "its events");
    const read = async (): Promise<void> => {
      for await (const line of lines(stream)) {
        const { Action: action, Actor: actor } = line as { Action?: unknown; Actor?: { ID?: unknown } };
        if (typeof actor?.ID !== "string") continue;
        const kind = typeof action === "string" ? KINDS[action] : undefined;
        if (kind !== undefined) listener({ kind, id: actor.ID });
      }
    };
    return {
      over: read().catch(() => undefined),
      close: () => (stream as NodeJS.ReadableStream & { destroy(): void }).destroy(),
    };
  }
}
