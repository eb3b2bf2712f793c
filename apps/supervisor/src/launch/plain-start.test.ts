import { expect, it } from "vitest";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { plainWords } from "./plain-start.ts";

const words = (change: Partial<Definition> & { readonly start: string }): readonly string[] =>
  plainWords({ ...DEFAULTS, ...change });

it.each([
  ["exec php-cgi", ["php-cgi"]],
  ["exec  /usr/bin/x  -a --b=c:d,e@f 7%", ["/usr/bin/x", "-a", "--b=c:d,e@f", "7%"]],
  ["exec ./finish 7 0", ["./finish", "7", "0"]],
])("a start of exec and plain words needs no shell: %s", (start, expected) => {
  expect(words({ start })).toEqual(expected);
});

it.each([
  "php-cgi",
  "exec",
  "execute x",
  "exec x; y",
  "exec 'x'",
  "exec x $Y",
  "exec x ~/y",
  "exec x *",
  "exec x 2>y",
  "exec x &",
  "exec A=b x",
  "exec .",
  "exec -a x y",
  "exec x\ty",
  "exec x \\y",
  "exec x #y",
  "exec x {a,b}",
  "exec x [a]",
])("any other start needs a shell: %s", (start) => {
  expect(words({ start })).toEqual([]);
});

it("a start of more words than the shim takes needs a shell", () => {
  expect(words({ start: `exec ${"x ".repeat(512)}`.trim() })).toHaveLength(512);
  expect(words({ start: `exec ${"x ".repeat(513)}`.trim() })).toEqual([]);
});

it("a plain start needs a shell with shell=, chroot=, files of variables, or a variable that a shell changes", () => {
  const start = "exec x";
  expect(words({ start, shell: "/bin/bash" })).toEqual([]);
  expect(words({ start, chroot: "/jail" })).toEqual([]);
  expect(words({ start, envDir: "~/env" })).toEqual([]);
  expect(words({ start, envFile: "~/env" })).toEqual([]);
  expect(words({ start, environment: new Map([["IFS", "x"]]) })).toEqual([]);
  expect(words({ start, environment: new Map([["PATH", "/x"]]) })).toEqual(["x"]);
});
