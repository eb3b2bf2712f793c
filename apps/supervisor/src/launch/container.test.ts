import { describe, expect, it } from "vitest";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { imageName } from "../core/image.ts";
import { completedBy, launchContained } from "./container.ts";

const owner = { name: "amy", uid: 1001, gid: 1001, home: "/home/amy", shell: "/bin/bash" };
const definition: Definition = { ...DEFAULTS, start: "exec serve --all", image: imageName("php:8.4-fpm") };
const launch = {
  definition,
  owner,
  account: owner,
  cgroup: "/sys/fs/cgroup/dmhost/amy/site.d/1-1",
  privileged: true,
  socketPath: undefined,
  notifyPath: "/run/dmhost/notify/amy/site.sock",
  tools: "/opt/tools",
};
const planOf = (change: Partial<Definition> = {}) =>
  launchContained({ ...launch, definition: { ...definition, ...change } });
const IMAGE = { command: ["/entry", "serve"], environment: ["PATH=/opt/bin:/bin", "A=b=c"], directory: "/srv" };

describe("launchContained", () => {
  it("the image's PATH counts unless the conf file exports one", () => {
    expect(completedBy(planOf(), IMAGE).environment.get("PATH")).toBe("/opt/bin:/bin");
    const exported = planOf({ environment: new Map([["PATH", "/mine"]]) });
    expect(completedBy(exported, IMAGE).environment.get("PATH")).toBe("/mine");
  });

  it("the variables of the image come before those of the daemon", () => {
    const { environment } = completedBy(planOf({ environment: new Map([["A", "x"]]) }), IMAGE);
    expect(Object.fromEntries(environment)).toEqual({
      PATH: "/opt/bin:/bin",
      A: "x",
      HOME: "/home/amy",
      LOGNAME: "amy",
      USER: "amy",
      SHELL: "/bin/sh",
    });
  });

  it("without start the image's command is executed, without a shell", () => {
    const { words, shell, start } = completedBy(planOf({ start: "" }), IMAGE);
    expect([words, shell, start]).toEqual([["/entry", "serve"], undefined, undefined]);
    expect(completedBy(planOf(), IMAGE).words).toEqual(["serve", "--all"]);
    expect(completedBy(planOf({ start: "cd x; exec y" }), IMAGE)).toMatchObject({ words: [], start: "cd x; exec y" });
  });

  it("the working directory is the image's unless the conf file has one", () => {
    expect(completedBy(planOf(), IMAGE).directory).toBe("/srv");
    expect(completedBy(planOf({ dir: "~/site" }), IMAGE).directory).toBe("/home/amy/site");
  });

  it("readiness by sd_notify(3) is reported at a path that the container has", () => {
    const plan = planOf({ ready: "notify" });
    expect([plan.notifyPath, plan.environment.get("NOTIFY_SOCKET")]).toEqual(Array(2).fill("/tmp/.dmhost-notify.sock"));
    expect(planOf().notifyPath).toBeUndefined();
  });

  it("launches may share a container only where image, network, account and limits are the same", () => {
    const { container } = planOf();
    expect(planOf({ start: "other", environment: new Map([["A", "x"]]) }).container).toBe(container);
    const others = [
      planOf({ image: imageName("php:8.5") }),
      planOf({ network: "outbound" }),
      planOf({ memory: 1 << 20 }),
      launchContained({ ...launch, account: { ...owner, uid: 1002 } }),
    ];
    for (const other of others) expect(other.container).not.toBe(container);
  });
});
