import { describe, expect, it } from "vitest";
import { hostname } from "./hostname.ts";
import { imageName } from "./image.ts";
import { machine, resolved } from "./policy.fake.ts";

describe("hosts", () => {
  const text =
    "[runs_as]\na: b\n@web\n[hosts]\na: blog.example.org\na: *.greenfelt.net, blog.example.org\n@web: *.example.net\nd: d.org";
  const accounts = machine("root:0 a:1 b:2 c:3 d:4", "web:10:c");
  const { policy } = resolved(text, accounts);
  const may = (owner: string, name: string) => {
    const host = hostname(name);
    if (host === undefined) throw new Error(`${name} is no host name`);
    return policy.mayHost(owner, host);
  };

  it("hosts of sites are granted by name and below a name, with the line that does so first", () => {
    expect(may("a", "blog.example.org")).toMatchObject({ allowed: true, line: 5 });
    expect(may("a", "x.y.greenfelt.net")).toMatchObject({ allowed: true, line: 6 });
    expect(may("c", "c.example.net")).toMatchObject({ allowed: true, line: 7 });
    expect(may("a", "greenfelt.net").allowed).toBe(false);
    expect(may("b", "blog.example.org").allowed).toBe(false);
    expect(may("c", "blog.example.org").because).toBe("no line of [hosts] lets daemons of c publish blog.example.org");
  });

  it("grants of hosts have no effect for an account outside [runs_as], and root needs no grant", () => {
    expect(may("d", "d.org")).toMatchObject({ allowed: false, line: undefined });
    expect(may("root", "d.org")).toMatchObject({ allowed: true, line: undefined });
    expect(policy.rights().hosts).toEqual([
      { holder: "a", object: "blog.example.org", line: 5 },
      { holder: "a", object: "*.greenfelt.net", line: 6 },
      { holder: "a", object: "blog.example.org", line: 6 },
      { holder: "c", object: "*.example.net", line: 7 },
    ]);
  });
});

describe("images", () => {
  const text =
    "[runs_as]\na\n@web\n[images]\na: php:8.4-fpm, ghcr.io/a/*\n@web: php:*\n*: busybox\na: network=outbound, php:8.4-fpm\nd: php";
  const accounts = machine("root:0 a:1 b:2 c:3 d:4", "web:10:c");
  const { policy } = resolved(text, accounts);
  const may = (owner: string, name: string) => {
    const image = imageName(name);
    if (image === undefined) throw new Error(`${name} names no image`);
    return policy.mayUseImage(owner, image);
  };

  it("images are granted to users, groups and all owners, with the line that does so first", () => {
    expect(may("a", "php:8.4-fpm")).toMatchObject({ allowed: true, line: 5 });
    expect(may("a", "ghcr.io/a/web/x:1").because).toBe(
      "[images] lets daemons of a use ghcr.io/a/web/x:1, by ghcr.io/a/*",
    );
    expect(may("c", "php:7")).toMatchObject({ allowed: true, line: 6 });
    expect(may("c", "busybox")).toMatchObject({ allowed: true, line: 7 });
    expect(may("a", "php:7").because).toBe("no line of [images] lets daemons of a use docker.io/library/php:7");
  });

  it("grants of images have no effect for an account outside [runs_as], and root needs no grant", () => {
    expect(may("d", "php")).toMatchObject({ allowed: false, line: undefined });
    expect(may("root", "busybox:2")).toMatchObject({ allowed: true, line: undefined });
  });

  it("the network is granted like an image", () => {
    expect(policy.mayConnectOut("a")).toMatchObject({ allowed: true, line: 8 });
    expect(policy.mayConnectOut("c").because).toBe("no line of [images] grants network=outbound to c");
    expect(policy.mayConnectOut("root").allowed).toBe(true);
    expect(policy.rights().images).toEqual([
      { holder: "a", object: "docker.io/library/php:8.4-fpm", line: 5 },
      { holder: "a", object: "ghcr.io/a/*", line: 5 },
      { holder: "a", object: "docker.io/library/busybox:latest", line: 7 },
      { holder: "a", object: "docker.io/library/php:8.4-fpm", line: 8 },
      { holder: "a", object: "network=outbound", line: 8 },
      { holder: "c", object: "docker.io/library/php:*", line: 6 },
      { holder: "c", object: "docker.io/library/busybox:latest", line: 7 },
      { holder: "d", object: "docker.io/library/php:latest", line: 9 },
    ]);
  });
});

describe("budgets", () => {
  const accounts = machine("root:0 ann:1001 ben:1002 cas:1003 dot:1004", "big:50:ben,cas small:51:cas");
  const { policy, problems } = resolved(
    `[runs_as]
ann
ben
cas
[limits]
*: memory = 1G, processes = 100
@big: memory = 2G, daemons = 3
@small: memory = 3G, cpu = 1
ann: memory = 4G
ghost: memory = 1G
dot: memory = 1G
root: cpu = 2
`,
    accounts,
  );
  const amounts = (owner: string) =>
    Object.fromEntries(
      Object.entries(policy.budget(owner)).map(([key, share]) => [key, `${share.amount} by line ${share.line}`]),
    );

  it("an owner's budget comes from the line that names the owner, else from the first of a group, else from that of all owners", () => {
    const G = 1024 ** 3;
    expect(amounts("ann")).toEqual({ memory: `${4 * G} by line 9`, processes: "100 by line 6" });
    expect(amounts("ben")).toEqual({
      memory: `${2 * G} by line 7`,
      daemons: "3 by line 7",
      processes: "100 by line 6",
    });
    expect(amounts("cas")).toEqual({
      memory: `${2 * G} by line 7`,
      daemons: "3 by line 7",
      cpu: "1 by line 8",
      processes: "100 by line 6",
    });
  });

  it("root has a budget only where a line names root, and an account outside [runs_as] has none", () => {
    expect(amounts("root")).toEqual({ cpu: "2 by line 12" });
    expect(amounts("dot")).toEqual({});
  });

  it("each user of a budget that does not exist is reported", () => {
    expect(problems).toEqual(['10: there is no user "ghost": expected a user of this machine; skipped']);
  });
});
