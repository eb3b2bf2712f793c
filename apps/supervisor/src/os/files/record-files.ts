/** Records of instances as files: `<owner>/<name>.json`, for further instances `<owner>/<name>#<number>.json`. */
import type { InstanceKey } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import type { InstanceRecord, RecordSlot, Records } from "../../engine/ports/records.ts";
import { isInstanceRecord, wrongRecordFields } from "./instance-record.ts";
import { recordName } from "./record-name.ts";
import type { StateFiles } from "./state-file.ts";

/** Reports a problem with the resources of a daemon, by its name `owner/name`, or of its instance, named `owner/name#number`. */
export type Report = (daemon: string, problem: string) => void;

class Slot implements RecordSlot {
  readonly #owner: string;
  readonly #file: string;
  readonly #records: RecordFiles;
  #pending: (() => InstanceRecord) | undefined;

  constructor(key: InstanceKey, records: RecordFiles) {
    this.#owner = key.owner.name;
    this.#file = recordName(key);
    this.#records = records;
  }

  write(record: () => InstanceRecord): void {
    this.#pending = record;
    this.#records.due(this);
  }

  /** Writes all pending records. */
  flush(): void {
    const record = this.#pending?.();
    this.#pending = undefined;
    if (record) this.#records.put(this.#owner, this.#file, record);
  }

  remove(): void {
    this.#pending = undefined;
    this.#records.remove(this.#owner, this.#file);
  }
}

/** Copies of the records that survive the files, by `owner/file`. Methods may throw errno errors. */
export interface RecordCopies {
  /** What an earlier supervisor wrote, and the names of all of those. */
  read(name: string): unknown;
  names(): readonly string[];
  write(name: string, record: InstanceRecord): void;
  remove(name: string): void;
}

export class RecordFiles implements Records {
  readonly #states: StateFiles;
  readonly #copies: RecordCopies;
  readonly #written: () => void;
  readonly #report: Report;
  readonly #due = new Set<Slot>();
  /** Files of which an earlier supervisor has left copies, by owner. */
  readonly #copied: ReadonlyMap<string, Set<string>>;

  /** @param written called when all pending records have been written */
  constructor(states: StateFiles, copies: RecordCopies, written: () => void, report: Report) {
    this.#states = states;
    this.#copies = copies;
    this.#written = written;
    this.#report = report;
    this.#copied = byOwner(copies.names());
  }

  slot(key: InstanceKey): RecordSlot {
    return new Slot(key, this);
  }

  recall({ owner, name }: Parameters<Records["recall"]>[0]): ReadonlyMap<number, InstanceRecord> {
    const records = new Map<number, InstanceRecord>();
    for (const instance of this.#instances(owner.name, name)) {
      const record = this.#read(owner.name, recordName({ name, instance }));
      if (record) records.set(instance, record);
    }
    return records;
  }

  /** A copy is never older than the file: that may have met a full disk. */
  #read(owner: string, file: string): InstanceRecord | undefined {
    const name = `${owner}/${file}`;
    const stored = this.#states.read(owner, file, (problem) => this.#report(name, `its record ${problem}`));
    const [copy, record] = [this.#copies.read(name), stored].map((found) => {
      if (found === undefined || isInstanceRecord(found)) return found;
      this.#report(name, `its record is ignored: wrong fields: ${wrongRecordFields(found).join(", ")}`);
      return undefined;
    });
    return copy ?? record;
  }

  /** Files of an owner, also of those of which only copies are left. */
  #files(owner: string): readonly string[] {
    return [...new Set([...this.#states.list(owner), ...(this.#copied.get(owner) ?? [])])];
  }

  #instances(owner: string, name: string): number[] {
    const numbers = this.#files(owner).flatMap((file) => {
      const [daemon, number = "1"] = file.split("#");
      const instance = Number(number);
      const isOurs = Number.isSafeInteger(instance) && instance >= 1 && recordName({ name, instance }) === file;
      return daemon === name && isOurs ? instance : [];
    });
    return numbers.sort((a, b) => a - b);
  }

  owners(): readonly string[] {
    return [...new Set([...this.#states.owners(), ...this.#copied.keys()])];
  }

  daemons(owner: string): readonly string[] {
    return [...new Set(this.#files(owner).map((file) => file.split("#")[0] ?? ""))];
  }

  removeAll(owner: string, name: string): void {
    for (const instance of this.#instances(owner, name)) this.remove(owner, recordName({ name, instance }));
  }

  /** Writes a slot at the end of the current turn of the event loop. */
  due(slot: Slot): void {
    if (this.#due.size === 0) setImmediate(() => this.flush());
    this.#due.add(slot);
  }

  flush(): void {
    const due = [...this.#due];
    this.#due.clear();
    for (const slot of due) slot.flush();
    this.#written();
  }

  put(owner: string, file: string, record: InstanceRecord): void {
    this.#copied.get(owner)?.delete(file);
    // A full disk must not stop daemons.
    this.#attempt(owner, file, "write its record", () => this.#states.write(owner, file, record));
    this.#attempt(owner, file, "keep its record", () => this.#copies.write(`${owner}/${file}`, record));
  }

  remove(owner: string, file: string): void {
    this.#copied.get(owner)?.delete(file);
    this.#attempt(owner, file, "remove its record", () => this.#states.remove(owner, file));
    this.#attempt(owner, file, "forget its record", () => this.#copies.remove(`${owner}/${file}`));
  }

  #attempt(owner: string, file: string, what: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#report(`${owner}/${file}`, `cannot ${what}: ${messageOf(error)}`);
    }
  }
}

/** Files by owner, out of names `owner/file`. */
const byOwner = (names: readonly string[]): ReadonlyMap<string, Set<string>> => {
  const files = new Map<string, Set<string>>();
  for (const name of names) {
    const [owner = "", file = ""] = name.split("/");
    const others = files.get(owner) ?? new Set();
    files.set(owner, others.add(file));
  }
  return files;
};
