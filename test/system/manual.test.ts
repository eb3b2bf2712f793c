/** Man pages and completion as `./dmhost up` installs them, shown by man(1). */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DAEMON_STATES } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { COMMANDS } from "../../apps/dmctl/src/commands/table.ts";
import { DAEMON_KEYS } from "../../apps/supervisor/src/conf/daemon-keys.ts";
import { SECTIONS } from "../../apps/supervisor/src/conf/policy-file.ts";
import { SETTINGS_KEYS } from "../../apps/supervisor/src/conf/settings-keys.ts";
import { CHECKOUT, run, succeed } from "./program.ts";

const INSTALL = `
set -eu
checkout=$1 share_dir=$2 fish_completions=$2/fish
for part in progress debian manual; do . "$checkout/host/$part.sh"; done
install_manual`;

let share: string;
const install = (path = process.env["PATH"]) =>
  run(["/bin/sh", "-c", INSTALL, "sh", CHECKOUT, share], { env: { PATH: path } });

beforeAll(async () => {
  share = mkdtempSync(join(tmpdir(), "dmhost-share-"));
  expect(await install()).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/: installed\n$/) });
});
afterAll(() => rmSync(share, { recursive: true }));

/** Returns a page as a terminal of 200 columns shows it, without bold and underlining. */
const page = async (name: string): Promise<string> => {
  const argv = ["env", "MANWIDTH=200", "LC_ALL=C.UTF-8", "MAN_KEEP_FORMATTING=", "man", "-M", `${share}/man`, name];
  const text = await succeed(...argv);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: overstriking is made of backspaces.
  return text.replace(/.\u0008/g, "");
};

test.each([
  ["dmctl", COMMANDS.map(({ name }) => name)],
  ["dmctl", DAEMON_STATES],
  ["dmctl", [...new Set(COMMANDS.flatMap(({ options }) => options.map((name) => `--${name}`)))]],
  ["daemon.conf", DAEMON_KEYS.map(({ key }) => key)],
  ["daemon-manager.conf", SETTINGS_KEYS.map(({ key }) => key)],
  ["daemon-manager.conf", SECTIONS.map((name) => `[${name}]`)],
])("the man page %s has an entry for each of %s", async (name, terms) => {
  const shown = (await page(name)).split("\n").map((line) => line.trim());
  const headed = (term: string): boolean => shown.some((line) => line.split(/[ ,]+/).includes(term));
  expect(terms.filter((term) => !headed(term))).toEqual([]);
});

test("man pages show underscores, double dashes and indented examples literally", async () => {
  const text = await page("dmctl");
  expect(text).toContain("DMCTL_SOCKET");
  expect(text).toContain("dmctl wordpress log --lines 100 --utc");
  expect(await page("daemon-manager.conf")).toContain("    @customers: @webapps");
});

test("installed completion files equal those of the checkout, and all accounts can read them and the man pages", () => {
  for (const [source, place] of [
    ["dmctl.bash", "bash-completion/completions/dmctl"],
    ["_dmctl", "zsh/site-functions/_dmctl"],
    ["dmctl.fish", "fish/dmctl.fish"],
  ] as const) {
    expect(readFileSync(join(share, place), "utf8")).toBe(readFileSync(join(CHECKOUT, "completion", source), "utf8"));
    expect(statSync(join(share, place)).mode & 0o777).toBe(0o644);
  }
  expect(statSync(join(share, "man/man1/dmctl.1")).mode & 0o777).toBe(0o644);
});

test("a second installation writes nothing, and restores a man page that was changed", async () => {
  const place = join(share, "man/man5/daemon.conf.5");
  const before = statSync(place).mtimeMs;
  expect((await install()).stdout).toMatch(/manual and completion: installed already\n$/);
  expect(statSync(place).mtimeMs).toBe(before);
  await succeed("sh", "-c", 'echo >"$1"', "sh", place);
  expect((await install()).stdout).toMatch(/: installed\n$/);
  expect(readFileSync(place, "utf8")).toContain("stop-timeout");
});
