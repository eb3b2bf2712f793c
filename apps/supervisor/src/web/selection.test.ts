import fc from "fast-check";
import { expect, it } from "vitest";
import { type Complaint, refuse } from "./ports/nginx.fake.ts";
import { FakeWebServer } from "./ports/web-server.fake.ts";
import { installSites, type Selection, type ServedSites, textOf, type Vhosts } from "./selection.ts";

const logOf = (id: string): string => `/logs/${id}.log`;
const site = (owner: string, name: string): Vhosts => {
  const id = `${owner}/${name}`;
  return {
    id,
    owner,
    text: `# site ${id}\nserver {\n  access_log "/logs/${id}.log" site;\n}\n`,
    files: [logOf(id)],
  };
};
const many = (count: number, owner = (index: number) => `owner-${index % 50}`): Vhosts[] =>
  Array.from({ length: count }, (_, index) => site(owner(index), `d${index}`));
const served = (...sites: Vhosts[]): ServedSites => ({
  texts: new Set(sites.map(({ text }) => text)),
  isCertain: true,
});

/** What comes of these sites where Nginx refuses those of `bad`, and the requests that it took. */
const install = async (
  sites: readonly Vhosts[],
  bad: Readonly<Record<string, Complaint>> = {},
  before = served(),
  errno?: string,
) => {
  const web = new FakeWebServer();
  web.isConnected = true;
  refuse(web, new Map(Object.entries(bad).map(([id, complaint]) => [logOf(id), complaint])), errno);
  const selection = await installSites(web, sites, before);
  return { ...selection, web };
};
const idsOf = (sites: readonly Vhosts[]): string[] => sites.map(({ id }) => id).sort();
const leftOut = (sites: readonly Vhosts[], { leftOut: out }: Selection): string[] =>
  idsOf(sites.filter(({ text }) => out.has(text)));

it("a selection of sites brings sites that Nginx accepts into force with one request", async () => {
  const sites = many(2000);
  const { verdict, kept, isReloaded, web } = await install(sites);
  expect([verdict.kind, kept.length, isReloaded, web.requests.length]).toEqual(["accepted", 2000, true, 1]);
  expect(web.inForce().text).toBe(textOf(sites));
});

it("a selection of sites sends no request when exactly these sites are certainly served", async () => {
  const sites = many(3);
  const same = await install(sites, {}, served(...sites));
  expect([same.verdict.kind, same.isReloaded, same.web.requests]).toEqual(["accepted", false, []]);
  const uncertain = await install(sites, {}, { ...served(...sites), isCertain: false });
  expect([uncertain.isReloaded, uncertain.web.requests.length]).toEqual([true, 1]);
});

it.each<[Complaint, number]>([
  ["line", 2],
  ["file", 2],
  // A request for all, one for none, 2 for each halving of 2,000, and one to bring the others into force.
  ["vague", 25],
])(
  "a selection of sites finds one refused site among 2,000 by a %s complaint with at most %i requests",
  async (complaint, most) => {
    const sites = many(2000);
    const bad = "owner-27/d1277";
    const result = await install(sites, { [bad]: complaint });
    expect(result.verdict.kind).toBe("accepted");
    expect(leftOut(sites, result)).toEqual([bad]);
    expect(result.web.inForce().text).toBe(textOf(sites.filter(({ id }) => id !== bad)));
    expect(result.web.requests.length).toBeLessThanOrEqual(most);
    expect(result.web.reloads).toBe(1);
  },
);

it.each([
  [1, 0],
  [4, 0],
  [5, 1],
  [8, 1],
])("a selection of sites leaves out the site that line %i is of", async (line, at) => {
  const sites = many(3);
  const web = new FakeWebServer();
  web.isConnected = true;
  web.judge = (text) =>
    text === textOf(sites) ? { kind: "refused", complaint: "[emerg]", line } : { kind: "accepted" };
  expect(leftOut(sites, await installSites(web, sites, served()))).toEqual([`owner-${at}/d${at}`]);
});

it("a selection of sites does not reload when every new site was refused", async () => {
  const sites = many(5);
  const before = served(...sites.slice(0, 4));
  const { verdict, kept, isReloaded, web } = await install(sites, { "owner-4/d4": "file" }, before);
  expect([verdict.kind, kept.length, isReloaded]).toEqual(["accepted", 4, false]);
  expect(web.requests.map(({ verb }) => verb)).toEqual(["install", "try"]);
});

it.each<Complaint>(["file", "vague"])(
  "a selection of sites looks for no more than eight refused sites of an owner, and keeps those that are served (%s complaints)",
  async (complaint) => {
    const sites = [...many(40, () => "mallory"), ...many(40)];
    const before = served(...sites.slice(20, 40), ...sites.slice(40, 60));
    const bad = Object.fromEntries(sites.slice(0, 19).map(({ id }) => [id, complaint]));
    const result = await install(sites, bad, before);
    expect(result.verdict.kind).toBe("accepted");
    const out = leftOut(sites, result);
    // The twentieth would be accepted, and is not tried.
    expect(out).toEqual(idsOf(sites.slice(0, 20)));
    const why = [...result.leftOut.values()].filter((each) => each.includes("not tried"));
    expect(why).toHaveLength(12);
    expect(result.web.requests.length).toBeLessThan(50);
  },
);

it("a selection of sites leaves out all sites of an owner whose sites in force are refused one after the other, and no other owner's", async () => {
  const sites = [...many(100, () => "mallory"), ...many(11)];
  const bad = Object.fromEntries(sites.slice(0, 100).map(({ id }) => [id, "file" as const]));
  const result = await install(sites, bad, served(...sites.slice(0, -1)));
  expect(idsOf(result.kept)).toEqual(idsOf(sites.slice(100)));
  expect(result.web.requests.length).toBeLessThan(15);
});

it("a selection of sites refuses the whole when Nginx complains without any site as well", async () => {
  const web = new FakeWebServer();
  web.isConnected = true;
  web.judge = () => ({ kind: "refused", complaint: "[emerg] vhosts/own.conf", line: undefined });
  const sites = many(3);
  for (const before of [served(), served(...sites.slice(0, 2))]) {
    const { verdict, isReloaded } = await installSites(web, sites, before);
    expect(verdict).toEqual({ kind: "refused", complaint: "[emerg] vhosts/own.conf", line: undefined });
    expect(isReloaded).toBe(false);
  }
});

it("a selection of sites tries the sites in force one by one when Nginx no longer accepts them together", async () => {
  const sites = many(6);
  const result = await install(sites, { "owner-1/d1": "vague" }, served(...sites.slice(0, 3)));
  expect(leftOut(sites, result)).toEqual(["owner-1/d1"]);
  expect(result.kept).toHaveLength(5);
});

it.each([
  "5: Input/output error",
  "12: Cannot allocate memory",
  "23: Too many open files in system",
  "24: Too many open files",
  "28: No space left on device",
  "30: Read-only file system",
  "122: Disk quota exceeded",
])("a selection of sites fails on %j of the machine instead of leaving out a site in force", async (errno) => {
  const sites = many(4);
  const { verdict, isReloaded } = await install(sites, { "owner-1/d1": "file" }, served(sites[1] as Vhosts), errno);
  expect([verdict.kind, isReloaded]).toEqual(["failed", false]);
  // A new site that cannot be made room for is no reason to hold up others.
  const other = await install(sites, { "owner-1/d1": "file" }, served(sites[0] as Vhosts), errno);
  expect([other.verdict.kind, other.kept.length]).toEqual(["accepted", 3]);
});

it.each([1, 2, 3, 6])("a selection of sites fails when request %i fails", async (at) => {
  const web = new FakeWebServer();
  web.isConnected = true;
  const sites = many(8);
  refuse(web, new Map([[logOf("owner-5/d5"), "vague"]]));
  const { judge } = web;
  web.judge = (text) => (web.requests.length === at ? { kind: "failed", reason: "no room" } : judge(text));
  const { verdict } = await installSites(web, sites, served(...sites.slice(0, 2)));
  expect(verdict).toEqual({ kind: "failed", reason: "no room" });
});

it("a selection of sites keeps exactly what Nginx accepts, whatever it refuses and however it complains", async () => {
  const kinds = fc.constantFrom<Complaint>("line", "file", "vague");
  const sites = many(40);
  const ids = sites.map(({ id }) => id);
  const bad = fc.dictionary(fc.constantFrom(...ids), kinds, { maxKeys: 7 });
  await fc.assert(
    fc.asyncProperty(bad, fc.subarray(sites, { maxLength: 39 }), async (refusals, before) => {
      const result = await install(sites, refusals, served(...before));
      expect(result.verdict.kind).toBe("accepted");
      expect(leftOut(sites, result)).toEqual(Object.keys(refusals).sort());
      expect(idsOf(result.kept)).toEqual(ids.filter((id) => !(id in refusals)).sort());
      if (result.isReloaded) expect(result.web.inForce().text).toBe(textOf(result.kept));
      else expect(idsOf(before)).toEqual(idsOf(result.kept));
    }),
    {
      // Without the first refused site exactly those are left that are served, and one of them is refused by now.
      examples: [
        [{ "owner-2/d2": "line", "owner-34/d34": "line" }, sites.filter(({ id }) => id !== "owner-2/d2")],
        [{ "owner-2/d2": "file", "owner-34/d34": "vague" }, sites.filter(({ id }) => id !== "owner-2/d2")],
      ],
    },
  );
});
