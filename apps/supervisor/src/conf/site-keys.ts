import { appOf, type Definition, type Problem } from "../core/definition.ts";

/** Keys that have an effect only with `host`. */
const KEYS = ["docroot", "index", "app", "max-body"] as const;

/** Whether an app can be served through this kind of socket. */
const fits = (app: string, listen: string): boolean => {
  if (app === "static") return true;
  return app === "http" ? listen === "http" : listen !== "none" && listen !== "http";
};

/**
 * Errors and warnings about keys of a daemon's sites that do not go together.
 * @param lineOf line of a key; undefined where the file does not set it
 */
export function siteProblems(
  draft: Omit<Definition, "start" | "environment">,
  lineOf: (key: string) => number | undefined,
): { readonly errors: readonly Problem[]; readonly warnings: readonly Problem[] } {
  const errors: Problem[] = [];
  const warnings: Problem[] = [];
  const host = lineOf("host");
  if (host === undefined) {
    for (const key of KEYS) {
      const line = lineOf(key);
      if (line !== undefined) warnings.push({ line, text: `${key} has no effect without host` });
    }
    return { errors, warnings };
  }
  const app = appOf(draft);
  const line = lineOf("app") ?? host;
  if (!fits(app, draft.listen)) {
    const expected = app === "http" ? "listen=http" : "listen=fastcgi";
    errors.push({ line, text: `app=${app} cannot be combined with listen=${draft.listen}: expected ${expected}` });
  }
  if ((app === "php" || app === "static") && draft.docroot === undefined) {
    errors.push({ line, text: `a site with app=${app} needs a docroot` });
  }
  const index = lineOf("index");
  if (index !== undefined && (app === "fastcgi" || app === "http")) {
    warnings.push({
      line: index,
      text: `index has no effect with app=${app}: the application is the handler for directories`,
    });
  }
  return { errors, warnings };
}
