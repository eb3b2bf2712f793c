import { DEFAULTS, type Definition } from "../core/definition.ts";
import { DAEMON_KEYS, EXPORT_KEY, type Field, fieldOf, writeField } from "./daemon-keys.ts";

/** What a key comes to for one daemon. */
export interface EffectiveSetting {
  /** As written before the `=`; `export NAME` for a variable. */
  readonly key: string;
  /** As a file could say it, or, for a default that no file can spell, in words. */
  readonly value: string;
  /** Whether it is what the key comes to without being given. */
  readonly isDefault: boolean;
}

/** The numbers that are no durations. */
const COUNTS: ReadonlySet<Field> = new Set<Field>(["maxRetries", "instances"]);

/** A value as the text that readers of daemon files take for it. */
const written = (field: Field, value: NonNullable<Definition[Field]>): string => {
  const own = writeField(field, value);
  if (own !== undefined) return own;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  if (field === "maxBody") return writtenSize(Number(value));
  if (typeof value !== "number") return String(value);
  if (COUNTS.has(field)) return String(value);
  return value % 1000 === 0 ? `${value / 1000}s` : `${value}ms`;
};

/** A number of bytes with the largest unit that leaves it whole. */
const writtenSize = (bytes: number): string => {
  const unit = ["G", "M", "K"].find((_, index) => bytes % (1 << (30 - 10 * index)) === 0);
  return unit === undefined ? String(bytes) : `${bytes / (1 << (30 - 10 * "GMK".indexOf(unit)))}${unit}`;
};

/** Every key of a daemon's file (DAEMON_KEYS, in that order) with what it comes to; each exported variable by itself. */
export function effectiveSettings(definition: Definition): readonly EffectiveSetting[] {
  return DAEMON_KEYS.flatMap((entry) => {
    const field = fieldOf(entry.key);
    if (field === undefined) return entry === EXPORT_KEY ? variables(definition) : [];
    const value = definition[field];
    const isDefault = field !== "start" && value === DEFAULTS[field];
    return [{ key: entry.key, value: value === undefined ? (entry.default ?? "") : written(field, value), isDefault }];
  });
}

function variables({ environment }: Definition): EffectiveSetting[] {
  if (environment.size === 0) return [{ key: EXPORT_KEY.key, value: EXPORT_KEY.default ?? "", isDefault: true }];
  return [...environment].map(([name, value]) => ({ key: `${EXPORT_KEY.key} ${name}`, value, isDefault: false }));
}
