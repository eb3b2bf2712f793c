import { DEFAULTS, type Definition } from "../core/definition.ts";
import { DAEMON_KEYS, EXPORT_KEY, fieldOf, writeField } from "./daemon-keys.ts";

/** The value that is in force for a key of one daemon. */
interface EffectiveSetting {
  /** As written before the `=`; `export NAME` for a variable. */
  readonly key: string;
  /** As a conf file could write it; a default that no file can write is in words. */
  readonly value: string;
  /** Whether it equals the default. */
  readonly isDefault: boolean;
}

/** Every key of a conf file with its value, in the order of DAEMON_KEYS; each exported variable is an entry. */
export function effectiveSettings(definition: Definition): readonly EffectiveSetting[] {
  return DAEMON_KEYS.flatMap((entry) => {
    const field = fieldOf(entry.key);
    if (field === undefined) return entry === EXPORT_KEY ? variables(definition) : [];
    const value = definition[field];
    const isDefault = field !== "start" && value === DEFAULTS[field];
    return [
      { key: entry.key, value: value === undefined ? (entry.default ?? "") : writeField(field, value), isDefault },
    ];
  });
}

function variables({ environment }: Definition): EffectiveSetting[] {
  if (environment.size === 0) return [{ key: EXPORT_KEY.key, value: EXPORT_KEY.default ?? "", isDefault: true }];
  return [...environment].map(([name, value]) => ({ key: `${EXPORT_KEY.key} ${name}`, value, isDefault: false }));
}
