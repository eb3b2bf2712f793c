/** Daemons: their status, and requests that change them. */
import { SIGNALS } from "@dmhost/contract";
import { controllable, mayWrite } from "../access.ts";
import { withoutVariables } from "../conf-file.ts";
import { explain } from "../explanation.ts";
import { act, type Verb } from "../outcome.ts";
import { present } from "../presentation.ts";
import { Refusal } from "../refusal.ts";
import type { ExplanationSurroundings, OutcomeSurroundings } from "../surroundings.ts";
import type { EndpointCall, Handlers } from "./handlers.ts";

const acting =
  <V extends Exclude<Verb, "scale">>(about: OutcomeSurroundings, verb: V) =>
  ({ engine, subject }: Pick<EndpointCall<V>, "engine" | "subject">) =>
    act(engine, about, subject, verb);

type DaemonRoute = "listDaemons" | "getDaemon" | "explain" | "kill" | Verb;

export const daemonRoutes = (about: ExplanationSurroundings): Handlers<DaemonRoute> => ({
  listDaemons: ({ engine, caller, query }) => ({
    daemons: controllable(engine, caller).map((daemon) => present(daemon, about.now(), query.usage === "1")),
  }),
  getDaemon: ({ subject }) => present(subject, about.now(), true),
  async explain({ engine, caller, subject }) {
    const explanation = await explain(engine, about, subject);
    return mayWrite(engine, caller, subject.key.owner.name) ? explanation : withoutVariables(explanation);
  },
  start: acting(about, "start"),
  stop: acting(about, "stop"),
  restart: acting(about, "restart"),
  once: acting(about, "once"),
  pause: acting(about, "pause"),
  continue: acting(about, "continue"),
  exit: acting(about, "exit"),
  scale: ({ engine, subject, body }) => act(engine, about, subject, "scale", body.instances),
  kill({ subject, body: { signal } }) {
    if (subject.signal(SIGNALS.get(signal) ?? 0)) return {};
    throw new Refusal(
      "not-applicable",
      `"${subject.id}" has no process to send SIG${signal} to: it is ${subject.state.phase}`,
    );
  },
});
