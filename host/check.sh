#!/bin/sh
# Usage: host/check.sh [REPORT]
# Checks the sources: lint and formatting, types, shell scripts, Perl scripts, completion, the rules of test/check, such as what a
# room may import, and the shim, which is compiled and whose unit tests run under sanitizers. Each check runs, also after one
# that failed; what failed is repeated at the end with the remedy. Writes `PASSED FAILED NAME...` into the file REPORT, the names
# of what failed.
# Exit code 0: all passed; 1: something failed.
set -eu

cd "$(dirname -- "$(readlink -f -- "$0")")/.."
PATH=$PWD/node_modules/.bin:$PATH
passed=0
failed=0
names=""
remedies=""

# check NAME REMEDY COMMAND...: runs the command and counts its result.
check() {
  check_name=$1
  check_remedy=$2
  shift 2
  printf '  %s\n' "$check_name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    names="${names:+$names, }$check_name"
    remedies="$remedies  $check_name: $check_remedy
"
  fi
}

# scripts_of EXTENSIONS INTERPRETERS (patterns of awk): prints the sources that have one of the extensions, or whose first
# line is a shebang that names one of the interpreters, by path or through env, one a line.
scripts_of() {
  find . \( -name node_modules -o -name dist -o -path './.?*' ! -path './.ci*' \) -prune -o -type f -size -200k \
    -exec awk -v name="[.]($1)\$" -v line="^#!.*[/ ]($2)( |\$)" \
      'FNR == 1 && (FILENAME ~ name || $0 ~ line) { print FILENAME }' {} +
}

# Parts of scripts are checked with the scripts that source them, where their variables have values.
check_shell() {
  command -v shellcheck >/dev/null || { echo "  shellcheck is not installed"; return 1; }
  # A file without a shebang or a directive fails: shellcheck cannot tell its shell (SC2148).
  # shellcheck disable=SC2046 # no path here has blanks
  shellcheck --external-sources --check-sourced $(scripts_of 'sh|bash' 'sh|dash|bash' | without_sourced)
}

# Reads paths and prints those that no script names as a source.
without_sourced() {
  while read -r part; do
    grep -qrF "shellcheck source=${part#./}" dmhost host || echo "$part"
  done
}

# The article's site takes modules that only the system tests install, which execute it.
check_perl() {
  perl_status=0
  for perl_script in $(scripts_of 'pl|pm' perl); do
    case $perl_script in ./test/system/article/*) continue ;; esac
    perl_output=$(perl -c "$perl_script" 2>&1) || { printf '%s\n' "$perl_output"; perl_status=1; }
  done
  return "$perl_status"
}

# Without their shell, which the check layer does not install, completions are not checked; the system tests use them.
check_completion() {
  completion_status=0
  for completion in zsh:completion/_dmctl fish:completion/dmctl.fish; do
    command -v "${completion%%:*}" >/dev/null || { echo "  ${completion%%:*} is not installed: ${completion#*:} is not checked"; continue; }
    "${completion%%:*}" -n "${completion#*:}" || completion_status=1
  done
  return "$completion_status"
}

# Warnings are errors.
check_shim() {
  command -v "${CC:-cc}" >/dev/null || { echo "  there is no C compiler"; return 1; }
  shim_output=$(mktemp -d)
  shim_status=0
  { shim/build program "$shim_output/program" && shim/build test "$shim_output/test" && "$shim_output/test"; } || shim_status=1
  rm -rf "$shim_output"
  return "$shim_status"
}

check "lint and format" "npm run fix  fixes what can be fixed; correct the rest by hand" biome check .
check types "correct the lines above" tsc --build
check "shell scripts" "correct the lines above; shellcheck is missing?  apt-get install shellcheck" check_shell
check "Perl scripts" "correct the lines above" check_perl
check completion "correct generate/generate-completion.ts, then  npm run generate" check_completion
check rules "correct what the failed tests name" vitest run --project check
check shim "correct the lines above; a compiler is missing?  apt-get install gcc libc6-dev" check_shim

[ $# -eq 0 ] || printf '%s %s %s\n' "$passed" "$failed" "$names" >"$1"
[ "$failed" -eq 0 ] || {
  printf '\nhost/check.sh: %s of %s checks failed\n%s' "$failed" "$((passed + failed))" "$remedies" >&2
  exit 1
}
