import { expect, it } from "vitest";
import { parseDaemonFile } from "./daemon-file.ts";
import { DAEMON_KEYS } from "./daemon-keys.ts";
import { effectiveSettings } from "./effective-settings.ts";

const settingsOf = (text: string) => {
  const { value } = parseDaemonFile(text);
  if (value === undefined) throw new Error(`wrong: ${text}`);
  return effectiveSettings(value);
};

it("has every key, in the order of the table, with its default", () => {
  const settings = settingsOf("start = id");
  expect(settings.map(({ key }) => key)).toEqual(DAEMON_KEYS.map(({ key }) => key));
  expect(settings.filter(({ isDefault }) => !isDefault)).toEqual([{ key: "start", value: "id", isDefault: false }]);
  for (const { key, default: value } of DAEMON_KEYS.slice(1)) {
    expect(settings.find((setting) => setting.key === key)).toEqual({ key, value, isDefault: true });
  }
});

it("says what a file sets as a file says it", () => {
  const lines = [
    "start = exec a 'b; c'",
    "dir = ~/x",
    "autostart = off",
    "stop-timeout = 2m",
    "healthy-after = 0.25",
    "max-retries = 3",
    "nice = 5",
    "umask = 7",
    "limit-as = 64M:unlimited",
    "open-files = 100",
    "limit-cpu = 1m",
    "env-dir = ~/env",
    "lock = /run/x",
    "log-size = 2048K",
    "log-files = 5",
    "log-total = 5000",
    "log-compress = yes",
    "log-select = -* '+* b' +c",
    "export A = 1",
    "export B = '2'",
  ];
  const given = settingsOf(lines.join("\n")).filter(({ isDefault }) => !isDefault);
  expect(given.map(({ key, value }) => `${key} = ${value}`)).toEqual([
    "start = exec a 'b; c'",
    "dir = ~/x",
    "autostart = no",
    "stop-timeout = 120s",
    "healthy-after = 250ms",
    "max-retries = 3",
    "nice = 5",
    "umask = 007",
    "limit-as = 67108864:unlimited",
    "limit-nofile = 100",
    "limit-cpu = 60",
    "env-dir = ~/env",
    "lock = /run/x",
    "log-size = 2M",
    "log-files = 5",
    "log-total = 5000",
    "log-compress = yes",
    "log-select = -* '+* b' +c",
    "export A = 1",
    "export B = '2'",
  ]);
});
