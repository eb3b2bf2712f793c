/** A supervisor on fakes, with a policy that the test writes as values. */
import type { BudgetKey } from "../core/budget.ts";
import type { Definition } from "../core/definition.ts";
import { imagePattern, OUTBOUND } from "../core/image.ts";
import { resolvePolicy } from "../core/policy.ts";
import { type Account, DEFAULT_SETTINGS, type Settings } from "../core/policy-rules.ts";
import type { RequestResult } from "../core/request-status.ts";
import type { PolicyInForce } from "./admission.ts";
import type { Daemon } from "./daemon.ts";
import { type FakePorts, fakePorts, type Replacement } from "./ports/ports.fake.ts";
import { Supervisor } from "./supervisor.ts";

/** What the machine and its policy file say. */
export interface World {
  /** Uids by account; the default has alice (1001), bob (1002) and www (1100). */
  readonly uids?: Readonly<Record<string, number>>;
  /** Members of groups. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /** [runs_as]; by default alice and bob as themselves and as www. */
  readonly runsAs?: Readonly<Record<string, readonly string[]>>;
  /** [limits] */
  readonly limits?: Readonly<Record<string, Partial<Record<BudgetKey, number>>>>;
  /** [images]: of all owners; `network=outbound` is granted where it is among them. */
  readonly images?: readonly string[];
  readonly settings?: Partial<Settings>;
  readonly soleOwner?: string;
}

const UIDS = { root: 0, alice: 1001, bob: 1002, www: 1100 };
const RUNS_AS = { alice: ["www"], bob: ["www"] };

export const accountOf = (name: string, uid: number): Account => ({
  name,
  uid,
  gid: uid,
  home: `/home/${name}`,
  shell: "/bin/sh",
});

export const inForceOf = ({
  uids = UIDS,
  groups = {},
  runsAs = RUNS_AS,
  limits = {},
  images = [],
  settings,
  soleOwner,
}: World = {}): PolicyInForce => {
  const user = (name: string) => ({ kind: "user", name }) as const;
  const accounts = {
    users: new Map(Object.entries(uids).map(([name, uid]) => [name, accountOf(name, uid)])),
    groups: new Map(Object.entries(groups).map(([name, members], index) => [name, { gid: 2000 + index, members }])),
  };
  const { policy } = resolvePolicy(
    {
      settings: { ...DEFAULT_SETTINGS, ...settings },
      runsAs: Object.entries(runsAs).map(([name, to], index) => ({
        line: 10 + index,
        left: user(name),
        right: to.map(user),
      })),
      manages: [],
      limits: Object.entries(limits).map(([name, amounts], index) => ({
        line: 20 + index,
        left: user(name),
        amounts: new Map(Object.entries(amounts) as [BudgetKey, number][]),
      })),
      hosts: [],
      images: [
        {
          line: 30,
          left: "everyone",
          right: images.flatMap((text) => imagePattern(text) ?? []),
          outbound: images.includes(OUTBOUND),
        },
      ],
    },
    accounts,
  );
  return { policy, accounts, soleOwner };
};

export class Scene {
  readonly ports: FakePorts = fakePorts();
  /** `daemon instance event phase`, of each transition. */
  readonly transitions: string[] = [];
  inForce: PolicyInForce;
  supervisor: Supervisor;

  constructor(world: World = {}) {
    this.inForce = inForceOf(world);
    this.supervisor = this.supervise();
  }

  /** Another supervisor on the same machine. */
  supervise(): Supervisor {
    return new Supervisor(this.ports, this.inForce, ({ id }, { key }, event, _before, { phase }) => {
      this.transitions.push(`${id} ${key.instance} ${event} ${phase}`);
    });
  }

  /** Puts another policy in force. */
  reload(world: World = {}): void {
    this.inForce = inForceOf(world);
    this.supervisor.enforce(this.inForce);
  }
  /** Replaces the supervisor by another on the same machine. */
  replace(how: Replacement = "killed"): void {
    this.ports.replace(how);
    this.supervisor = this.supervise();
    this.supervisor.rescan(this.supervisor.owners(), false);
    this.supervisor.removeStrays();
  }
  rescan() {
    return this.supervisor.rescan(this.supervisor.owners());
  }

  /** Writes alice's conf file of this name, loads it, and lets it start. */
  async load(name: string, definition: Partial<Definition> = {}): Promise<Daemon> {
    this.ports.confs.write("alice", name, definition);
    this.rescan();
    await this.ports.clock.advance(200);
    return this.daemon(name);
  }
  daemon(name: string): Daemon {
    const daemon = this.supervisor.daemon(name.includes("/") ? name : `alice/${name}`);
    if (!daemon) throw new Error(`no daemon ${name}`);
    return daemon;
  }
  /** The outcome of a request, `ms` later; undefined where it has none then. */
  async after(ms: number, outcome: Promise<RequestResult>): Promise<RequestResult | undefined> {
    let found: RequestResult | undefined;
    void outcome.then((result) => {
      found = result;
    });
    await this.ports.clock.advance(ms);
    return found;
  }
}
