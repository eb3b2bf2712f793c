/** What health says while the web server does not take the sites. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { Appliance, eventually } from "./appliance.ts";
import { HostAccount } from "./host-account.ts";

const NAME = "dmap-pending";
const CHECK = "/usr/local/lib/dmhost/container/health";
const REASON = "1 host has been pending for a minute or longer: the web server has not connected";

let appliance: Appliance;
let alice: HostAccount;

beforeAll(async () => {
  alice = await HostAccount.make(NAME);
  appliance = await Appliance.prepare();
  await appliance.writePolicy(`[runs_as]\ndmhost-demo:\n${NAME}:\n[hosts]\n${NAME}: pending.test\n`);
  await appliance.dmhost("up");
});
afterAll(async () => {
  await appliance?.remove();
  await HostAccount.remove(NAME);
});

it("health fails with the reason once a site has been pending for a minute, and recovers with the web server", async () => {
  const health = () => appliance.exec("supervisor", "dmctl", "health");
  await appliance.compose("stop", "nginx");
  await alice.write(
    ".daemon-manager/daemons/site.conf",
    "start = exec sleep 10000\nhost = pending.test\ndocroot = ~\n",
  );
  const begun = Date.now();
  await appliance.exec("supervisor", "dmctl", "rescan");
  expect(await health()).toMatchObject({ code: 0 });
  const failed = await eventually(
    "a failure",
    async () => {
      const ended = await health();
      return ended.code === 0 ? undefined : ended;
    },
    90,
  );
  expect(failed).toMatchObject({ code: 1, stdout: expect.stringContaining(`problem     ${REASON}\n`) });
  expect(Date.now() - begun).toBeGreaterThan(59_000);
  expect(await appliance.exec("supervisor", CHECK)).toMatchObject({ code: 1, stderr: `${REASON}\n` });
  await appliance.compose("start", "nginx");
  await eventually("health", async () => ((await health()).code === 0 ? true : undefined));
  expect((await appliance.exec("supervisor", CHECK)).code).toBe(0);
});
