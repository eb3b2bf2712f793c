import type { InstanceKey } from "../../core/daemon-key.ts";
import type { InstanceRecord, RecordSlot, Records } from "./records.ts";

/** Records in memory: they survive a supervisor of the test. */
export class FakeRecords implements Records {
  readonly #records = new Map<string, Map<string, Map<number, InstanceRecord>>>();
  #due: (() => void)[] = [];

  #of(owner: string, name: string): Map<number, InstanceRecord> {
    const daemons = this.#records.get(owner) ?? new Map<string, Map<number, InstanceRecord>>();
    this.#records.set(owner, daemons);
    const records = daemons.get(name) ?? new Map<number, InstanceRecord>();
    daemons.set(name, records);
    return records;
  }

  slot({ owner, name, instance }: InstanceKey): RecordSlot {
    let pending: (() => InstanceRecord) | undefined;
    return {
      write: (record) => {
        pending = record;
        this.#due.push(() => {
          const written = pending?.();
          pending = undefined;
          // As JSON: that is what survives on disk.
          if (written) this.#of(owner.name, name).set(instance, JSON.parse(JSON.stringify(written)) as InstanceRecord);
        });
      },
      remove: () => {
        pending = undefined;
        this.#of(owner.name, name).delete(instance);
      },
    };
  }

  recall({ owner, name }: Parameters<Records["recall"]>[0]): ReadonlyMap<number, InstanceRecord> {
    const records = [...this.#of(owner.name, name)].sort(([a], [b]) => a - b);
    return new Map(records);
  }
  owners(): readonly string[] {
    return [...this.#records.keys()];
  }
  daemons(owner: string): readonly string[] {
    const daemons = this.#records.get(owner) ?? new Map<string, Map<number, InstanceRecord>>();
    return [...daemons].flatMap(([name, records]) => (records.size > 0 ? name : []));
  }
  removeAll(owner: string, name: string): void {
    this.#of(owner, name).clear();
  }
  flush(): void {
    const due = this.#due;
    this.#due = [];
    for (const write of due) write();
  }

  /** Leaves a record as an earlier supervisor would. */
  put(owner: string, name: string, instance: number, record: InstanceRecord): void {
    this.#of(owner, name).set(instance, record);
  }
}
