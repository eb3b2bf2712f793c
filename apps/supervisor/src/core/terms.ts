/** A daemon as policy and conf file together define it. */
import type { Definition } from "./definition.ts";
import type { Account } from "./policy-rules.ts";

/** The part of a daemon that policy and conf file determine: the input of each run. */
export interface Terms {
  readonly definition: Definition;
  /** FoundFile.fingerprint of the file that says so. */
  readonly fingerprint: string;
  /** The run-as account. */
  readonly account: Account;
  readonly logDirectory: string;
  readonly nginxGroup: string;
}

/** Whether runs of both write to one log. */
export const sameLog = (a: Terms, b: Terms): boolean =>
  a.account.uid === b.account.uid && a.logDirectory === b.logDirectory && a.definition.output === b.definition.output;

/** Whether runs of both can live at the same time. */
export const areCompatible = (a: Terms, b: Terms): boolean =>
  b.definition.listen !== "none" && a.definition.listen === b.definition.listen && sameLog(a, b);

/** Whether new runs may start beside the old: with a lock the new would wait for the old, and the old for the new. */
export const mayRoll = ({ definition }: Terms): boolean => definition.rolling && definition.lock === undefined;

/** Whether two definitions are equal. */
export const sameDefinition = (a: Definition, b: Definition): boolean => {
  const plain = (definition: Definition) => JSON.stringify({ ...definition, environment: [...definition.environment] });
  return plain(a) === plain(b);
};
