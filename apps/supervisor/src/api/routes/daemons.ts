/** Daemons: their status, and requests that change them. */
import { SIGNALS } from "@dmhost/contract";
import { controllable, mayWrite } from "../access.ts";
import { withoutVariables } from "../conf-file.ts";
import { explain } from "../explanation.ts";
import { act, type Verb } from "../outcome.ts";
import { present } from "../presentation.ts";
import { Refusal } from "../refusal.ts";
import type { EndpointCall, Handlers } from "./handlers.ts";

const acting =
  <V extends Exclude<Verb, "scale">>(verb: V) =>
  ({ engine, about, subject }: Pick<EndpointCall<V>, "engine" | "about" | "subject">) =>
    act(engine, about, subject, verb);

export const daemonRoutes: Handlers<"listDaemons" | "getDaemon" | "explain" | "kill" | Verb> = {
  listDaemons: ({ engine, about, caller, query }) => ({
    daemons: controllable(engine, caller).map((daemon) => present(daemon, about.now(), query.usage === "1")),
  }),
  getDaemon: ({ about, subject }) => present(subject, about.now(), true),
  async explain({ engine, about, caller, subject }) {
    const explanation = await explain(engine, about, subject);
    return mayWrite(engine, caller, subject.key.owner.name) ? explanation : withoutVariables(explanation);
  },
  start: acting("start"),
  stop: acting("stop"),
  restart: acting("restart"),
  once: acting("once"),
  pause: acting("pause"),
  continue: acting("continue"),
  exit: acting("exit"),
  scale: ({ engine, about, subject, body }) => act(engine, about, subject, "scale", body.instances),
  kill({ subject, body: { signal } }) {
    if (subject.signal(SIGNALS.get(signal) ?? 0)) return {};
    throw new Refusal(
      "not-applicable",
      `"${subject.id}" has no process to send SIG${signal} to: it is ${subject.state.phase}`,
    );
  },
};
