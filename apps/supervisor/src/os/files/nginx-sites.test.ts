import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { NginxSites } from "./nginx-sites.ts";
import { digestOf, readForeignFile } from "./whole-file.ts";

const OWNER = { name: "alice", uid: 1001, gid: 1001, home: "/home/alice", shell: "/bin/sh" };
const MEMORY = { holders: { "a.example.org": "alice/a" }, sites: {} };
const NONE = { holders: {}, sites: {} };

let directory: string;
let sites: NginxSites;
let reports: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-nginx-sites-"));
  mkdirSync(join(directory, "accepted"));
  reports = [];
  sites = new NginxSites({
    report: (problem) => reports.push(problem),
    sitesDir: directory,
    logsDir: join(directory, "logs"),
    fastcgiDir: "/run/fastcgi",
    memory: join(directory, "memory"),
    identity: () => ({ uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, groups: [] }),
  });
});
afterEach(() => rmSync(directory, { recursive: true }));

const file = (): string => join(directory, "memory");
const withDigest = (value: unknown): string =>
  JSON.stringify({ format: 1, digest: digestOf(JSON.stringify(value)), value });

it("the record of sites reads as it was written, and as empty when there is none", () => {
  expect(sites.read()).toEqual(NONE);
  sites.write(MEMORY);
  expect(sites.read()).toEqual(MEMORY);
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  expect(reports).toEqual([]);
});

it.each<[string, (text: string) => void, RegExp | undefined]>([
  ["another holder", (text) => writeFileSync(file(), text.replace("alice/a", "mallory/a")), /memory is damaged/],
  ["an end that is missing", (text) => writeFileSync(file(), text.slice(0, -1)), /memory is damaged/],
  ["null", () => writeFileSync(file(), "null"), /memory has the format undefined/],
  ["a newer format", (text) => writeFileSync(file(), text.replace(":1,", ":2,")), /memory has the format 2/],
  ["no value", () => writeFileSync(file(), withDigest(null)), /memory is damaged/],
  ["a wrong shape", () => writeFileSync(file(), withDigest({ holders: { a: 1 }, sites: {} })), /memory is damaged/],
  ["a directory", () => mkdirSync(file()), /memory cannot be read/],
  ["a FIFO", () => execFileSync("mkfifo", [file()]), /memory cannot be read/],
  ["nothing", () => undefined, undefined],
])("a record of sites that is replaced by %s is reported, and costs nothing", (_, damage, problem) => {
  sites.write(MEMORY);
  const text = readFileSync(file(), "utf8");
  rmSync(file());
  damage(text);
  expect(sites.read()).toEqual(MEMORY);
  expect(reports).toEqual(problem ? [expect.stringMatching(problem)] : []);
  rmSync(`${file()}.copy`);
  expect(sites.read()).toEqual(MEMORY);
  rmSync(file());
  expect(sites.read()).toEqual(MEMORY);
});

it("the directory for the logs of an owner's hosts is made once", () => {
  const path = sites.logDirectory(OWNER, undefined);
  expect(path).toBe(join(directory, "logs/alice"));
  expect(statSync(path).mode & 0o777).toBe(0o750);
  expect(sites.logDirectory(OWNER, undefined)).toBe(path);
  writeFileSync(join(directory, "logs/bob"), "");
  rmSync(join(directory, "logs"), { recursive: true });
  writeFileSync(join(directory, "logs"), "");
  expect(() => sites.logDirectory(OWNER, undefined)).toThrow(/ENOTDIR|EEXIST/);
});

it("the owner of a docroot is found as an account sees it, or the reason why not", () => {
  expect(sites.ownerOf(OWNER, directory)).toBe(process.geteuid?.());
  symlinkSync(directory, join(directory, "link"));
  expect(sites.ownerOf(OWNER, join(directory, "link"))).toBe("is not a directory, or is a link");
  expect(sites.ownerOf(OWNER, join(directory, "none"))).toBe("there is no such directory");
  writeFileSync(join(directory, "file"), "");
  expect(sites.ownerOf(OWNER, join(directory, "file/below"))).toBe("cannot be checked: ENOTDIR");
});

it("a daemon's socket path is below the owner's name", () => {
  expect(sites.socketPath({ owner: OWNER, name: "blog" })).toBe("/run/fastcgi/alice/blog.sock");
});

it("a file of another account is not read when it is a link or too large", () => {
  const path = join(directory, "foreign");
  writeFileSync(path, "text");
  symlinkSync(path, `${path}-link`);
  expect([readForeignFile(path, 4), readForeignFile(path, 3), readForeignFile(`${path}-link`, 4)]).toEqual([
    "text",
    "",
    "",
  ]);
  expect(readForeignFile(directory, 1 << 20)).toBe("");
});
