/** The broker's requests. It decides by policy, conf file, image and its state; what the supervisor says is no more than a name. */
import { randomBytes } from "node:crypto";
import type { BrokerRequests, BrokerResults } from "@dmhost/broker-contract";
import { BROKER_VERSION, GUEST_DIRECTORY, LONGEST_LINE } from "@dmhost/broker-contract";
import { messageOf } from "../../../supervisor/src/core/error-message.ts";
import { describeImage, type ImageName, imageName } from "../../../supervisor/src/core/image.ts";
import { cgroupParent } from "../rules/cgroup-parent.ts";
import { containerBody, containerName } from "../rules/container-body.ts";
import { attemptOf, brokerFilter, type ContainerPurpose, isOurs } from "../rules/container-labels.ts";
import { containerLimits } from "../rules/container-limits.ts";
import {
  type ContainerEngine,
  type EngineFacts,
  EngineFailure,
  type FoundContainer,
  type PresentImage,
} from "../rules/engine.ts";
import { engineObjection } from "../rules/engine-requirements.ts";
import { cleanEnvironment } from "../rules/image-environment.ts";
import { isMeant, isPinned, meaningOf, requireMeant } from "../rules/image-meaning.ts";
import { ContainerRefusal } from "../rules/refusal.ts";
import type { Admissions, ContainerAdmission } from "./admission.ts";
import { boundGuest, type boundHome } from "./binds.ts";
import type { FirstProcessCheck } from "./first-process.ts";
import { Pulls } from "./pulls.ts";
import type { BrokerState } from "./state-files.ts";

/** What the broker works with. */
interface BrokerParts {
  readonly engine: ContainerEngine;
  readonly state: BrokerState;
  readonly admissions: Pick<Admissions, "of" | "used">;
  /** The home of an account; boundHome, but in tests. */
  readonly home: typeof boundHome;
  readonly check: FirstProcessCheck;
  /** Directory with a directory for each container's socket. */
  readonly guests: string;
  /** Program of the shim. */
  readonly shim: string;
  /** Uid of the supervisor. */
  readonly peer: number;
  readonly warn: (about: Readonly<Record<string, unknown>>, text: string) => void;
}

/** Bytes of what an image says about its command; the answer to `make` has it. */
const LONGEST_IMAGE_TEXT = LONGEST_LINE - 8192;
/** Daemons that are named for an image. */
const MOST_NAMED = 100;

/** The absolute form of a working directory; "/" for any other text. */
const directoryOf = (text: string): string => (text.startsWith("/") && !text.includes("\0") ? text : "/");

export class Broker {
  readonly #parts: BrokerParts;
  readonly #pulls = new Pulls();
  /** Attempts whose container may exist without a record. */
  readonly #attempts = new Set<string>();
  #facts: EngineFacts | undefined;

  constructor(parts: BrokerParts) {
    this.#parts = parts;
  }

  /** To be called when the engine was restarted: it may be another one. */
  forgetEngine(): void {
    this.#facts = undefined;
  }

  async hello({ version }: BrokerRequests["hello"]): Promise<BrokerResults["hello"]> {
    if (version !== BROKER_VERSION)
      throw new ContainerRefusal(
        "invalid",
        `version ${version}: this broker has version ${BROKER_VERSION}; install both of one release`,
      );
    this.#facts = undefined;
    const { engine, cgroupDriver, cgroupVersion } = await this.#usable();
    const damage = this.#parts.state.containersObjection;
    if (damage !== undefined) throw new ContainerRefusal("engine", damage);
    return {
      engine,
      cgroupDriver: cgroupDriver === "systemd" ? "systemd" : "cgroupfs",
      cgroupVersion: cgroupVersion === "2" ? 2 : 1,
    };
  }

  async pull(
    { owner, name }: BrokerRequests["pull"],
    report: (percent: number) => void,
  ): Promise<BrokerResults["pull"]> {
    const { image } = this.#parts.admissions.of(owner, name);
    await this.#usable();
    const { engine } = this.#parts;
    await this.#pulls.do(owner, async () => {
      if ((await this.#image(image)) !== undefined) return;
      try {
        await engine.pull(image.repository, image.version, this.#pulls.paced(report));
      } catch (error) {
        if (!(error instanceof EngineFailure)) throw error;
        throw new ContainerRefusal("pull", `${describeImage(image)} cannot be fetched: ${error.message}`);
      }
    });
    return {};
  }

  async make(request: BrokerRequests["make"]): Promise<BrokerResults["make"]> {
    const { owner, name, instance, run, guest, token, cgroup } = request;
    const { state, guests, shim, peer } = this.#parts;
    const purpose = { owner, name, instance, run };
    const admission = this.#parts.admissions.of(owner, name);
    const { account, definition, groups, budget } = admission;
    const facts = await this.#usable();
    const image = await this.#meantImage(admission);
    const home = this.#parts.home(account, groups);
    const socket = boundGuest(guests, guest, peer);
    const attempt = randomBytes(8).toString("hex");
    const body = containerBody({
      purpose,
      uid: account.uid,
      gid: account.gid,
      groups,
      home: home.path,
      limits: containerLimits(definition, budget, facts.cpus),
      network: definition.network,
      image,
      guest: socket.path,
      shim,
      token,
      broker: state.id,
      attempt,
      cgroupParent: cgroupParent(facts.cgroupDriver, purpose, cgroup),
    });
    const command = [...image.entrypoint, ...image.arguments];
    const environment = cleanEnvironment(image.environment);
    if (JSON.stringify([command, environment, image.directory, image.labels]).length > LONGEST_IMAGE_TEXT)
      throw new ContainerRefusal(
        "refused",
        `${describeImage(admission.image)}: its command, variables and labels are longer than 56 KiB`,
      );
    this.#attempts.add(attempt);
    try {
      const container = await this.#recorded(containerName(purpose, attempt.slice(0, 8)), body, purpose);
      try {
        const seen = { ...socket, path: GUEST_DIRECTORY };
        await this.#started(container, { uid: account.uid, gid: account.gid, groups }, [home, seen]);
      } catch (error) {
        await this.discard(container);
        throw error;
      }
      return { container, command, environment, directory: directoryOf(image.directory), home };
    } finally {
      this.#attempts.delete(attempt);
    }
  }

  async remove({ container }: BrokerRequests["remove"]): Promise<BrokerResults["remove"]> {
    const { engine, state } = this.#parts;
    const found = await this.#requested(engine.inspect(container));
    const isRecorded = state.containers.has(container);
    if (found === undefined) {
      if (isRecorded) state.dropContainer(container);
      return {};
    }
    if (!isRecorded || !isOurs(found.labels, state.id))
      throw new ContainerRefusal("foreign", `container ${container} was not made by this broker`);
    await this.#requested(engine.remove(container));
    return {};
  }

  async list(): Promise<BrokerResults["list"]> {
    const { engine, state } = this.#parts;
    const containers: BrokerResults["list"]["containers"] = [];
    for (const { id, labels, running } of await this.#requested(engine.list(brokerFilter(state.id)))) {
      const purpose = state.containers.get(id);
      // One that is being made is described by the answer to that.
      if (purpose === undefined || !isOurs(labels, state.id) || this.#isMaking(labels)) continue;
      const facts = running ? undefined : await this.#requested(engine.inspect(id));
      // It was removed just now.
      if (!running && facts === undefined) continue;
      containers.push({
        container: id,
        ...purpose,
        running: running || facts?.running === true,
        exitCode: facts?.exitCode ?? null,
        oomKilled: facts?.oomKilled ?? false,
      });
    }
    return { containers };
  }

  async images(): Promise<BrokerResults["images"]> {
    const { state, admissions } = this.#parts;
    const users = new Map<string, string[]>([...state.meanings.keys()].map((image) => [image, []]));
    for (const { image, daemon } of admissions.used()) {
      const text = describeImage(image);
      users.set(text, [...(users.get(text) ?? []), daemon]);
    }
    const images: BrokerResults["images"]["images"] = [];
    for (const [text, usedBy] of [...users].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const name = imageName(text);
      const present = name && (await this.#image(name));
      const recorded = state.meanings.get(text);
      images.push({
        image: text,
        ...(recorded !== undefined && { recorded }),
        ...(name && present && { present: meaningOf(name, present) }),
        moved:
          name !== undefined && present !== undefined && recorded !== undefined && !isMeant(name, present, recorded),
        usedBy: usedBy.slice(0, MOST_NAMED),
      });
    }
    return { images };
  }

  async accept({ image }: BrokerRequests["accept"]): Promise<BrokerResults["accept"]> {
    const name = imageName(image);
    if (name === undefined)
      throw new ContainerRefusal("invalid", `${JSON.stringify(image)}: expected the name of an image`);
    const present = await this.#image(name);
    if (present === undefined)
      throw new ContainerRefusal("absent", `${describeImage(name)} is not on this machine; pull it first`);
    if (!isPinned(name)) this.#parts.state.setMeaning(describeImage(name), meaningOf(name, present));
    return {};
  }

  /** Removes a container that must not go on, and its record. Where the engine fails, the record stays, and with it the container's name. */
  async discard(container: string): Promise<void> {
    try {
      await this.#parts.engine.remove(container);
      this.#parts.state.dropContainer(container);
    } catch (error) {
      this.#parts.warn({ container, reason: messageOf(error) }, "a container cannot be removed");
    }
  }

  /** Removes containers with our label that no record names, or that were never started: a broker was killed before. */
  async sweep(): Promise<void> {
    const { engine, state, warn } = this.#parts;
    for (const { id, labels, running } of await engine.list(brokerFilter(state.id))) {
      if (!isOurs(labels, state.id) || this.#isMaking(labels) || (state.containers.has(id) && running)) continue;
      // It may have been started since.
      const found = await engine.inspect(id);
      const wasStarted = found === undefined || found.running || found.exitCode !== undefined;
      if (this.#isMaking(labels) || (state.containers.has(id) && wasStarted)) continue;
      warn({ container: id }, "removing a container that an earlier broker was about to make");
      await engine.remove(id);
    }
  }

  #isMaking(labels: FoundContainer["labels"]): boolean {
    return this.#attempts.has(attemptOf(labels) ?? "");
  }

  async #recorded(
    name: string,
    body: Parameters<ContainerEngine["create"]>[1],
    purpose: ContainerPurpose,
  ): Promise<string> {
    const { engine, state, warn } = this.#parts;
    // Where no answer comes it may have been made all the same: the next sweep finds it.
    const container = await this.#requested(engine.create(name, body));
    try {
      state.addContainer(container, purpose);
    } catch (error) {
      warn({ container, reason: messageOf(error) }, "a container cannot be recorded and is removed");
      await this.#requested(engine.remove(container));
      throw error;
    }
    return container;
  }

  async #started(
    container: string,
    account: Parameters<FirstProcessCheck>[1],
    binds: Parameters<FirstProcessCheck>[2],
  ) {
    const { engine, check } = this.#parts;
    await this.#requested(engine.start(container));
    const found = await this.#requested(engine.inspect(container));
    if (found === undefined) throw new ContainerRefusal("engine", "the container was removed while it started");
    const objection = check(found, account, binds);
    if (objection !== undefined)
      throw new ContainerRefusal("engine", `the container is not what was requested: ${objection}`);
  }

  /** The image that a name meant at its first use, which this may be. */
  async #meantImage({ image: name }: ContainerAdmission): Promise<PresentImage> {
    const { state } = this.#parts;
    const text = describeImage(name);
    const recorded = isPinned(name) ? undefined : state.meanings.get(text);
    const image = await this.#image(name);
    if (image === undefined)
      throw new ContainerRefusal("absent", `${text} is not on this machine; it must be pulled first`);
    if (recorded !== undefined) requireMeant(name, image, recorded);
    else if (!isPinned(name)) state.setMeaning(text, meaningOf(name, image));
    return image;
  }

  #image(name: ImageName): Promise<PresentImage | undefined> {
    return this.#requested(this.#parts.engine.image(describeImage(name)));
  }

  async #usable(): Promise<EngineFacts> {
    this.#facts ??= await this.#requested(this.#parts.engine.facts());
    const objection = engineObjection(this.#facts);
    if (objection !== undefined) throw new ContainerRefusal("engine", objection);
    return this.#facts;
  }

  async #requested<T>(request: Promise<T>): Promise<T> {
    try {
      return await request;
    } catch (error) {
      if (!(error instanceof EngineFailure)) throw error;
      const before = error.status === 0 ? "the Docker engine does not answer" : "the Docker engine refuses";
      throw new ContainerRefusal("engine", `${before}: ${error.message}`);
    }
  }
}
