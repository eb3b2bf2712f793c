import type { Parsed, Problem } from "../core/definition.ts";

/** Problems of one kind that are kept: a hostile file of 64 KiB could have one on each of 20,000 lines. */
export const MAX_PROBLEMS = 20;

/** Problems that a parser has found so far. The first MAX_PROBLEMS errors and as many warnings are kept, the rest counted. */
export class FileProblems {
  readonly #errors = new Capped();
  readonly #warnings = new Capped();

  /** A problem that makes the file unusable. Line 0 is the file as a whole. */
  error(line: number, text: string): void {
    this.#errors.add({ line, text });
  }

  /** A problem that does not change how the file is read. */
  warning(line: number, text: string): void {
    this.#warnings.add({ line, text });
  }

  /** Result of the parser: `value`, unless there was an error. */
  parsed<T>(value: T): Parsed<T> {
    const errors = this.#errors.problems("errors");
    return { value: errors.length > 0 ? undefined : value, errors, warnings: this.#warnings.problems("warnings") };
  }
}

class Capped {
  readonly #kept: Problem[] = [];
  #firstDropped = 0;
  #dropped = 0;

  add(problem: Problem): void {
    if (this.#kept.length < MAX_PROBLEMS) {
      this.#kept.push(problem);
      return;
    }
    if (this.#dropped === 0) this.#firstDropped = problem.line;
    this.#dropped += 1;
  }

  problems(kind: string): readonly Problem[] {
    if (this.#dropped === 0) return this.#kept;
    return [...this.#kept, { line: this.#firstDropped, text: `${this.#dropped} more ${kind} from here on` }];
  }
}
