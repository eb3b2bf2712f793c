import type { Client } from "@dmhost/client";
import type { DaemonStatus } from "@dmhost/contract";
import { expect, test, vi } from "vitest";
import { allDaemons } from "../all-daemons.ts";
import { collector } from "../session.fake.ts";
import { daemon } from "../supervisor.fake.ts";
import { showTop } from "./top.ts";

vi.mock("node:timers/promises", () => ({ setTimeout: async () => undefined }));

const using = (cpu: number | null) =>
  daemon("a/x", {
    usage: {
      memory: 1024 ** 2,
      memoryPeak: null,
      memoryPressure: null,
      processes: 1,
      cpu,
      cpuThrottled: null,
      oomKills: null,
    },
  });

/** A client that has these daemons, one list after the other, and calls `last` with the last of them. */
const clientWith = (lists: DaemonStatus[][], last = () => {}) => {
  const requests: unknown[] = [];
  const call = async (...question: unknown[]) => {
    requests.push(question);
    const daemons = lists.shift() ?? [];
    if (lists.length === 0) last();
    return { daemons };
  };
  return { client: { call } as unknown as Client, requests };
};

const show = async (terminal: boolean, lists: DaemonStatus[][]): Promise<string> => {
  const output = collector();
  const end = new AbortController();
  const { client } = clientWith(lists, () => end.abort());
  await showTop(client, { terminal, output: output.stream } as Parameters<typeof showTop>[1], end.signal);
  return output.text();
};

test("allDaemons requests every daemon with its usage", async () => {
  const { client, requests } = clientWith([[using(1)]]);
  expect(await allDaemons(client, true)).toEqual([using(1)]);
  expect(requests).toEqual([["listDaemons", { query: { usage: "1" } }]]);
});

test("top prints one table without control characters into a pipe", async () => {
  const text = await show(false, [[using(1)]]);
  expect(text.split("\n").map((line) => line.split(/ +/)[0])).toEqual(["daemon-id", "a/x", ""]);
  expect(text).not.toContain("\u001b");
});

test("top draws each table over the former one on a terminal", async () => {
  const text = await show(true, [[using(1)], [using(2)], [daemon("a/x")]]);
  const [clear, ...tables] = text.split("\u001b[H");
  expect(clear).toBe("\u001b[2J");
  expect(tables).toHaveLength(3);
  for (const table of tables) {
    const lines = table.split("\n");
    expect(lines.pop()).toBe("\u001b[J");
    expect(lines.filter((line) => !line.endsWith("\u001b[K"))).toEqual([]);
  }
});

test("top has a processor share from the second table on", async () => {
  const shares = (await show(true, [[using(1)], [using(2)]])).match(/a\/x.*/g)?.map((row) => row.split(/ +/)[6]);
  expect(shares).toEqual(["-", expect.stringMatching(/^\d+$/)]);
});
