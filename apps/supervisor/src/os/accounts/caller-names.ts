/** Names of those who call, by their uids. */
import type { AccountBase } from "../../core/policy-rules.ts";
import { accountName } from "./accounts.ts";

/** Strangers that are remembered at most; each look-up of one is a program run. */
const MOST_STRANGERS = 1000;

/** What callers are called: as in the accounts in force, or, where those do not know them, as the machine does by now. */
export class CallerNames {
  #known: { readonly accounts: AccountBase; readonly names: ReadonlyMap<number, string> } | undefined;
  readonly #strangers = new Map<number, string>();

  /** The name; `uid 1005` where there is none, or where in the accounts in force it is another uid's. */
  nameOf(uid: number, accounts: AccountBase): string {
    if (this.#known?.accounts !== accounts) {
      // Of several names the first counts, as for the C library.
      const names = [...accounts.users.values()].reverse().map((account) => [account.uid, account.name] as const);
      this.#known = { accounts, names: new Map(names) };
      this.#strangers.clear();
    }
    return this.#known.names.get(uid) ?? this.#strangerOf(uid, accounts);
  }

  #strangerOf(uid: number, accounts: AccountBase): string {
    const remembered = this.#strangers.get(uid);
    if (remembered !== undefined) return remembered;
    const name = accountName(uid);
    const shown = name === undefined || accounts.users.has(name) ? `uid ${uid}` : name;
    if (this.#strangers.size >= MOST_STRANGERS) this.#strangers.clear();
    this.#strangers.set(uid, shown);
    return shown;
  }
}
