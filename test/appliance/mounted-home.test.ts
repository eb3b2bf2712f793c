/** Homes that are mounted after the start. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { Appliance, command, succeed } from "./appliance.ts";
import { HostAccount } from "./host-account.ts";

let appliance: Appliance;
let alice: HostAccount;
let isMadeShared = false;

beforeAll(async () => {
  alice = await HostAccount.make("dmap-mounted");
  if (!(await Appliance.isHomeShared())) {
    await succeed(process.env, "mount", "--bind", "/home", "/home");
    isMadeShared = true;
    await succeed(process.env, "mount", "--make-shared", "/home");
  }
  appliance = await Appliance.prepare();
  await appliance.dmhost("up");
});
afterAll(async () => {
  await appliance?.remove();
  if (isMadeShared) await succeed(process.env, "umount", "/home");
  await HostAccount.remove("dmap-mounted");
});

it("both containers see a file system that is mounted in a home after the start, and its end", async () => {
  await alice.write("www/page", "below\n");
  const place = `${alice.home}/www`;
  const page = async (): Promise<string[]> => {
    const read = (service: string) => appliance.exec(service, "cat", `${place}/page`);
    return (await Promise.all([read("supervisor"), read("nginx")])).map(({ stdout }) => stdout);
  };
  expect(await page()).toEqual(["below\n", "below\n"]);
  await succeed(process.env, "mount", "-t", "tmpfs", "-o", "mode=755,size=1m", "dmhost-test", place);
  try {
    await alice.write("www/page", "mounted\n");
    expect(await page()).toEqual(["mounted\n", "mounted\n"]);
  } finally {
    await command(process.env, "umount", place);
  }
  expect(await page()).toEqual(["below\n", "below\n"]);
});
