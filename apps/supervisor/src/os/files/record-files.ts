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

export class RecordFiles implements Records {
  readonly #states: StateFiles;
  readonly #report: Report;
  readonly #due = new Set<Slot>();

  constructor(states: StateFiles, report: Report) {
    this.#states = states;
    this.#report = report;
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

  #read(owner: string, file: string): InstanceRecord | undefined {
    const record = this.#states.read(owner, file);
    if (record === undefined || isInstanceRecord(record)) return record;
    const wrong = wrongRecordFields(record).join(", ");
    this.#report(`${owner}/${file}`, `its record is ignored, so its run is not adopted: wrong fields: ${wrong}`);
    return undefined;
  }

  #instances(owner: string, name: string): number[] {
    const numbers = this.#states.list(owner).flatMap((file) => {
      const [daemon, number = "1"] = file.split("#");
      const instance = Number(number);
      const isOurs = Number.isSafeInteger(instance) && instance >= 1 && recordName({ name, instance }) === file;
      return daemon === name && isOurs ? instance : [];
    });
    return numbers.sort((a, b) => a - b);
  }

  owners(): readonly string[] {
    return this.#states.owners();
  }

  daemons(owner: string): readonly string[] {
    return [...new Set(this.#states.list(owner).map((file) => file.split("#")[0] ?? ""))];
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
  }

  put(owner: string, file: string, record: InstanceRecord): void {
    try {
      this.#states.write(owner, file, record);
    } catch (error) {
      // A full disk must not stop daemons; the next supervisor finds an old record.
      this.#report(`${owner}/${file}`, `cannot write its record: ${messageOf(error)}`);
    }
  }

  remove(owner: string, file: string): void {
    try {
      this.#states.remove(owner, file);
    } catch (error) {
      const why = messageOf(error);
      this.#report(`${owner}/${file}`, `cannot remove its record: ${why}`);
    }
  }
}
