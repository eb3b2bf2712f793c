import { DEFAULT_SETTINGS, type Settings } from "../core/policy-rules.ts";

/** A key of [settings], as man pages and completion need to know it. */
interface SettingsKey {
  readonly key: string;
  /** Form of its value, in words that can follow "expected". */
  readonly expected: string;
  /** The default, as a file writes it. */
  readonly default: string;
  /** Its effect, in one line. */
  readonly doc: string;
}

/** Settings under construction. */
export type SettingsDraft = { -readonly [F in keyof Settings]: Settings[F] };

interface SettingEntry extends Omit<SettingsKey, "default"> {
  readonly isValid: (text: string) => boolean;
  /** Whether it is a path of each owner: owners should not share a directory. */
  readonly perOwner: boolean;
}

const GROUP_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/;

function isPath(text: string): boolean {
  const rest = text.replaceAll("%username%", "");
  return /^(?:\/|~(?:\/|$))/.test(text) && !/%[A-Za-z_-]+%/.test(rest) && !text.split("/").includes("..");
}

const ROOTS_PATH = {
  expected: 'an absolute path, "~", or one that begins with "~/", without ".." and with no %...% but %username%',
  isValid: isPath,
  perOwner: false,
};
const OWNERS_PATH = { ...ROOTS_PATH, perOwner: true };

const SETTINGS: { readonly [F in keyof Settings]: SettingEntry } = {
  daemonPathDaemon: {
    key: "daemon-path-daemon",
    ...OWNERS_PATH,
    doc: "Directory of an owner's conf files. ~ is the owner's home, %username% the owner's name.",
  },
  daemonPathLog: {
    key: "daemon-path-log",
    ...OWNERS_PATH,
    doc: "Directory of an owner's logs; each daemon has a directory in it.",
  },
  daemonPathDaemonRoot: { key: "daemon-path-daemon-root", ...ROOTS_PATH, doc: "Directory of root's conf files." },
  daemonPathLogRoot: { key: "daemon-path-log-root", ...ROOTS_PATH, doc: "Directory of the logs of root's daemons." },
  servicePath: {
    key: "service-path",
    ...OWNERS_PATH,
    doc: "Directory of an owner's service directories. It is never created.",
  },
  servicePathRoot: { key: "service-path-root", ...ROOTS_PATH, doc: "Directory of root's service directories." },
  nginxGroup: {
    key: "nginx-group",
    expected: "the name of a group",
    doc: "Group whose members may connect to published sockets: the web server's workers, and no tenant.",
    isValid: (text) => GROUP_NAME.test(text),
    perOwner: false,
  },
  strictLimits: {
    key: "strict-limits",
    expected: "yes or no",
    doc: "Whether a daemon is forbidden when no cgroup of this machine can enforce its limits or its owner's budget.",
    isValid: (text) => text === "yes" || text === "no",
    perOwner: false,
  },
};

/** Every key of [settings]: the table by which parsePolicy reads. */
export const SETTINGS_KEYS: readonly SettingsKey[] = Object.entries(SETTINGS).map(([field, entry]) => ({
  ...entry,
  default: DEFAULT_SETTINGS[field as keyof Settings],
}));

const FIELDS = new Map(Object.entries(SETTINGS).map(([field, { key }]) => [key, field as keyof Settings]));

/** The setting that a key sets; undefined for an unknown key. */
export const settingOf = (key: string): keyof Settings | undefined => FIELDS.get(key);

/** Puts a value into the draft. Returns the expected form where the text does not have it. */
export function setSetting(draft: SettingsDraft, field: keyof Settings, text: string): string | undefined {
  const { isValid, expected } = SETTINGS[field];
  if (!isValid(text)) return expected;
  draft[field] = text;
  return undefined;
}

/** Whether a path is the same directory for all owners. */
export const isSharedByOwners = (field: keyof Settings, path: string): boolean =>
  SETTINGS[field].perOwner && !path.startsWith("~") && !path.includes("%username%");
