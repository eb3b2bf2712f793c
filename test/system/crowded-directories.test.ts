/** Directories with too many files: the owner gets a message, and the supervisor does not read all of them. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { writeService } from "./daemontools/service-tree.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

/** More files than the supervisor reads in any directory. */
const CROWD = 12_500;
/** Timeout in ms: some disks create only a few hundred files a second. */
const LONGEST = 200_000;

let stage: Stage;
let toolbox: Toolbox;
let mallory: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  mallory = await stage.account("mallory");
  supervisor = stage.supervisor("main", ["[runs_as]", mallory.name]);
  mallory.writeConf("job", "start = echo begun; exec sleep 1000", "output = log");
  writeService(join(mallory.home, "service/site"), { run: "#!/bin/sh\nexec sleep 1000\n" }, mallory);
  await supervisor.start();
  for (const name of ["job", "site"]) await supervisor.reaches(`${mallory.name}/${name}`, "running");
});
afterAll(() => stage.remove());

/** Fills a directory with empty files, as its owner. */
const crowd = async (directory: string, pattern: string): Promise<void> => {
  const { code } = await mallory.run(["sh", "-c", `cd "${directory}" && seq -f '${pattern}' ${CROWD} | xargs touch`]);
  expect(code).toBe(0);
};

test(
  "dmctl log and explain refuse a log directory with more than 12000 files",
  async () => {
    const directory = join(mallory.home, ".daemon-manager/logs/job");
    await crowd(directory, "@4000000000000000%08g.s");
    const { code, stderr } = await mallory.run([toolbox.node, toolbox.dmctl, "job", "log", "--lines", "1"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${directory}: more than 12000 files in it; put`)]);
    const explained = await mallory.run([toolbox.node, toolbox.dmctl, "explain", "job"]);
    expect(explained.stdout).toContain(`cannot be read: ${directory}: more than 12000 files in it; put`);
  },
  LONGEST,
);

test.each([
  ["service", "x%g", "site"],
  [".daemon-manager/daemons", "x%g.txt", "job"],
])(
  "daemons of ~/%s go on and can be restarted when it has more than 10000 files, and the next supervisor adopts them",
  async (path, names, daemon) => {
    const directory = join(mallory.home, path);
    const id = `${mallory.name}/${daemon}`;
    const { pid } = await supervisor.status(id);
    await crowd(directory, names);
    const { problems, removed } = await supervisor.rescan();
    expect([problems, removed]).toEqual([
      [expect.stringMatching(`^${directory}: more than 10000 files in it; put them elsewhere$`)],
      [],
    ]);
    expect(await supervisor.status(id)).toMatchObject({ state: "running", pid });
    expect((await supervisor.act("restart", id)).ok).toBe(true);
    const next = await supervisor.status(id);
    await supervisor.end("SIGKILL");
    await supervisor.start();
    expect(await supervisor.status(id)).toMatchObject({ state: "running", pid: next.pid });
    await mallory.run(["sh", "-c", `cd "${directory}" && find . -maxdepth 1 -type f -name 'x*' -delete`]);
    expect((await supervisor.rescan()).problems).toEqual([]);
  },
  LONGEST,
);
