import { expect, it } from "vitest";
import { parseDaemonFile } from "./daemon-file.ts";
import { DAEMON_KEYS } from "./daemon-keys.ts";
import { effectiveSettings } from "./effective-settings.ts";

const settingsOf = (text: string) => {
  const { value } = parseDaemonFile(text);
  if (value === undefined) throw new Error(`wrong: ${text}`);
  return effectiveSettings(value);
};

it("effective settings are those of every key, in the order of the table, with their defaults", () => {
  const settings = settingsOf("start = id");
  expect(settings.map(({ key }) => key)).toEqual(DAEMON_KEYS.map(({ key }) => key));
  expect(settings.filter(({ isDefault }) => !isDefault)).toEqual([{ key: "start", value: "id", isDefault: false }]);
  for (const { key, default: value } of DAEMON_KEYS.slice(1)) {
    expect(settings.find((setting) => setting.key === key)).toEqual({ key, value, isDefault: true });
  }
});

it("effective settings quote a pattern that has blanks by the quote that it does not have", () => {
  const written = (value: string) =>
    settingsOf(`start = id\nlog-select = ${value}`).find(({ key }) => key === "log-select");
  expect(written(`"+*it's a*"`)?.value).toBe(`"+*it's a*"`);
  expect(written(`'+* "a*'`)?.value).toBe(`'+* "a*'`);
});

it("effective settings are written as a conf file can write them", () => {
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
    "stop-timeout = 2m",
    "healthy-after = 250ms",
    "max-retries = 3",
    "nice = 5",
    "umask = 007",
    "limit-as = 64 MiB:unlimited",
    "limit-nofile = 100",
    "limit-cpu = 1m",
    "env-dir = ~/env",
    "lock = /run/x",
    "log-size = 2 MiB",
    "log-files = 5",
    "log-total = 5000 B",
    "log-compress = yes",
    "log-select = -* '+* b' +c",
    "export A = 1",
    "export B = '2'",
  ]);
});
