/** Real shells: what they offer when Tab is pressed at the end of a line. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Account } from "./account.ts";
import { CHECKOUT } from "./program.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** Words of the line as bash's readline splits it, then the candidates. */
const BASH = `
source "$1"
while IFS= read -r line; do
  read -ra COMP_WORDS <<<"$line"
  [[ $line != *' ' ]] || COMP_WORDS+=('')
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  _dmctl
  echo "\${COMPREPLY[*]}"
done`;

const FISH = `
source $argv[1]
while read -l line
  echo (complete -C"$line" | string split -f1 \\t)
end`;

/** zsh completes only at a terminal: this gives it one, and what it would list goes to the file $3. */
const ZSH = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "source $1 $1 $2 $3; print -r loa''ded"
while zpty -r shell output && [[ $output != *loaded* ]]; do :; done
zpty -w -n shell $'\\ea'
zpty -w shell $'\\nexit'
while zpty -r shell output; do :; done
cat $3`;

const INSIDE_ZSH = `
fpath=(\${1:h} $fpath)
autoload -Uz compinit
compinit -u -D
lines=("\${(@f)$(<$2)}")
answers=$3
compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then
    builtin compadd "$@"
    return
  fi
  local -a __hits
  builtin compadd -A __hits "$@"
  (( ! $#__hits )) || print -rn -- "$__hits " >>$answers
  builtin compadd "$@"
}
ask() {
  local line
  for line in $lines; do
    BUFFER=$line CURSOR=$#line
    zle list-choices
    print >>$answers
  done
  BUFFER=
  zle send-break
}
zle -N ask
bindkey '\\ea' ask
`;

const FILES: Record<Shell, string> = { bash: "dmctl.bash", zsh: "_dmctl", fish: "dmctl.fish" };

/** Copies the completion files and what asks for them into a new directory that every account can read. */
export class CompletionDesk {
  readonly #directory: string;

  /** @param directory is made */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { mode: 0o755 });
    for (const file of Object.values(FILES)) copyFileSync(join(CHECKOUT, "completion", file), join(directory, file));
    writeFileSync(join(directory, "inside.zsh"), INSIDE_ZSH, { mode: 0o644 });
    writeFileSync(join(directory, "outside.zsh"), ZSH, { mode: 0o644 });
  }

  /**
   * What the account's shell offers for each line, in the order of the lines, each sorted, and what it says on standard
   * error. `env` is added to its environment.
   */
  async ask(
    shell: Shell,
    account: Account,
    lines: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<{ readonly offered: readonly (readonly string[])[]; readonly errors: string }> {
    const file = join(this.#directory, FILES[shell]);
    const input = `${lines.join("\n")}\n`;
    const questions = account.write("questions", input);
    const answers = account.write("answers", "");
    const argv = {
      bash: ["bash", "--norc", "-u", "-c", BASH, "bash", file],
      fish: ["fish", "--no-config", "-c", FISH, file],
      zsh: ["zsh", "-f", join(this.#directory, "outside.zsh"), join(this.#directory, "inside.zsh"), questions, answers],
    }[shell];
    const { stdout, stderr } = await account.run(argv, { env: { TERM: "xterm", ...env }, input, cwd: account.home });
    const offered = stdout.split("\n").slice(0, lines.length);
    return {
      offered: offered.map((line) =>
        line
          .split(" ")
          .filter((word) => word !== "")
          .sort(),
      ),
      errors: stderr,
    };
  }
}
