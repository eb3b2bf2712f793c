import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Appliance, CHECKOUT, eventually, PROJECT, succeed } from "./appliance.ts";

let appliance: Appliance;

beforeAll(async () => {
  appliance = await Appliance.prepare();
  await appliance.dmhost("up");
});
afterAll(() => appliance?.remove());

describe("the demo site, through the published port", () => {
  it("the demo site runs PHP as the demo tenant", async () => {
    const { status, body } = await appliance.request("/");
    expect(status).toBe(200);
    expect(body).toContain("<dd>dmhost-demo</dd>");
    expect(body).toContain("cgi-fcgi");
  });

  it("the demo site serves static files, POST bodies, and 404 for missing files", async () => {
    const style = await appliance.request("/style.css");
    expect(style.status).toBe(200);
    expect(style.body).toContain("color-scheme");
    expect((await appliance.request("/nothing.html")).status).toBe(404);
    expect((await appliance.request("/nothing.php")).status).toBe(404);
    expect((await appliance.request("/style.css/x.php")).status).toBe(404);
    const posted = await appliance.request("/", {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: `text=${"x".repeat(190)}%3Cb%3E`,
    });
    expect(posted.status).toBe(200);
    expect(posted.body).toContain(`You posted: ${"x".repeat(190)}&lt;b&gt;`);
  });

  it("the demo site answers after kill -9 of its php-cgi", async () => {
    const before = await appliance.sitePid();
    await appliance.shell("supervisor", `kill -9 ${before}`);
    expect((await appliance.request("/")).status).toBe(200);
    const after = await eventually("another php-cgi", async () => {
      const pid = await appliance.sitePid();
      return pid !== before && pid !== "0" ? pid : undefined;
    });
    expect(await appliance.shell("supervisor", `cat /proc/${after}/comm`)).toBe("php-cgi");
  });

  it("the demo site answers by one php-cgi after kill -9 of the supervisor", async () => {
    const supervisor = await appliance.shell("supervisor", "s6-svstat -o pid /run/services/supervisor");
    await appliance.shell("supervisor", `kill -9 ${supervisor}`);
    await eventually("another supervisor", async () => {
      const { code } = await appliance.exec("supervisor", "dmctl", "health");
      return code === 0 ? true : undefined;
    });
    await eventually("the daemon running", async () => {
      const status = await appliance.shell("supervisor", "dmctl status");
      return /^dmhost-demo\/site +running /m.test(status) ? true : undefined;
    });
    expect((await appliance.request("/")).status).toBe(200);
    expect(await appliance.shell("supervisor", "pgrep -x php-cgi")).toBe(await appliance.sitePid());
  });
});

describe("./dmhost up", () => {
  it("./dmhost up waits until both services are healthy", async () => {
    for (const service of ["supervisor", "nginx"]) {
      expect((await appliance.inspect(service)).State.Health?.Status).toBe("healthy");
    }
  });

  it("a second ./dmhost up keeps containers and daemons, and shows the demo tenant's status", async () => {
    const state = async () => [
      await appliance.compose("ps", "--quiet"),
      (await appliance.inspect("supervisor")).State.Pid,
      (await appliance.inspect("nginx")).State.Pid,
      await appliance.sitePid(),
    ];
    // An account that is made meanwhile is a reason to restart the supervisor.
    const output = await eventually(
      "an up with the same accounts as before",
      async () => {
        const before = await state();
        const said = await appliance.dmhost("up");
        if (said.includes("accounts: changed on this machine")) return undefined;
        expect(await state()).toEqual(before);
        return said;
      },
      300,
    );
    expect(output).toContain(`http://127.0.0.1:${appliance.port}/`);
    expect(output).toMatch(/^dmhost-demo\/site +running /m);
  });

  it("./dmhost up installs a dmctl that runs on this machine", async () => {
    const socket = join(appliance.directory, "run/command.sock");
    const dmctl = join(appliance.directory, "bin/dmctl");
    const environment = { ...appliance.environment, DMCTL_SOCKET: socket };
    expect(await succeed(environment, dmctl, "list")).toBe("dmhost-demo/site");
  });
});

describe("health checks", () => {
  it("a supervisor that is ready passes each check, and is checked about each 5 s, before the first success each second", async () => {
    await appliance.compose("restart", "supervisor");
    const { checks, interval } = await eventually("three successful checks", async () => {
      const { State, Config } = await appliance.inspect("supervisor");
      const all = (State.Health?.Log ?? []).map(({ Start, End, ExitCode }) => ({
        start: Date.parse(Start),
        end: Date.parse(End),
        isSuccess: ExitCode === 0,
      }));
      const since = all.filter(({ end }) => end > Date.parse(State.StartedAt));
      const found = { checks: since, interval: (Config.Healthcheck?.Interval ?? 0) / 1e9 };
      return since.filter(({ isSuccess }) => isSuccess).length >= 3 ? found : undefined;
    });
    const log = await appliance.compose("logs", "--no-color", "--timestamps", "supervisor");
    const ready = log.split("\n").findLast((line) => line.includes('"ready"')) ?? "";
    const readyAt = Date.parse(/\d{4}-\S+Z/.exec(ready)?.[0] ?? "");
    expect(checks.filter(({ start, isSuccess }) => start > readyAt && !isSuccess)).toEqual([]);
    expect(interval).toBe(1);
    const [first, second, third] = checks.filter(({ isSuccess }) => isSuccess);
    if (!first || !second || !third) throw new Error("three successful checks are expected");
    expect(second.end - first.end).toBeGreaterThan(4500);
    expect(third.end - second.end).toBeGreaterThan(4500);
    // The checks after the first success begin with a pause of 4 s, and are otherwise alike.
    expect(second.end - second.start - (first.end - first.start)).toBeGreaterThan(2000);
  });
});

describe("stopping", () => {
  it("a stop ends nginx before the supervisor, each with exit code 0, and ./dmhost down leaves nothing", async () => {
    const started = await Promise.all(["nginx", "supervisor"].map((service) => appliance.inspect(service)));
    const log = () => appliance.compose("logs", "--no-color", "supervisor");
    await appliance.compose("stop");
    const [nginx, supervisor] = await Promise.all(["nginx", "supervisor"].map((service) => appliance.inspect(service)));
    expect([nginx?.State.ExitCode, supervisor?.State.ExitCode]).toEqual([0, 0]);
    expect(Date.parse(nginx?.State.FinishedAt ?? "")).toBeLessThan(Date.parse(supervisor?.State.FinishedAt ?? ""));
    expect((await log()).split("\n").at(-1)).toContain("stopped");
    expect(readdirSync(join(appliance.directory, "run/users/dmhost-demo"))).toEqual([]);
    expect(readdirSync(join(appliance.directory, "run"))).not.toContain("command.sock");

    await succeed(appliance.environment, join(CHECKOUT, "dmhost"), "down", "--docker");
    expect(await appliance.compose("ps", "--all", "--quiet")).toBe("");
    const label = `label=com.docker.compose.project=${PROJECT}`;
    expect(await succeed(appliance.environment, "docker", "network", "ls", "--quiet", "--filter", label)).toBe("");
    for (const { State } of started) expect(readdirSync("/proc")).not.toContain(String(State.Pid));
  });
});
