/** Entry point of the broker, which alone holds the socket of the Docker engine. */
import { pino } from "pino";
import { messageOf } from "../../../supervisor/src/core/error-message.ts";
import { DockerEngine } from "../docker/docker-engine.ts";
import { engineObjection } from "../rules/engine-requirements.ts";
import { Admissions } from "../service/admission.ts";
import { boundHome } from "../service/binds.ts";
import { Broker } from "../service/broker.ts";
import { firstProcessObjection } from "../service/first-process.ts";
import { Requests } from "../service/requests.ts";
import { BrokerState, lockState } from "../service/state-files.ts";
import { SupervisorSocket } from "../service/supervisor-socket.ts";
import { EngineWatch } from "../service/watch.ts";
import { type BrokerFlags, readFlags, USAGE } from "./flags.ts";

/** Bytes of log that wait for a slow reader; more are dropped. */
const LONGEST_BACKLOG = 1 << 20;
/** Time for the last lines to be written, in ms. */
const LONGEST_FLUSH = 1000;

const serve = async ({
  config,
  state: directory,
  guests,
  shim,
  socket: path,
  ...flags
}: BrokerFlags): Promise<void> => {
  const log = pino(
    { level: flags.logLevel, base: null },
    pino.destination({ dest: 2, sync: false, maxLength: LONGEST_BACKLOG }),
  );
  const warn = (about: Readonly<Record<string, unknown>>, text: string): void => log.warn(about, text);
  lockState(directory);
  const state = new BrokerState(directory);
  for (const reason of state.objections)
    log.error({ reason }, "a record cannot be used, and nothing that needs it is done");
  const engine = new DockerEngine(flags.engine);
  const { peer } = flags;
  const admissions = new Admissions(config, peer);
  const kernel = { home: boundHome, check: firstProcessObjection };
  const broker = new Broker({ engine, state, admissions, ...kernel, guests, shim, peer, warn });
  const requests = new Requests(broker, (error, verb) =>
    log.error({ verb, reason: messageOf(error) }, "a request failed"),
  );
  const socket = new SupervisorSocket(
    peer,
    (line, answers) => void requests.take(line, answers),
    (uid) => warn({ uid, expected: peer }, "a connection of another account is refused"),
  );
  const watch = new EngineWatch(engine, state, broker, (event) => socket.send({ event }), warn);
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      // Containers go on: the next broker knows them by its state.
      log.info({ signal }, "ending");
      log.flush(() => process.exit(0));
      setTimeout(() => process.exit(0), LONGEST_FLUSH);
    });
  void watch.follow();
  await socket.listen(path);
  log.info({ socket: path, engine: flags.engine }, "ready");
};

/** Prints the engine's name. @throws Error with why it cannot run containers of tenants */
const check = async (path: string): Promise<void> => {
  const facts = await new DockerEngine(path).facts().catch((error: unknown) => {
    throw new Error(`no Docker engine answers at ${path}: ${messageOf(error)}`);
  });
  const objection = engineObjection(facts);
  if (objection !== undefined) throw new Error(objection);
  process.stdout.write(`${facts.engine}\n`);
};

const main = async (): Promise<void> => {
  process.umask(0o077);
  const flags = readFlags(process.argv.slice(2));
  if (flags === "help") process.stdout.write(USAGE);
  else if ("check" in flags) await check(flags.check);
  else await serve(flags);
};

main().catch((error: unknown) => {
  process.stderr.write(`dmhost broker: ${messageOf(error)}\n`);
  process.exit(1);
});
