import {
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type LogPosition, readLog } from "./reader.ts";

const identity = {
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
};
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "log-reader-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const rotated = (number: number): string => `@${number.toString(16).padStart(24, "4")}.s`;
const put = (name: string, ...lines: string[]): void =>
  writeFileSync(join(directory, name), lines.map((line) => `${line}\n`).join(""));
const press = (name: string, ...lines: string[]): void =>
  writeFileSync(join(directory, name), gzipSync(lines.map((line) => `${line}\n`).join("")));
const move = (from: string, to: string): void => renameSync(join(directory, from), join(directory, to));
const remove = (name: string): void => rmSync(join(directory, name));
/** What s6-log does when it compresses: what was current gets another file's content under its name. */
const pressInto = (from: string, to: string, ...lines: string[]): void => {
  press(to, ...lines);
  remove(from);
};

/** Reads a log; `meanwhile` is called before each further piece, with the number of pieces so far. */
const read = async (from: Partial<LogPosition>, meanwhile: (pieces: number) => void = () => undefined) => {
  let text = "";
  let pieces = 0;
  for await (const chunk of readLog(identity, directory, {
    lines: undefined,
    since: undefined,
    follow: false,
    ...from,
  })) {
    text += chunk;
    pieces += 1;
    meanwhile(pieces);
  }
  return text.split("\n").slice(0, -1);
};

describe("the last lines", () => {
  beforeEach(() => {
    press(rotated(1), "a", "b", "c");
    press(rotated(2), "d", "e", "f");
    put("current");
  });

  test.each([
    [1, ["f"]],
    [3, ["d", "e", "f"]],
    [4, ["c", "d", "e", "f"]],
    [100, ["a", "b", "c", "d", "e", "f"]],
    [0, []],
  ])("the last %i lines are found in compressed files", async (lines, expected) => {
    expect(await read({ lines })).toEqual(expected);
  });

  test("the last lines are found while a file is being compressed", async () => {
    put("previous", "g", "h");
    put("current", "i");
    const lines = await read({ lines: 4 }, (pieces) => {
      if (pieces === 2) pressInto("previous", rotated(3), "g", "h");
    });
    expect(lines).toEqual(["f", "g", "h", "i"]);
    put("previous", "j");
    put("current", "k");
    expect(
      await read({ lines: 2 }, () => existsSync(join(directory, "previous")) && move("previous", rotated(4))),
    ).toEqual(["j", "k"]);
  });
});

describe("following a log", () => {
  beforeEach(() => {
    put(rotated(1), "one");
    put("current", "two");
  });

  test("a reader continues with the current file after a rotation", async () => {
    expect(
      await read({}, (pieces) => {
        if (pieces !== 1) return;
        move("current", rotated(2));
        put("current", "three");
      }),
    ).toEqual(["two"]);
    expect(await read({ since: 0 })).toEqual(["one", "two", "three"]);
  });

  /** Follows the log until it has said `last`. */
  const follow = async (last: string, meanwhile: (pieces: number) => void): Promise<string[]> => {
    let over = false;
    const lines = await read({ follow: true, permitted: () => !over }, (pieces) => {
      meanwhile(pieces);
      if (readdirSync(directory).includes(last)) over = true;
    });
    return lines;
  };

  test("a reader continues with the next of several files that were rotated meanwhile", async () => {
    const lines = await follow("end", (pieces) => {
      if (pieces === 1) {
        move("current", rotated(2));
        put(rotated(3), "three");
        put(rotated(4), "four");
        put("current", "five");
      } else if (pieces === 4) put("end");
    });
    expect(lines).toEqual(["two", "three", "four", "five"]);
  });

  test("a reader continues after a file that was opened while an earlier one had no final name", async () => {
    put("previous", "one and a half");
    const lines = await follow("end", (pieces) => {
      if (pieces === 1) {
        pressInto("previous", rotated(2), "one and a half");
        pressInto("current", rotated(3), "two");
        put(rotated(4), "three");
        put("current", "four");
      } else if (pieces === 3) put("end");
    });
    expect(lines).toEqual(["two", "three", "four"]);
  });

  test("a reader continues with the oldest file, and a line that says so, where its own file was removed", async () => {
    const lines = await follow("end", (pieces) => {
      if (pieces === 1) {
        for (const name of [rotated(1), "current"]) remove(name);
        put(rotated(5), "five");
        put("current", "six");
      } else if (pieces === 4) put("end");
    });
    expect(lines).toEqual([
      "two",
      "dmhost: files of this log may be missing here: the file that was read last was removed",
      "five",
      "six",
    ]);
  });

  test("a reader gets the number of files that were removed before it read them", async () => {
    for (let number = 2; number < 6; number += 1) put(rotated(number), `number ${number}`);
    const lines = await read({ since: 0 }, (pieces) => {
      if (pieces === 2) for (const number of [3, 4]) remove(rotated(number));
    });
    expect(lines).toEqual([
      "one",
      "number 2",
      "dmhost: at least 2 files of this log missing here: removed before they were read",
      "number 5",
      "two",
    ]);
  });

  test("a reader gets the number of missing files in a new line after a line that was cut off", async () => {
    writeFileSync(join(directory, rotated(1)), "cut");
    for (const number of [2, 3]) put(rotated(number), `number ${number}`);
    const lines = await read({ since: 0 }, (pieces) => {
      if (pieces === 1) remove(rotated(2));
    });
    const gap = "dmhost: at least 1 file of this log missing here: removed before they were read";
    expect(lines).toEqual(["cut", gap, "number 3", "two"]);
  });
});

test("a reader does not follow a link, and reads a hard link", async () => {
  put("elsewhere", "secret");
  symlinkSync("elsewhere", join(directory, "current"));
  await expect(read({})).rejects.toThrow(expect.objectContaining({ code: "ELOOP" }));
  remove("current");
  linkSync(join(directory, "elsewhere"), join(directory, "current"));
  expect(await read({})).toEqual(["secret"]);
});
