import { expect, test } from "vitest";
import { parseDaemonFile } from "./daemon-file.ts";
import { daemonTemplate } from "./daemon-template.ts";

const template = daemonTemplate("alice/blog");

test("a new file names its daemon and defines nothing", () => {
  expect(template).toContain("alice/blog");
  expect(parseDaemonFile(template)).toMatchObject({
    value: undefined,
    errors: [{ line: 0, text: expect.stringContaining('no "start" line') }],
  });
});

test("with every example taken it is a file without anything to say against it", () => {
  const taken = template.replace(/^#(?=\S)/gm, "");
  expect(parseDaemonFile(taken)).toMatchObject({ errors: [], warnings: [] });
  expect(parseDaemonFile(taken).value).toMatchObject({ output: "log", listen: "fastcgi", autostart: false });
});

test("every example is explained", () => {
  expect(template).not.toMatch(/^# (It must be given\.)?$/m);
});
