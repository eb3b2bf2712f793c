import { expect, test } from "vitest";
import { parseDaemonFile } from "./daemon-file.ts";
import { daemonTemplate } from "./daemon-template.ts";

const template = daemonTemplate("alice/blog");

test("the template names its daemon and defines none", () => {
  expect(template).toContain("alice/blog");
  expect(parseDaemonFile(template)).toMatchObject({
    value: undefined,
    errors: [{ line: 0, text: expect.stringContaining('no "start" line') }],
  });
});

test("the template with every example enabled has no errors and no warnings", () => {
  const taken = template.replace(/^#(?=\S)/gm, "");
  expect(parseDaemonFile(taken)).toMatchObject({ errors: [], warnings: [] });
  expect(parseDaemonFile(taken).value).toMatchObject({ output: "log", listen: "fastcgi", autostart: false });
});

test("every example of the template is explained", () => {
  expect(template).not.toMatch(/^# (Required\.)?$/m);
});
