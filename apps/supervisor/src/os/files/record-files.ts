/** Records of instances as files: `<owner>/<name>.json`, for further instances `<owner>/<name>#<number>.json`. */
import type { InstanceKey } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import type { InstanceRecord, RecordSlot, Records } from "../../engine/ports/records.ts";
import { isInstanceRecord, wrongRecordFields } from "./instance-record.ts";
import { describeFormat, desiredText, FORMAT, recordOfDesired, upgradeFrom } from "./record-format.ts";
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

/** A copy of a record, of any release. */
interface FormattedRecord {
  readonly format?: unknown;
  readonly value?: unknown;
  readonly desired?: unknown;
}

/** Copies of the records that survive the files, by `owner/file`. Methods may throw errno errors. */
interface RecordCopies {
  /** What an earlier supervisor wrote, and the names of all of those. */
  read(name: string): FormattedRecord | undefined;
  names(): readonly string[];
  /** Writes the JSON text of a FormattedRecord. `failed` may be called later; then no copy is left, which would be out of date. */
  write(name: string, text: string, failed: (error: unknown) => void): void;
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
  /** Records of an earlier supervisor whose file and copy agree, in JSON, by `owner/file`: these need not be written again. */
  readonly #agreed = new Map<string, string>();

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
    let isReported = false;
    const report = (problem: string): void => {
      isReported = true;
      this.#report(name, `its record ${problem}`);
    };
    let foreign: InstanceRecord | undefined;
    const keep = (record: InstanceRecord): void => {
      foreign = record;
    };
    const stored = checked(this.#states.read(owner, file, report, keep), report);
    // Last: a copy is never older.
    const copy = this.#copy(name, keep);
    if (copy && !stored && !isReported) report("is missing or of another boot; a copy replaces it");
    const text = copy && JSON.stringify(copy);
    if (text !== undefined && text === JSON.stringify(stored)) this.#agreed.set(name, text);
    return copy ?? stored ?? foreign;
  }

  #copy(name: string, foreign: (record: InstanceRecord) => void): InstanceRecord | undefined {
    const found = this.#copies.read(name);
    if (!found) return undefined;
    const report = (problem: string): void => this.#report(name, `the copy of its record ${problem}`);
    const upgrade = upgradeFrom(found.format);
    if (upgrade) return checked(upgrade(found.value), report);
    const known = recordOfDesired(found.desired);
    report(describeFormat(found.format, known));
    if (known) foreign(known);
    return undefined;
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
    const name = `${owner}/${file}`;
    const text = JSON.stringify(record);
    if (this.#takeAgreed(name) === text) return;
    this.#copied.get(owner)?.delete(file);
    const desired = desiredText(record);
    const part = desired === undefined ? "" : `,"desired":${desired}`;
    this.#attempt(owner, file, "keep a copy of its record", (failed) =>
      this.#copies.write(name, `{"format":${FORMAT},"value":${text}${part}}`, failed),
    );
    // A full disk must not stop daemons.
    this.#attempt(owner, file, "write its record", () => this.#states.write(owner, file, text, desired));
  }

  #takeAgreed(name: string): string | undefined {
    const text = this.#agreed.get(name);
    this.#agreed.delete(name);
    return text;
  }

  remove(owner: string, file: string): void {
    this.#takeAgreed(`${owner}/${file}`);
    this.#copied.get(owner)?.delete(file);
    this.#attempt(owner, file, "remove its record", () => this.#states.remove(owner, file));
    this.#attempt(owner, file, "remove the copy of its record", () => this.#copies.remove(`${owner}/${file}`));
  }

  #attempt(owner: string, file: string, what: string, act: (failed: (error: unknown) => void) => void): void {
    const failed = (error: unknown): void => this.#report(`${owner}/${file}`, `cannot ${what}: ${messageOf(error)}`);
    try {
      act(failed);
    } catch (error) {
      failed(error);
    }
  }
}

/** The record if it is one; undefined where there is none. */
const checked = (record: unknown, report: (problem: string) => void): InstanceRecord | undefined => {
  if (record === undefined || isInstanceRecord(record)) return record;
  report(`is ignored: wrong fields: ${wrongRecordFields(record).join(", ")}`);
  return undefined;
};

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
