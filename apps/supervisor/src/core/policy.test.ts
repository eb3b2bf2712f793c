import { describe, expect, it } from "vitest";
import { machine, resolved, rulesOf } from "./policy.fake.ts";
import { resolvePolicy } from "./policy.ts";

const ARTICLE = `[runs_as]
david: www-data
michaelc: www-data
amy: www-data
joann: www-data
jim:
greenfelt: www-data

[manages]
david: michaelc,amy,joann,greenfelt
michaelc: amy, joann
bill: joann
jim: greenfelt
`;
const FAMILY = machine(
  "root:0 www-data:33 david:1001 michaelc:1002 amy:1003 joann:1004 jim:1005 greenfelt:1006 bill:1007 eve:1008",
);

describe("the article's policy", () => {
  const { policy, problems } = resolved(ARTICLE, FAMILY);

  it("the article's policy has no problem and the article's owners", () => {
    expect(problems).toEqual([]);
    expect(policy.owners()).toEqual(["root", "david", "michaelc", "amy", "joann", "jim", "greenfelt"]);
  });

  it.each([
    ["david", "www-data", 2],
    ["david", "david", 2],
    ["greenfelt", "www-data", 7],
    ["jim", "jim", 6],
    ["root", "root", undefined],
    ["root", "amy", undefined],
  ])("the article's policy lets %s run daemons as %s", (owner, target, line) => {
    expect(policy.mayRunAs(owner, target)).toMatchObject({ allowed: true, line });
  });

  it.each([
    ["jim", "www-data"],
    ["david", "amy"],
    ["david", "root"],
    ["david", "0"],
    ["bill", "bill"],
    ["bill", "www-data"],
    ["eve", "eve"],
    ["www-data", "www-data"],
    ["nobody-at-all", "www-data"],
    ["__proto__", "__proto__"],
    ["root", "nobody-at-all"],
    ["root", "constructor"],
    ["", ""],
  ])("the article's policy does not let %s run daemons as %s", (owner, target) => {
    expect(policy.mayRunAs(owner, target)).toMatchObject({ allowed: false, line: undefined });
  });

  it.each([
    ["david", "david", 2],
    ["david", "amy", 10],
    ["michaelc", "joann", 11],
    ["bill", "joann", 12],
    ["root", "david", undefined],
    ["root", "root", undefined],
  ])("the article's policy lets %s manage the daemons of %s", (caller, owner, line) => {
    expect(policy.mayManage(caller, owner)).toMatchObject({ allowed: true, line });
  });

  it.each([
    ["amy", "david"],
    ["david", "jim"],
    ["david", "root"],
    ["bill", "bill"],
    ["bill", "amy"],
    ["eve", "amy"],
    ["__proto__", "amy"],
    ["david", "__proto__"],
  ])("the article's policy does not let %s manage the daemons of %s", (caller, owner) => {
    expect(policy.mayManage(caller, owner)).toMatchObject({ allowed: false, line: undefined });
  });

  it("the article's policy knows the left sides and root", () => {
    const names = [...FAMILY.users.keys(), "__proto__", ""];
    expect(names.filter((name) => !policy.known(name))).toEqual(["www-data", "eve", "__proto__", ""]);
  });

  it("the article's policy lists what each may control", () => {
    expect(policy.manageable("david")).toEqual(["david", "michaelc", "amy", "joann", "greenfelt"]);
    expect(policy.manageable("bill")).toEqual(["joann"]);
    expect(policy.manageable("jim")).toEqual(["jim", "greenfelt"]);
    expect(policy.manageable("root")).toEqual(policy.owners());
    expect(policy.manageable("eve")).toEqual([]);
  });

  it("the article's policy gives no right through a chain of grants", () => {
    const chained = resolved("[runs_as]\na: b\nb: c\n[manages]\na: b\nb: c", machine("root:0 a:1 b:2 c:3")).policy;
    expect(chained.mayRunAs("a", "c").allowed).toBe(false);
    expect(chained.mayManage("a", "c").allowed).toBe(false);
    expect(resolved(ARTICLE, FAMILY).policy.mayRunAs("david", "michaelc").allowed).toBe(false);
  });

  it("the article's policy names the account that several owners share", () => {
    const owners = ["david", "michaelc", "amy", "joann", "greenfelt"];
    expect(policy.sharedTargets()).toEqual([{ target: "www-data", owners }]);
  });

  it("the article's policy lets only the owner and root write files", () => {
    const may = (caller: string, owner: string): boolean => policy.mayWrite(caller, owner).allowed;
    expect([may("amy", "amy"), may("root", "amy"), may("david", "amy"), may("bill", "bill")]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(policy.mayWrite("david", "amy").because).toBe("only amy and root may change the files of amy's daemons");
  });

  it("the article's policy lists every right with its line", () => {
    const { policy: grouped } = resolved(
      "[runs_as]\n@staff: web\nann\n[manages]\ndan: @staff, web",
      machine("root:0 ann:1:100 bob:2:2 dan:4:4 web:5:5", "staff:100:bob"),
    );
    expect(grouped.rights().runsAs.map(({ holder, object, line }) => `${holder} ${object} ${line}`)).toEqual([
      "bob bob 2",
      "bob web 2",
      "ann ann 2",
      "ann web 2",
    ]);
    expect(grouped.rights().manages.map(({ holder, object, line }) => `${holder} ${object} ${line}`)).toEqual([
      "dan bob 5",
      "dan ann 5",
    ]);
  });

  it("the policy distinguishes an account that does not exist from one that is not granted", () => {
    expect(policy.mayRunAs("jim", "ghost").because).toBe('there is no account "ghost" on this machine');
  });

  it("the article's policy gives the reason of each answer as a sentence", () => {
    const because = [
      policy.mayRunAs("david", "www-data"),
      policy.mayRunAs("jim", "jim"),
      policy.mayRunAs("jim", "www-data"),
      policy.mayRunAs("bill", "joann"),
      policy.mayRunAs("root", "amy"),
      policy.mayRunAs("root", "ghost"),
      policy.mayManage("david", "amy"),
      policy.mayManage("amy", "amy"),
      policy.mayManage("amy", "david"),
      policy.mayManage("david", "bill"),
      policy.mayManage("root", "amy"),
    ].map((verdict) => verdict.because);
    expect(because).toEqual([
      "[runs_as] lets david run daemons as www-data",
      "jim is on the left of [runs_as], and may run daemons as themselves",
      "no line of [runs_as] lets jim run daemons as www-data",
      "bill is not on the left of [runs_as], and runs no daemons",
      "root runs its own daemons as any account",
      'there is no account "ghost" on this machine',
      "[manages] lets david manage the daemons of amy",
      "owners manage their own daemons",
      "no line of [manages] lets amy manage the daemons of david",
      "bill is not on the left of [runs_as], and runs no daemons",
      "root manages all daemons",
    ]);
  });
});

describe("groups", () => {
  const accounts = machine(
    "root:0 ann:1:100 bob:2:2 cid:3:300 dan:4:4 web1:5:500 web2:6:6 web3:7:7",
    "staff:100:bob,gone helpdesk:300: web:500:web2,web2 empty:900:",
  );

  it("groups in the policy have listed members, and those whose primary group it is, on both sides", () => {
    const { policy, problems } = resolved("[runs_as]\n@staff: @web\ncid\n[manages]\n@helpdesk: @staff", accounts);
    expect(problems).toEqual([]);
    expect(policy.owners()).toEqual(["root", "bob", "ann", "cid"]);
    for (const owner of ["ann", "bob"]) {
      expect(policy.mayRunAs(owner, "web1")).toMatchObject({ allowed: true, line: 2 });
      expect(policy.mayRunAs(owner, "web2")).toMatchObject({ allowed: true, line: 2 });
      expect(policy.mayRunAs(owner, "web3").allowed).toBe(false);
    }
    expect(policy.mayRunAs("ann", "bob").allowed).toBe(false);
    expect(policy.manageable("cid")).toEqual(["bob", "ann", "cid"]);
    expect(policy.known("gone")).toBe(false);
  });

  it("groups may stand beside users in the policy, and a group without members is no error", () => {
    const { policy, problems } = resolved("[runs_as]\n@empty: dan\ndan: web3, @web, @empty", accounts);
    expect(problems).toEqual([]);
    expect(policy.owners()).toEqual(["root", "dan"]);
    expect(["web1", "web2", "web3"].map((target) => policy.mayRunAs("dan", target).allowed)).toEqual([
      true,
      true,
      true,
    ]);
  });

  it("groups in the policy are not users, and users are not groups", () => {
    const { policy, problems } = resolved("[runs_as]\nstaff\n@ann", accounts);
    expect(policy.owners()).toEqual(["root"]);
    expect(problems).toHaveLength(2);
  });
});

describe("rules", () => {
  it("rules of the policy accumulate, and the first line that grants is the one that is named", () => {
    const text = "[runs_as]\na: x\na: y, x\n[manages]\na: b\n[can_run_as]\nb\na: z\n[manages]\na: b";
    const { policy } = resolved(text, machine("root:0 a:1 b:2 x:3 y:4 z:5"));
    expect(["a", "x", "y", "z"].map((target) => policy.mayRunAs("a", target).line)).toEqual([2, 2, 3, 8]);
    expect(policy.mayManage("a", "b").line).toBe(5);
  });

  it("unknown users and groups in rules of the policy are reported, and the other names count", () => {
    const text = "[runs_as]\na: ghost, x, @none\nghost: x\n@none: x\n[manages]\nb: ghost, a, __proto__\nconstructor: a";
    const { policy, problems } = resolved(text, machine("root:0 a:1 b:2 x:3"));
    expect(problems).toEqual([
      '2: there is no user "ghost": expected a user of this machine; skipped',
      '2: there is no group "none": expected a group of this machine; skipped',
      '3: there is no user "ghost": expected a user of this machine; skipped',
      '4: there is no group "none": expected a group of this machine; skipped',
      '6: there is no user "ghost": expected a user of this machine; skipped',
      '6: there is no user "__proto__": expected a user of this machine; skipped',
      '7: there is no user "constructor": expected a user of this machine; skipped',
    ]);
    expect(policy.owners()).toEqual(["root", "a"]);
    expect(policy.mayRunAs("a", "x").allowed).toBe(true);
    expect(policy.manageable("b")).toEqual(["a"]);
  });

  it("rules of the policy grant nobody but root an account of uid 0, by any name or group", () => {
    const accounts = machine("root:0 toor:0:7 a:1 x:2", "ops:7:a,root,x");
    const text = "[runs_as]\na: root, x\nx: toor\n@ops: @ops\nroot: toor\ntoor: x\n[manages]\ntoor: a";
    const { policy, problems } = resolved(text, accounts);
    const grantable = "has uid 0: expected another account; only root's own daemons run as root; skipped";
    const alias = '"toor" is another name of uid 0: expected root or an ordinary account; skipped';
    expect(problems).toEqual([
      `2: "root" ${grantable}`,
      `3: "toor" ${grantable}`,
      `4: ${alias}`,
      `4: "root" ${grantable}`,
      `4: "toor" ${grantable}`,
      `6: ${alias}`,
      `8: ${alias}`,
    ]);
    expect(policy.owners()).toEqual(["root", "a", "x"]);
    expect(policy.known("toor")).toBe(false);
    expect(policy.mayRunAs("a", "x").allowed).toBe(true);
    expect(policy.mayRunAs("x", "a").allowed).toBe(true);
    for (const target of ["root", "toor"]) {
      expect(policy.mayRunAs("a", target).allowed).toBe(false);
      expect(policy.mayRunAs("root", target).allowed).toBe(true);
    }
    expect(policy.mayRunAs("toor", "x").allowed).toBe(false);
    expect(policy.mayManage("toor", "a").allowed).toBe(false);
  });

  it("rules of the policy have no owner or manager whose name cannot be a directory or is a placeholder", () => {
    const text = "[runs_as]\n_svc: x\nhost$\nnobody: x\nx: nobody, _svc\n[manages]\n_svc: x";
    const { policy, problems } = resolved(text, machine("root:0 _svc:1 host$:2 nobody:65534 x:3"));
    expect(problems).toEqual([
      '2: "_svc" cannot be an owner: expected a name of letters, digits, "_", "." and "-"; skipped',
      '3: "host$" cannot be an owner: expected a name of letters, digits, "_", "." and "-"; skipped',
      '4: "nobody" has uid 65534, which stands for unmapped accounts: expected another account; skipped',
      '7: "_svc" cannot be an owner: expected a name of letters, digits, "_", "." and "-"; skipped',
    ]);
    expect(policy.owners()).toEqual(["root", "x"]);
    expect(policy.mayRunAs("x", "nobody").allowed && policy.mayRunAs("x", "_svc").allowed).toBe(true);
  });

  it("rules of the policy work for users whose names are properties of Object", () => {
    const text = "[runs_as]\nconstructor: toString\na\n[manages]\na: constructor";
    const { policy, problems } = resolved(text, machine("root:0 constructor:1 toString:2 a:3"));
    expect(problems).toEqual([]);
    expect(policy.mayRunAs("constructor", "toString").allowed).toBe(true);
    expect(policy.mayRunAs("toString", "toString").allowed).toBe(false);
    expect(policy.manageable("a")).toEqual(["constructor", "a"]);
  });

  it("an empty policy permits nothing to anyone but root", () => {
    const { policy } = resolved("", machine("root:0 a:1"));
    expect([policy.owners(), policy.manageable("a"), policy.known("a"), policy.sharedTargets()]).toEqual([
      ["root"],
      [],
      false,
      [],
    ]);
  });
});

describe("sharedTargets", () => {
  it("the warning about shared accounts counts neither root nor the account's owner", () => {
    const text = "[runs_as]\nroot: x, y\na: x, b, y\nb: y\nc: b";
    const { policy } = resolved(text, machine("root:0 a:1 b:2 c:3 x:4 y:5"));
    expect(policy.sharedTargets()).toEqual([
      { target: "b", owners: ["a", "c"] },
      { target: "y", owners: ["a", "b"] },
    ]);
  });
});

describe("paths", () => {
  const accounts = machine("root:0 amy:1 joe.x:2");
  const at = (settings: string, owner: string) =>
    resolved(`[settings]\n${settings}\n[runs_as]\namy\njoe.x`, accounts).policy.paths(owner);

  it("conf directories are below the home by default, and root's elsewhere", () => {
    expect(at("", "amy")).toEqual({
      home: "/home/amy",
      daemons: "/home/amy/.daemon-manager/daemons",
      logs: "/home/amy/.daemon-manager/logs",
      chain: ["/home/amy", "/home/amy/.daemon-manager", "/home/amy/.daemon-manager/daemons"],
      serviceChain: ["/home/amy", "/home/amy/service"],
    });
    expect(at("", "root")).toEqual({
      home: "/root",
      daemons: "/etc/daemon-manager/daemons",
      logs: "/var/log/daemon-manager",
      chain: ["/", "/etc", "/etc/daemon-manager", "/etc/daemon-manager/daemons"],
      serviceChain: ["/", "/service"],
    });
  });

  it("conf directories have the name for every %username% and the home for ~", () => {
    const settings = "daemon-path-daemon=/srv//%username%/./%username%.d/\ndaemon-path-log=~/x-%username%";
    const paths = at(settings, "joe.x");
    expect(paths?.daemons).toBe("/srv/joe.x/joe.x.d");
    expect(paths?.chain).toEqual(["/", "/srv", "/srv/joe.x", "/srv/joe.x/joe.x.d"]);
    expect(paths?.logs).toBe("/home/joe.x/x-joe.x");
    expect(at("daemon-path-log-root=~/%username%", "root")?.logs).toBe("/root/root");
    expect(at("service-path=~", "joe.x")?.serviceChain).toEqual([at("service-path=~/", "joe.x")?.home]);
  });

  it("nothing in a home directory is substituted, and a directory that shares a prefix with its name is not below it", () => {
    const odd = new Map([["amy", { name: "amy", uid: 1, gid: 1, home: "/h/%username%/$&/", shell: "" }]]);
    const paths = resolvePolicy(rulesOf("[runs_as]\namy"), { users: odd, groups: new Map() }).policy.paths("amy");
    expect(paths?.daemons).toBe("/h/%username%/$&/.daemon-manager/daemons");
    expect(at("daemon-path-daemon=/home/%username%2/d", "amy")?.chain).toEqual([
      "/",
      "/home",
      "/home/amy2",
      "/home/amy2/d",
    ]);
    expect(at("daemon-path-daemon=/home/%username%/d", "amy")?.chain).toEqual(["/home/amy", "/home/amy/d"]);
  });

  it("conf directories work for a home that is /, and without an account for root", () => {
    const users = new Map([["amy", { name: "amy", uid: 1, gid: 1, home: "/", shell: "" }]]);
    const { policy } = resolvePolicy(rulesOf("[runs_as]\namy"), { users, groups: new Map() });
    expect(policy.paths("amy")?.chain).toEqual(["/", "/.daemon-manager", "/.daemon-manager/daemons"]);
    expect(policy.paths("root")?.home).toBe("/root");
  });

  it("an account that is not an owner has no conf directories", () => {
    expect([at("", "bill"), at("", "__proto__")]).toEqual([undefined, undefined]);
  });
});
