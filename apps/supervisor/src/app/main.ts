/** Composition root: reads the flags, builds the edges, plugs them together, and answers signals. */
import { closeSync, existsSync, lstatSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_RUN_DIR, HOME_SOCKET, PUBLIC_SOCKET, userSocket, VERSION } from "@dmhost/contract";
import { pino } from "pino";
import { attachCaller } from "../api/access.ts";
import { createApi } from "../api/routes.ts";
import { MAX_DAEMON_FILE, parseDaemonFile } from "../conf/daemon-file.ts";
import { daemonTemplate } from "../conf/daemon-template.ts";
import { effectiveSettings } from "../conf/effective-settings.ts";
import { parsePolicy } from "../conf/policy-file.ts";
import { parseService } from "../conf/service-directory.ts";
import { CONTROLLERS } from "../core/allowance.ts";
import { describeProblem, NAME } from "../core/definition.ts";
import { describeExit } from "../core/lifecycle.ts";
import { resolvePolicy } from "../core/policy.ts";
import type { Account } from "../core/policy-rules.ts";
import type { Rule } from "../engine/admission.ts";
import type { TransitionListener } from "../engine/daemon.ts";
import type { Places } from "../engine/ports/machine.ts";
import { type Findings, Supervisor } from "../engine/supervisor.ts";
import { readAccounts } from "../os/accounts/accounts.ts";
import { CallerNames } from "../os/accounts/caller-names.ts";
import { confPath, isConfPath } from "../os/files/conf-dir.ts";
import { makeConfFile, replaceConfFile } from "../os/files/conf-write.ts";
import { NginxSites } from "../os/files/nginx-sites.ts";
import { readPolicyFile } from "../os/files/policy-file.ts";
import { claimDirectory } from "../os/files/run-lock.ts";
import { findServiceTools } from "../os/files/service-tools.ts";
import { StateFiles } from "../os/files/state-file.ts";
import { giveBackMemory } from "../os/kernel/own-memory.ts";
import { Poller } from "../os/kernel/poller.ts";
import { privileged } from "../os/kernel/privileges.ts";
import { findCgroupRoot, releaseCgroupRoot } from "../os/limits/cgroup.ts";
import { Linux } from "../os/linux.ts";
import { readLog } from "../os/logs/reader.ts";
import { reExec, takeInherited } from "../os/processes/re-exec.ts";
import { ControlSockets, linkFromHome } from "../os/sockets/control-socket.ts";
import { SiteInstaller } from "../os/sockets/site-installer.ts";
import { Publisher } from "../web/publisher.ts";

const USAGE = `Usage: supervisor [options]
  --config FILE       policy file (default /etc/daemon-manager.conf,
                      then /etc/daemon-manager/daemon-manager.conf)
  --run-dir DIR       control sockets and log pipes (default ${DEFAULT_RUN_DIR})
  --fastcgi-dir DIR   published FastCGI sockets (default /run/fastcgi)
  --state-dir DIR     what the next supervisor needs to know (default /var/lib/dmhost)
  --sites-dir DIR     where the web server takes its sites from (default: it serves none)
  --site-logs-dir DIR what the web server logs of sites, a directory an owner
                      (default /var/log/dmhost-sites)
  --http-port PORT    at which visitors reach the web server (default 80)
  --reload-interval SECONDS
                      between two reloads of the web server, after a burst of
                      three (default 15)
  --tools-dir DIR     envdir, softlimit, setuidgid and multilog for the scripts of
                      service directories (default: those that came with it)
  --log-level LEVEL   fatal, error, warn, info, debug or trace (default info)
`;
const MOST_DAEMONS = 256;
/** How long nothing must have happened before memory is given back. In ms. */
const QUIET = 10_000;
/** How long the end waits for its last lines to be taken. In ms. */
const LONGEST_FLUSH = 1000;
/** Bytes of log that wait for whoever reads it; what comes beyond is dropped, for nobody's daemon may wait for that. */
const LONGEST_BACKLOG = 1 << 20;
const POLICY_FILES = ["/etc/daemon-manager.conf", "/etc/daemon-manager/daemon-manager.conf"] as const;

const readFlags = () => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      config: text,
      "run-dir": text,
      "fastcgi-dir": text,
      "state-dir": text,
      "sites-dir": text,
      "site-logs-dir": text,
      "http-port": text,
      "reload-interval": text,
      "tools-dir": text,
      "log-level": text,
      help: { type: "boolean" },
      version: { type: "boolean" },
    },
  });
  return {
    config: values.config ?? POLICY_FILES.find((path) => existsSync(path)) ?? POLICY_FILES[0],
    runDir: resolve(values["run-dir"] ?? DEFAULT_RUN_DIR),
    fastcgiDir: resolve(values["fastcgi-dir"] ?? "/run/fastcgi"),
    stateDir: resolve(values["state-dir"] ?? "/var/lib/dmhost"),
    sitesDir: values["sites-dir"] === undefined ? undefined : resolve(values["sites-dir"]),
    siteLogsDir: resolve(values["site-logs-dir"] ?? "/var/log/dmhost-sites"),
    httpPort: Number(values["http-port"] ?? 80),
    /** In seconds. */
    reloadInterval: Number(values["reload-interval"] ?? 15),
    toolsDir: values["tools-dir"] && resolve(values["tools-dir"]),
    logLevel: values["log-level"] ?? "info",
    help: values.help ?? false,
    version: values.version ?? false,
  };
};

/** Differs when a file has been replaced or written; undefined where there is none. */
const editionOf = (path: string): string | undefined => {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found && `${found.ino} ${found.mtimeMs}`;
};

/** The policy in force, and what of it was passed over. Throws when the file as a whole is refused. */
const loadRule = (path: string): { rule: Rule; problems: string[] } => {
  const parsed = parsePolicy(readPolicyFile(path));
  const describe = (problem: { line: number; text: string }) => describeProblem(path, problem);
  if (parsed.value === undefined) throw new Error(parsed.errors.map(describe).join("\n"));
  const { runsAs, manages, hosts, limits } = parsed.value;
  const subjects = [
    ...[...runsAs, ...manages].flatMap(({ left, right }) => [left, ...right]),
    ...hosts.map(({ left }) => left),
    ...limits.flatMap(({ left }) => (left === "everyone" ? [] : left)),
  ];
  const namesOf = (kind: "user" | "group") =>
    subjects.filter((subject) => subject.kind === kind).map(({ name }) => name);
  const accounts = readAccounts({ users: namesOf("user"), groups: namesOf("group") });
  const { policy, problems } = resolvePolicy(parsed.value, accounts);
  const uid = process.geteuid?.();
  const self = [...accounts.users.values()].find((account) => account.uid === uid)?.name;
  const soleOwner = privileged ? undefined : (self ?? "");
  const shared = privileged ? policy.sharedTargets() : [];
  return {
    rule: { policy, accounts, soleOwner },
    problems: [
      ...[...parsed.warnings, ...problems].map(describe),
      ...shared.map(
        ({ target, owners }) =>
          `${path}: ${owners.join(", ")} may all run daemons as ${target}, so can read and stop each other's`,
      ),
    ],
  };
};

const main = async (): Promise<void> => {
  const flags = readFlags();
  if (flags.help || flags.version) {
    process.stdout.write(flags.help ? USAGE : `${VERSION}\n`);
    return;
  }
  const output = pino.destination({ dest: 2, sync: false, maxLength: LONGEST_BACKLOG });
  // What a full disk does not take is tried again with the next line, and not at the end, which would wait for ever for that.
  const flush = output.flushSync;
  output.on("error", () => {
    output.flushSync = () => undefined;
  });
  output.on("write", () => {
    output.flushSync = flush;
  });
  const log = pino({ level: flags.logLevel, base: null }, output);
  process.umask(0o027);
  const begun = Date.now();
  const { rule, problems } = loadRule(flags.config);
  for (const problem of problems) log.warn({ problem }, "about the policy");

  for (const directory of [flags.runDir, flags.stateDir]) {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    claimDirectory(directory);
  }
  const cgroups = findCgroupRoot(
    `dmhost-${flags.runDir.slice(1).replaceAll("-", "--").replaceAll("/", "-")}`,
    CONTROLLERS,
  );
  if (cgroups.path === undefined) {
    log.warn({ reason: cgroups.why }, "no cgroups: a process that leaves its session may outlive its daemon");
  }
  const inherited = takeInherited();
  const machine = new Linux({
    inherited,
    runDir: flags.runDir,
    fastcgiDir: flags.fastcgiDir,
    states: new StateFiles(join(flags.stateDir, "daemons")),
    cgroups,
    poller: new Poller(),
    files: {
      parse: parseDaemonFile,
      parseService,
      describe: describeProblem,
      names: NAME,
      largest: MAX_DAEMON_FILE,
      mostDaemons: MOST_DAEMONS,
    },
    tools: flags.toolsDir ?? findServiceTools(import.meta.filename),
    report: (daemon, reason) => log.warn({ daemon, reason }, "trouble with a daemon's surroundings"),
  });
  machine.accounts = rule.accounts;

  const onTransition: TransitionListener = (daemon, { key, pid }, event, before, after, told) => {
    const { owner, instance } = key;
    const about = { daemon: daemon.id, owner: owner.name, instance, run: after.run, event, pid };
    const ended = event === "exited" && after.last ? describeExit(after.last.exit) : undefined;
    const reason = told ?? ended ?? (after.block ? after.block.reason : undefined);
    const level =
      after.phase === "failed" || after.phase === "forbidden" || after.phase === "invalid" ? "warn" : "info";
    log[before.phase === after.phase && !reason ? "debug" : level](
      { ...about, ...(reason && { reason }) },
      after.phase,
    );
  };
  const supervisor = new Supervisor(machine, rule, onTransition);
  const { sitesDir } = flags;
  const places =
    sitesDir === undefined
      ? undefined
      : new NginxSites({
          sitesDir,
          logsDir: flags.siteLogsDir,
          fastcgiDir: flags.fastcgiDir,
          memory: join(flags.stateDir, "sites.json"),
          identity: (account) => machine.identity(account),
        });
  const publisher = new Publisher({
    daemons: () => supervisor.daemons(),
    policy: () => supervisor.policy,
    accounts: () => machine.accounts,
    web:
      sitesDir === undefined || !places
        ? undefined
        : {
            server: new SiteInstaller(sitesDir, (reason) =>
              log.warn({ sitesDir, reason }, "no socket for the web server"),
            ),
            places,
            record: places,
          },
    clock: machine,
    port: flags.httpPort,
    reloadInterval: 1000 * flags.reloadInterval,
    report: (level, text) => {
      rest.refresh();
      log[level]({ sitesDir }, text);
    },
  });
  const callers = new CallerNames();
  const userOf = (uid: number): string => callers.nameOf(uid, machine.accounts);

  const placesOf = (owner: Account): Places =>
    supervisor.policy.paths(owner.name) ?? { chain: ["/"], serviceChain: ["/"] };

  const reloadPolicy = async (): Promise<string[]> => {
    const next = loadRule(flags.config);
    machine.accounts = next.rule.accounts;
    supervisor.rule(next.rule);
    await openSockets();
    log.info({ owners: supervisor.owners() }, "policy read again");
    return next.problems;
  };

  const rest = setTimeout(giveBackMemory, QUIET).unref();
  const api = await createApi(supervisor, {
    now: () => machine.now(),
    health: () => ({
      version: VERSION,
      pid: process.pid,
      uptime: Math.round((Date.now() - begun) / 1000),
      containment: cgroups.path === undefined ? `sessions (${cgroups.why})` : "cgroup",
    }),
    policyFile: flags.config,
    effectiveSettings,
    reloadPolicy,
    policyOwner: process.geteuid?.() ?? 0,
    readLog: ({ key, logDirectory }, from) => readLog(machine.identity(key.owner), logDirectory ?? "", from),
    readConf: ({ owner, name }) => {
      const { chain, serviceChain } = placesOf(owner);
      const none = { path: confPath(chain.at(-1) ?? "/", name), text: undefined, problem: undefined };
      return machine.files.text(owner, chain, name) ?? machine.files.script(owner, serviceChain, name) ?? none;
    },
    checkConf: ({ owner }, path, text) => {
      if (!isConfPath(path)) return { errors: [], warnings: [] };
      const { errors, warnings } = parseDaemonFile(text, owner);
      const describe = (problem: { line: number; text: string }) => describeProblem(path, problem);
      return { errors: errors.map(describe), warnings: warnings.map(describe) };
    },
    writeConf: ({ owner, name }, text, what) => {
      const { chain, serviceChain } = placesOf(owner);
      const identity = machine.identity(owner);
      if (what === "make") return makeConfFile(identity, confPath(chain.at(-1) ?? "/", name), text);
      const found = machine.files.text(owner, chain, name) ?? machine.files.script(owner, serviceChain, name);
      if (found) replaceConfFile(identity, found.path, text);
    },
    newConf: daemonTemplate,
    writeRecords: () => {
      machine.writeRecords();
      rest.refresh();
    },
    onInternalError: (error, { user }) => log.error({ err: error, caller: user }, "a request failed"),
  });

  const sockets = new ControlSockets((socket, uid) => {
    const caller = {
      uid,
      get user() {
        return userOf(uid);
      },
    };
    attachCaller(socket, caller);
    api.server.emit("connection", socket);
  });
  const openSockets = async (): Promise<void> => {
    const paths = new Set([join(flags.runDir, PUBLIC_SOCKET)]);
    await sockets.open(join(flags.runDir, PUBLIC_SOCKET), undefined);
    for (const account of machine.accounts.users.values()) {
      if (!supervisor.policy.known(account.name)) continue;
      if (!privileged && account.uid !== process.geteuid?.()) continue;
      const path = join(flags.runDir, userSocket(account.name));
      paths.add(path);
      await sockets.open(path, account);
      try {
        linkFromHome(account, machine.identity(account), HOME_SOCKET, path);
      } catch (error) {
        log.warn({ owner: account.name, err: error }, "no link to the control socket in the user's home");
      }
    }
    sockets.keep(paths);
  };

  let leaving = false;
  const leave = async (): Promise<void> => {
    if (leaving) return;
    leaving = true;
    publisher.close();
    log.info("stopping every daemon");
    await supervisor.shutdown();
    sockets.keep(new Set());
    releaseCgroupRoot(cgroups);
    log.info("stopped");
    log.flush(() => process.exit(0));
    setTimeout(() => process.exit(0), LONGEST_FLUSH);
  };
  process.on("SIGTERM", leave);
  process.on("SIGINT", leave);
  const program = process.argv[1] ?? "";
  const edition = editionOf(program);
  const lookAgain = (): Findings => {
    const findings = supervisor.rescan(supervisor.owners());
    for (const problem of [...findings.problems, ...findings.warnings]) log.warn({ problem }, "about a conf file");
    return findings;
  };
  process.on("SIGHUP", async () => {
    try {
      for (const problem of await reloadPolicy()) log.warn({ problem }, "about the policy");
    } catch (error) {
      log.error({ err: error }, "the policy is refused; the one in force stays");
      return;
    }
    const { found, started, changed, removed } = lookAgain();
    log.info({ found, started, changed, removed }, "conf files read again");
    const present = editionOf(program);
    if (present === undefined || present === edition) return;
    log.info("giving way to the program now on disk");
    try {
      reExec(machine.handOver());
    } catch (error) {
      log.error({ err: error }, "cannot give way; this program goes on");
      for (const daemon of supervisor.daemons()) for (const instance of daemon.instances()) instance.refresh();
    }
  });

  await openSockets();
  const { found } = lookAgain();
  supervisor.changed = () => {
    publisher.plan();
    rest.refresh();
  };
  publisher.plan();
  machine.killStrays((owner, name) => supervisor.daemon(`${owner}/${name}`) !== undefined);
  for (const fd of inherited.values()) closeSync(fd);
  rest.refresh();
  log.info({ version: VERSION, daemons: found.length, owners: supervisor.owners() }, "ready");
};

main().catch((error: unknown) => {
  process.stderr.write(`dmhost supervisor: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
