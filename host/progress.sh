# shellcheck shell=sh
# Output of the commands: a line per step with the time spent, and errors that end the command.

# Prints the time since boot in hundredths of a second.
clock() {
  read -r clock_uptime clock_rest </proc/uptime
  : "$clock_rest"
  echo "${clock_uptime%.*}${clock_uptime#*.}"
}

began=$(clock)

# step TEXT: prints the step that begins.
step() {
  step_spent=$(($(clock) - began))
  printf '[%4d.%d s] %s\n' $((step_spent / 100)) $((step_spent / 10 % 10)) "$*"
}

# fail LINE...: prints what failed and what to do, and ends the command with 1.
fail() {
  printf 'dmhost: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit 1
}

# quietly WHAT COMMAND...: runs the command without its output, with a line every 15 s. If it fails, shows the end of the output
# and ends this command.
quietly() {
  quietly_what=$1
  shift
  quietly_output=$(mktemp)
  # $$ is this command: the loop ends with it, even after kill -9.
  (while sleep 15 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do step "  still $quietly_what"; done) 9>&- &
  quietly_reminder=$!
  quietly_status=0
  "$@" </dev/null >"$quietly_output" 2>&1 || quietly_status=$?
  kill "$quietly_reminder" 2>/dev/null || :
  wait "$quietly_reminder" 2>/dev/null || :
  if [ "$quietly_status" -ne 0 ]; then
    tail -n 30 "$quietly_output" >&2
    fail "$quietly_what failed with exit code $quietly_status; the end of its output is above" \
      "the command: $*" "all of its output: $quietly_output"
  fi
  rm -f "$quietly_output"
}

# write_if_changed FILE MODE: writes standard input to FILE if that differs, and then sets `written` to yes.
write_if_changed() {
  cat >"$1.new"
  chmod "$2" "$1.new"
  if [ -f "$1" ] && cmp -s "$1.new" "$1"; then
    rm -f "$1.new"
  else
    mv -f "$1.new" "$1"
    # shellcheck disable=SC2034 # for the caller
    written=yes
  fi
}

# only_one FILE: locks FILE on descriptor 9; ends the command if another one holds the lock.
only_one() {
  exec 9>"$1"
  flock -n 9 || fail "another dmhost command is running (it holds the lock $1)" "wait until it ends and try again"
}
