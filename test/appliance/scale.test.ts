/** A second container of the supervisor's service. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { Appliance, command, eventually, PROJECT, succeed } from "./appliance.ts";

let appliance: Appliance;

beforeAll(async () => {
  appliance = await Appliance.prepare();
  await appliance.dmhost("up");
});
afterAll(() => appliance?.remove());

const docker = (...args: string[]): Promise<string> => succeed(appliance.environment, "docker", ...args);

it("a second supervisor says in one line that there is another, is unhealthy, and leaves the first alone", async () => {
  const before = await appliance.sitePid();
  const second = `${PROJECT}-supervisor-2`;
  await appliance.compose("up", "--detach", "--no-recreate", "--scale", "supervisor=2");
  const log = async () => {
    const { stdout, stderr } = await command(appliance.environment, "docker", "logs", second);
    return `${stdout}${stderr}`.trim();
  };
  await eventually("its message", async () => ((await log()) === "" ? undefined : true));
  await eventually("its health check", async () => {
    const said = await docker("inspect", "--format", "{{range .State.Health.Log}}{{.Output}}{{end}}", second);
    return said.includes("no supervisor runs in this container") || undefined;
  });
  expect(await log()).toMatch(
    /^dmhost supervisor: \/run\/dmhost: another supervisor \(pid \d+\) uses this directory; .*--scale supervisor=1$/,
  );
  expect(await docker("inspect", "--format", "{{.State.Health.Status}}", second)).not.toBe("healthy");
  expect(await appliance.sitePid()).toBe(before);

  const supervisor = await appliance.shell("supervisor", "s6-svstat -o pid /run/services/supervisor");
  await appliance.shell("supervisor", `kill -9 ${supervisor}`);
  expect((await appliance.request("/")).status).toBe(200);
  expect(await appliance.sitePid()).toBe(before);
  await eventually("the first one's health", async () => {
    const { code } = await appliance.exec("supervisor", "dmctl", "health");
    return code === 0 || undefined;
  });
  await appliance.compose("up", "--detach", "--no-recreate", "--scale", "supervisor=1");
  expect(await appliance.sitePid()).toBe(before);
  expect((await appliance.request("/")).status).toBe(200);
});
