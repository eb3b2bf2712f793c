/** The broker's state: its id, its containers, and what names of images mean. A damaged file is never replaced: root looks at it first. */
import { randomBytes } from "node:crypto";
import { constants, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../../supervisor/src/core/error-message.ts";
import { isCount, isText, mapOf, object, type Shape } from "../../../supervisor/src/os/files/shape.ts";
import { digestOf, readPlainFile, replaceFile } from "../../../supervisor/src/os/files/whole-file.ts";
import { codeOf } from "../../../supervisor/src/os/kernel/error-code.ts";
import { lock } from "../../../supervisor/src/os/kernel/file-calls.ts";
import type { ContainerPurpose } from "../rules/container-labels.ts";
import { ContainerRefusal } from "../rules/refusal.ts";

/** Bytes of a file that is read. */
const LARGEST = 16 << 20;
const FORMAT = 1;
const MODE = 0o600;
/** Containers, and names of images, that are recorded. */
const MOST_CONTAINERS = 4096;
const MOST_IMAGES = 4096;

/** Locks the state directory until this process ends, and makes it where it is missing. @throws Error where another broker has it */
export const lockState = (directory: string): void => {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, "broker.lock");
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, MODE);
  try {
    lock(fd);
  } catch {
    throw new Error(`${directory}: another broker uses this state directory; stop it, or choose another one`);
  }
};

/** The value of a file; undefined where there is none. @throws Error with what is wrong with it */
const read = <T>(path: string, shape: Shape<T>): T | undefined => {
  let text: string;
  try {
    text = readPlainFile(path, LARGEST);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new Error(`cannot be read: ${messageOf(error)}`);
  }
  let whole: { format?: unknown; digest?: unknown; value?: unknown };
  try {
    whole = JSON.parse(text) ?? {};
  } catch {
    throw new Error("is damaged: it is no JSON");
  }
  if (whole.format !== FORMAT) throw new Error(`has the format ${String(whole.format)}, not ${FORMAT}`);
  if (whole.digest !== digestOf(JSON.stringify(whole.value) ?? "") || !shape(whole.value))
    throw new Error("is damaged: its digest is wrong");
  return whole.value;
};

/** @throws errno errors */
const write = (path: string, value: unknown): void => {
  const json = JSON.stringify(value);
  replaceFile(path, `{"format":${FORMAT},"digest":"${digestOf(json)}","value":${json}}`, MODE);
};

/** A file with a table, which is read once and written with each change. */
class TableFile<T> {
  readonly path: string;
  readonly #advice: string;
  #entries = new Map<string, T>();
  #damage: string | undefined;

  constructor(path: string, shape: Shape<T>, advice: string) {
    this.path = path;
    this.#advice = advice;
    try {
      this.#entries = new Map(Object.entries(read(path, mapOf(shape)) ?? {}));
    } catch (error) {
      this.#damage = messageOf(error);
    }
  }

  /** Why nothing can be looked up, and what to do. */
  get objection(): string | undefined {
    return this.#damage === undefined ? undefined : `${this.path}: ${this.#damage}; ${this.#advice}`;
  }

  /** @throws ContainerRefusal where the file is damaged */
  get entries(): ReadonlyMap<string, T> {
    if (this.objection !== undefined) throw new ContainerRefusal("refused", this.objection);
    return this.#entries;
  }

  /** @throws ContainerRefusal where the file is damaged or has too many entries; errno errors, then nothing has changed */
  set(key: string, value: T, most: number): void {
    if (!this.entries.has(key) && this.entries.size >= most)
      throw new ContainerRefusal("busy", `${this.path}: it has ${most} entries, the most that are recorded`);
    this.#replace(new Map([...this.entries, [key, value]]));
  }

  /** @throws errno errors, then nothing has changed */
  delete(key: string): void {
    if (!this.entries.has(key)) return;
    this.#replace(new Map([...this.entries].filter(([each]) => each !== key)));
  }

  #replace(entries: Map<string, T>): void {
    write(this.path, Object.fromEntries(entries));
    this.#entries = entries;
  }
}

const purposeShape = object<ContainerPurpose>({ owner: isText, name: isText, instance: isCount, run: isCount });

export class BrokerState {
  /** Random; the label of all containers that this broker makes. */
  readonly id: string;
  readonly #containers: TableFile<ContainerPurpose>;
  readonly #meanings: TableFile<string>;

  /** @throws Error where the file with its id is damaged or cannot be written */
  constructor(directory: string) {
    const path = join(directory, "id.json");
    try {
      const known = read(path, isText);
      this.id = known ?? randomBytes(16).toString("hex");
      if (known === undefined) write(path, this.id);
    } catch (error) {
      const advice = "remove it, and containers of the name dmhost-... that are left by hand";
      throw new Error(`${path}: ${messageOf(error)}; ${advice}`);
    }
    const forgotten = "restore it, or remove it and restart the broker";
    this.#containers = new TableFile(
      join(directory, "containers.json"),
      purposeShape,
      `${forgotten}: containers that it named are removed then`,
    );
    this.#meanings = new TableFile(
      join(directory, "images.json"),
      isText,
      `${forgotten}: what each name means is recorded again at its next use`,
    );
  }

  /** Damaged files, each with what to do. */
  get objections(): string[] {
    return [this.containersObjection, this.#meanings.objection].flatMap((text) => text ?? []);
  }

  /** Why no container can be told from a foreign one, and what to do. */
  get containersObjection(): string | undefined {
    return this.#containers.objection;
  }

  /** The containers that were made, by id. @throws ContainerRefusal where the file is damaged */
  get containers(): ReadonlyMap<string, ContainerPurpose> {
    return this.#containers.entries;
  }
  addContainer(id: string, purpose: ContainerPurpose): void {
    this.#containers.set(id, purpose, MOST_CONTAINERS);
  }
  dropContainer(id: string): void {
    this.#containers.delete(id);
  }

  /** What names of images meant at their first use. @throws ContainerRefusal where the file is damaged */
  get meanings(): ReadonlyMap<string, string> {
    return this.#meanings.entries;
  }
  setMeaning(image: string, meaning: string): void {
    this.#meanings.set(image, meaning, MOST_IMAGES);
  }
}
