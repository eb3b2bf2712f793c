/** What policy and conf file together make of a daemon. */
import type { Definition } from "./definition.ts";
import type { Account } from "./policy-rules.ts";

/** Everything about a daemon that its policy and file decide: what a run is made of. */
export interface Terms {
  readonly definition: Definition;
  /** FoundFile.fingerprint of the file that says so. */
  readonly fingerprint: string;
  /** The account that it runs as. */
  readonly account: Account;
  readonly logDirectory: string;
  readonly nginxGroup: string;
}
