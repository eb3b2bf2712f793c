# shellcheck shell=sh
# The services of a mode that runs directly on the machine, each with its logger, under one s6-svscan.
# `tree` is the scan directory, `tree_scripts` what it executes (/run, where the tree may be, can be mounted noexec), `tree_logs`
# where the logs are written; the mode sets them.

services="supervisor nginx site-installer site-logs"

# Whether the s6-svscan of `tree` runs.
tree_running() {
  [ -f "$tree/.svscan-pid" ] || return 1
  running_pid=$(cat "$tree/.svscan-pid")
  [ "$(cat "/proc/$running_pid/comm" 2>/dev/null)" = s6-svscan ] && [ "$(readlink -f "/proc/$running_pid/cwd")" = "$(readlink -f "$tree")" ]
}

# Whether services run without it, because it was killed.
tree_orphaned() {
  s6-svok "$tree/supervisor" 2>/dev/null || s6-svok "$tree/nginx" 2>/dev/null
}

stop_orphans() {
  step "stopping services whose s6-svscan was killed"
  for orphan in nginx site-installer site-logs supervisor broker nginx/log site-installer/log site-logs/log supervisor/log broker/log; do
    ! s6-svok "$tree/$orphan" 2>/dev/null || s6-svc -wD -T 60000 -xd "$tree/$orphan" || :
  done
}

# write_service NAME: writes standard input as its run script; sets `written` to yes if that changed.
write_service() {
  printf '#!/bin/sh\nexec s6-log -b n10 s1000000 "%s/%s"\n' "$tree_logs" "$1" | write_script "$1/log/run"
  write_script "$1/run"
}

# write_script SERVICE/NAME: writes standard input as a script of the tree, and links it there; sets `written` to yes if it changed.
write_script() {
  mkdir -p "$tree_scripts/${1%/*}" "$tree/${1%/*}"
  # Release 0.1.0 keeps the script itself in the tree.
  [ -e "$tree_scripts/$1" ] || [ ! -f "$tree/$1" ] || cp -p "$tree/$1" "$tree_scripts/$1"
  write_if_changed "$tree_scripts/$1" 755
  [ "$(readlink "$tree/$1")" = "$tree_scripts/$1" ] || {
    ln -sfn "$tree_scripts/$1" "$tree/$1.new"
    mv -fT "$tree/$1.new" "$tree/$1"
  }
}

# Starts s6-svscan and with it the services; it survives this command and its terminal.
start_tree() {
  chmod 700 "$tree"
  # shellcheck disable=SC2016 # for the shell that becomes s6-svscan
  setsid --fork env -i "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "HOME=$HOME" LANG=C.UTF-8 \
    sh -c 'umask 022; cd "$1" && echo $$ >.svscan-pid && exec s6-svscan -c 16 .' dmhost-services "$tree" \
    </dev/null >>"$tree_logs/svscan.log" 2>&1 9>&-
  await_services
}

# Ends the command if a service is not supervised after 10s.
await_services() {
  for start_service in $services; do
    start_tries=0
    until s6-svok "$tree/$start_service" 2>/dev/null; do
      start_tries=$((start_tries + 1))
      [ "$start_tries" -le 100 ] ||
        fail "s6-svscan does not start the service $tree/$start_service" "$tree_logs/svscan.log says why"
      sleep 0.1
    done
  done
}

# Prints s6-svscan and all its descendants, one `pid starttime` a line.
tree_processes() {
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v root="$(cat "$tree/.svscan-pid")" '
    { pid = $1; sub(/^.*\) /, ""); parent[pid] = $2; started[pid] = $20 }
    END {
      for (pid in parent) {
        for (at = pid; at in parent && at != root; at = parent[at]) ;
        if (at == root) print pid, started[pid]
      }
    }'
}

# Reads `pid starttime` lines and prints the pids that still run; a zombie does not.
still_running() {
  while read -r still_pid still_started; do
    awk -v started="$still_started" '{ pid = $1; sub(/^.*\) /, ""); if ($1 != "Z" && $20 == started) print pid }' \
      "/proc/$still_pid/stat" 2>/dev/null || :
  done
}

# Stops the web server, then the supervisor with all daemons, then the loggers; ends the command if anything is left. A supervisor
# that was killed before it handled the signal, or that could not start, has left its shim and its daemons.
stop_tree() {
  if tree_running; then stop_services; else stop_orphans; fi
  # A release without shim has installed no such script.
  [ -f "$tree_scripts/supervisor/end" ] || return 0
  stop_ended=$(sh "$tree_scripts/supervisor/end") || fail "cannot end the daemons that a supervisor has left" "the line above says why"
  [ -z "$stop_ended" ] || step "$stop_ended"
}

stop_services() {
  stop_processes=$(tree_processes)
  step "stopping nginx"
  s6-svc -wD -T 15000 -d "$tree/nginx" 2>/dev/null || step "  it has not stopped in time; continuing"
  step "stopping the supervisor and its daemons"
  s6-svc -wD -T 60000 -d "$tree/supervisor" || step "  it has not stopped in time; continuing"
  s6-svscanctl -t "$tree"
  stop_tries=0
  while stop_left=$(echo "$stop_processes" | still_running) && [ -n "$stop_left" ]; do
    stop_tries=$((stop_tries + 1))
    [ "$stop_tries" -le 150 ] ||
      fail "still running after 15s: pids $(echo "$stop_left" | tr '\n' ' ')" "look at them with  ps -fp PID  and end them with  kill -9 PID"
    sleep 0.1
  done
  rm -f "$tree/.svscan-pid"
  step "stopped $(echo "$stop_processes" | wc -l) processes, none is left"
}

# One line per service: whether it is up, its pid, for how long.
show_tree() {
  for show_service in $services; do
    printf '%-14s %s\n' "$show_service" "$(s6-svstat "$tree/$show_service")"
  done
}

# Shows the ends of all logs, and what comes, until interrupted.
follow_tree_logs() {
  # shellcheck disable=SC2086
  set -- $services
  for follow_service in "$@"; do
    set -- "$@" "$tree_logs/$follow_service/current"
    shift
  done
  exec tail -n 20 -F "$@"
}
