/** Names of callers of the control API, by uid. */
import type { AccountBase } from "../../core/policy-rules.ts";
import { accountName } from "./accounts.ts";

/** Unlisted callers that are cached at most; each look-up runs a program. */
const MOST_CACHED = 1000;

/** Finds names in the accounts in force, or, for a uid that they lack, by a look-up now. */
export class CallerNames {
  #known: { readonly accounts: AccountBase; readonly names: ReadonlyMap<number, string> } | undefined;
  readonly #cached = new Map<number, string>();

  /** The name; `uid 1005` where there is none, or where the accounts in force give it to another uid. */
  nameOf(uid: number, accounts: AccountBase): string {
    if (this.#known?.accounts !== accounts) {
      // Of several names for one uid the first counts, as for the C library.
      const names = [...accounts.users.values()].reverse().map((account) => [account.uid, account.name] as const);
      this.#known = { accounts, names: new Map(names) };
      this.#cached.clear();
    }
    return this.#known.names.get(uid) ?? this.#lookUp(uid, accounts);
  }

  #lookUp(uid: number, accounts: AccountBase): string {
    const cached = this.#cached.get(uid);
    if (cached !== undefined) return cached;
    const name = accountName(uid);
    const shown = name === undefined || accounts.users.has(name) ? `uid ${uid}` : name;
    if (this.#cached.size >= MOST_CACHED) this.#cached.clear();
    this.#cached.set(uid, shown);
    return shown;
  }
}
