# shellcheck shell=sh
# What a person sees while the appliance is worked on: a line per step with the time spent, and errors that end it.

# Hundredths of a second since the machine started.
clock() {
  read -r clock_uptime clock_rest </proc/uptime
  : "$clock_rest"
  echo "${clock_uptime%.*}${clock_uptime#*.}"
}

began=$(clock)

# step TEXT: says what is being done now.
step() {
  step_spent=$(($(clock) - began))
  printf '[%4d.%d s] %s\n' $((step_spent / 100)) $((step_spent / 10 % 10)) "$*"
}

# fail LINE...: says what went wrong and what to do, and ends the command with 1.
fail() {
  printf 'dmhost: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit 1
}

# quietly WHAT COMMAND...: runs it with its output kept back, tells every 15 s that it is still at it,
# and when it fails shows how its output ended and ends the command.
quietly() {
  quietly_what=$1
  shift
  quietly_output=$(mktemp)
  # $$ is this command: the reminder ends with it however it ends.
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

# only_one FILE: makes this command the only one of its kind that holds FILE (descriptor 9), or ends it.
only_one() {
  exec 9>"$1"
  flock -n 9 || fail "another dmhost command is at work here (it holds $1)" "wait until it is done and try again"
}
