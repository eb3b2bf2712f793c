import type { Client } from "@dmhost/client";
import type { EXIT } from "@dmhost/contract";
import type { Session } from "../session.ts";
import type { Look } from "../status/render.ts";
import type { OptionName } from "./options.ts";

/** How many daemons a command line names, and which other arguments it takes. */
interface OperandShape {
  /** As help and man page write it. */
  readonly synopsis: string;
  /** In the list of commands, where the synopsis is too long for it. */
  readonly short?: string;
  readonly least: number;
  readonly most: number;
  /** The words that completion offers. */
  readonly completes: "nothing" | "daemon" | "daemons" | "signal" | "command" | "question";
}

const OPERANDS = {
  none: { synopsis: "", least: 0, most: 0, completes: "nothing" },
  optional: { synopsis: "[ID]", least: 0, most: 1, completes: "daemon" },
  one: { synopsis: "ID", least: 1, most: 1, completes: "daemon" },
  many: { synopsis: "ID...", least: 1, most: Number.POSITIVE_INFINITY, completes: "daemons" },
  sized: { synopsis: "ID NUMBER", least: 1, most: 1, completes: "daemon" },
  signal: { synopsis: "ID [-SIGNAL]", least: 1, most: 1, completes: "signal" },
  command: { synopsis: "[COMMAND]", least: 0, most: 1, completes: "command" },
  acceptance: { synopsis: "[accept IMAGE]", least: 0, most: 2, completes: "nothing" },
  question: {
    synopsis: "ID | --policy CALLER VERB OWNER/NAME",
    short: "ID",
    least: 1,
    most: 1,
    completes: "question",
  },
} as const satisfies Record<string, OperandShape>;

/** An operand shape by its name, without the literal types of the table. */
export const operandShape = (takes: keyof typeof OPERANDS): OperandShape => OPERANDS[takes];

/** One row of the table of commands: parser, help, completion and man page are made from it. */
export interface Command {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly takes: keyof typeof OPERANDS;
  readonly options: readonly OptionName[];
  /** What the command does in any case, by the option that requests it of others. */
  readonly always?: Readonly<Partial<Record<OptionName, string>>>;
  /** One line, in the imperative, without `|`, `:` and `'`, which completion scripts need themselves. */
  readonly summary: string;
  /** Further text, in Markdown. */
  readonly about?: string;
  /** Command lines. */
  readonly examples?: readonly string[];
  /** Exit codes with a special meaning. */
  readonly exits?: Readonly<Partial<Record<(typeof EXIT)[keyof typeof EXIT], string>>>;
  /** Resolves with the exit code or rejects with a Failure. */
  run(call: Call): Promise<number>;
}

/** A well-formed command line. */
export interface Invocation {
  readonly command: Command;
  /** The words that are neither the command, an option, a signal nor a number. */
  readonly ids: readonly string[];
  /** One of the contract's SIGNALS; "" for a command that sends none. */
  readonly signal: string;
  /** The number of a `sized` command, 0 for others. */
  readonly size: number;
  readonly given: ReadonlySet<OptionName>;
  /** Values of options, as written. */
  readonly values: Readonly<Partial<Record<OptionName, string>>>;
}

/** A command line that is carried out. */
export interface Call extends Invocation {
  /** The first id, "" when there is none. */
  readonly id: string;
  /** Looks for the supervisor at each call, which rejects with a Failure when there is none. */
  readonly client: Client;
  readonly session: Session;
  readonly look: Look;
}
