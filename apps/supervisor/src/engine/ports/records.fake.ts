import type { InstanceKey } from "../../core/daemon-key.ts";
import type { InstanceRecord, RecordSlot, Records } from "./records.ts";

/** Records in memory. They are written at the end of the turn, as on disk, and survive a supervisor of the test. */
export class FakeRecords implements Records {
  readonly #records = new Map<string, Map<string, Map<number, InstanceRecord>>>();
  /** What is not written yet, with the id of its daemon. */
  readonly #due = new Map<() => void, string>();
  readonly #later: (then: () => void) => void;
  /** Whether the disk is full: then nothing is written. */
  full = false;
  /** Owners whose records cannot be read. */
  readonly unreadable = new Set<string>();

  /** @param later runs something at the end of the present turn; by default nothing is written before `flush` */
  constructor(later: (then: () => void) => void = () => undefined) {
    this.#later = later;
  }

  #of(owner: string, name: string): Map<number, InstanceRecord> {
    const daemons = this.#records.get(owner) ?? new Map<string, Map<number, InstanceRecord>>();
    this.#records.set(owner, daemons);
    const records = daemons.get(name) ?? new Map<number, InstanceRecord>();
    daemons.set(name, records);
    return records;
  }

  slot({ owner, name, instance }: InstanceKey): RecordSlot {
    let pending: (() => InstanceRecord) | undefined;
    const write = (): void => {
      const record = pending?.();
      pending = undefined;
      if (record && !this.full) this.put(owner.name, name, instance, record);
    };
    return {
      write: (record) => {
        pending = record;
        if (this.#due.size === 0) this.#later(() => this.flush());
        this.#due.set(write, `${owner.name}/${name}`);
      },
      remove: () => {
        pending = undefined;
        this.#of(owner.name, name).delete(instance);
      },
    };
  }

  recall({ owner, name }: Parameters<Records["recall"]>[0]): ReadonlyMap<number, InstanceRecord> {
    if (this.unreadable.has(owner.name)) throw new Error("EIO: input/output error");
    const records = [...this.#of(owner.name, name)].sort(([a], [b]) => a - b);
    return new Map(records);
  }
  owners(): readonly string[] {
    return [...this.#records.keys()];
  }
  daemons(owner: string): readonly string[] {
    return [...(this.#records.get(owner) ?? [])].flatMap(([name, records]) => (records.size > 0 ? name : []));
  }
  removeAll(owner: string, name: string): void {
    this.#of(owner, name).clear();
  }
  /** Ids of daemons with a record that is not written yet. */
  get pending(): readonly string[] {
    return [...this.#due.values()];
  }
  flush(): void {
    const due = [...this.#due.keys()];
    this.#due.clear();
    for (const write of due) write();
  }

  /** Drops what is not written yet, as the death of the supervisor does. */
  forget(): void {
    this.#due.clear();
  }
  /** Leaves a record as an earlier supervisor would: as JSON, which is what survives on disk. */
  put(owner: string, name: string, instance: number, record: InstanceRecord): void {
    this.#of(owner, name).set(instance, JSON.parse(JSON.stringify(record)) as InstanceRecord);
  }
}
