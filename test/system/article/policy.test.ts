/** The master config of the article about Daemon Manager, unchanged: [runs_as] and [manages]. */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { numbersOf } from "../proc.ts";
import { type Ended, succeed } from "../program.ts";
import { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";
import { fillToolbox, type Toolbox } from "../toolbox.ts";
import { endDaemons, makeTenants, NAMES, type Name, PATIENCE, type Tenants } from "./tenants.ts";
import { POLICY } from "./texts.ts";

/** Hides this machine's directory of root's daemons, because the article's file has no [settings] to move it. */
const WITHOUT_ROOTS_OWN = `
if [ -d /etc/daemon-manager ]; then
  exec unshare --mount sh -c 'mount -t tmpfs none /etc/daemon-manager && exec "$@"' sh "$@"
fi
exec "$@"`;

let stage: Stage;
let toolbox: Toolbox;
let tenants: Tenants;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  tenants = await makeTenants(stage);
  supervisor = stage.supervisor("main", [], { through: ["/bin/sh", "-c", WITHOUT_ROOTS_OWN, "sh"] });
  writeFileSync(supervisor.config, POLICY);
  for (const account of Object.values(tenants)) {
    account.writeConf("own", "start=exec sleep 1000");
    account.writeConf("web", "user=www-data", "start=exec sleep 1000");
  }
  tenants.david.writeConf("amys", "user=amy", "start=exec sleep 1000");
  tenants.michaelc.writeConf("davids", "user=david", "start=exec sleep 1000");
  tenants.greenfelt.writeConf("roots", "user=root", "start=exec sleep 1000");
  await supervisor.start();
}, PATIENCE);
afterAll(async () => {
  try {
    await endDaemons(stage, supervisor);
  } finally {
    await stage?.remove();
  }
});

const dmctl = (name: Name, ...words: string[]): Promise<Ended> =>
  tenants[name].run([toolbox.node, toolbox.dmctl, ...words]);

test("the article's policy loads unchanged, and its only warning is that five accounts share www-data", () => {
  const remarks = supervisor.log().flatMap(({ problem }) => (problem?.includes(supervisor.config) ? [problem] : []));
  const shared = "david, michaelc, amy, joann, greenfelt may all run daemons as www-data";
  expect(remarks).toEqual([expect.stringContaining(shared)]);
});

test.each(["david", "michaelc", "amy", "joann", "greenfelt"] as const)(
  "the article's policy lets %s run daemons as itself and as www-data",
  async (name) => {
    const own = await supervisor.reaches(`${name}/own`, "running");
    expect(numbersOf(own.pid, "Uid")).toEqual(Array(4).fill(tenants[name].uid));
    const web = await supervisor.reaches(`${name}/web`, "running");
    const uid = Number(await succeed("id", "-u", "www-data"));
    expect([web.user, numbersOf(web.pid, "Uid")]).toEqual(["www-data", Array(4).fill(uid)]);
  },
);

test("the article's policy lets jim run daemons only as jim, and forbids every grant that it does not name", async () => {
  const own = await supervisor.reaches("jim/own", "running");
  expect(numbersOf(own.pid, "Uid")).toEqual(Array(4).fill(tenants.jim.uid));
  for (const [id, owner, target] of [
    ["jim/web", "jim", "www-data"],
    ["david/amys", "david", "amy"],
    ["michaelc/davids", "michaelc", "david"],
    ["greenfelt/roots", "greenfelt", "root"],
  ] as const) {
    const { reason } = await supervisor.reaches(id, "forbidden");
    expect(reason).toContain(`no line of [runs_as] lets ${owner} run daemons as ${target}`);
    expect((await supervisor.act("start", id)).ok).toBe(false);
    expect(supervisor.starts(id)).toEqual([]);
  }
});

test("the article's policy lets bill, who is not in [runs_as], run no daemon", async () => {
  const { body } = await supervisor.ask("GET", "/v1/daemons");
  const owners = new Set((body as { daemons: { owner: string }[] }).daemons.map(({ owner }) => owner));
  expect([...owners].sort()).toEqual(NAMES.filter((name) => name !== "bill").sort());
});

const MANAGES: Readonly<Record<Name, readonly Name[]>> = {
  david: ["amy", "david", "greenfelt", "joann", "michaelc"],
  michaelc: ["amy", "joann", "michaelc"],
  amy: ["amy"],
  joann: ["joann"],
  jim: ["greenfelt", "jim"],
  greenfelt: ["greenfelt"],
  bill: ["joann"],
};

test.each(NAMES)(
  "the article's policy lets %s control the daemons that [manages] names and no others",
  async (name) => {
    const { code, stdout } = await dmctl(name, "list");
    const owners = new Set(
      stdout
        .trim()
        .split("\n")
        .map((id) => id.split("/")[0]),
    );
    expect([code, [...owners].sort()]).toEqual([0, MANAGES[name]]);
    for (const owner of NAMES.filter((each) => each !== "bill")) {
      const id = `${owner}/own`;
      const { pid } = await supervisor.reaches(id, "running");
      const restart = await dmctl(name, id, "restart");
      const after = await supervisor.status(id);
      const allowed = MANAGES[name].includes(owner);
      expect([owner, restart.code, after.pid !== pid]).toEqual([owner, allowed ? 0 : 3, allowed]);
    }
  },
);
