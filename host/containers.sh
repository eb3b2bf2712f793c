# shellcheck shell=sh
# Containers in native mode: the service `broker`, which alone holds the socket of the Docker engine. It is there only where
# `./dmhost up --containers` was called. `broker_user` is its account, `broker_state` its state, `broker_directory` where its
# socket is.

broker_user=dmhost-broker

broker_paths() {
  broker_state=/var/lib/dmhost/broker
  broker_directory=$run_dir/broker
  broker_engine=${DMHOST_ENGINE:-$(cat "$tree_scripts/broker/engine" 2>/dev/null || echo /var/run/docker.sock)}
  broker_engine=${broker_engine#unix://}
}

# Whether an earlier `up` has enabled containers.
containers_enabled() {
  [ -f "$tree_scripts/broker/run" ]
}

# Sets `containers` to yes or no: what was requested, else what is installed.
choose_containers() {
  case ${containers_requested:-} in
    yes | no) containers=$containers_requested ;;
    *) if containers_enabled; then containers=yes; else containers=no; fi ;;
  esac
}

# Ends the command where containers are requested and cannot be: before anything has changed. Where an earlier `up` has enabled
# them it only warns, as the engine may come back.
check_containers() {
  [ "$containers" = yes ] || return 0
  case $broker_engine in
    /*) ;;
    *) fail "DMHOST_ENGINE is \"$broker_engine\"" "expected the absolute path of the Docker engine's socket, such as /var/run/docker.sock" ;;
  esac
  case $broker_engine in
    *[!A-Za-z0-9_./-]*) fail "DMHOST_ENGINE is \"$broker_engine\"" "expected a path of letters, digits, _ . - and / only" ;;
  esac
  for containers_place in "$programs" "$run_dir"; do
    containers_writer=$(foreign_writer "$containers_place") || continue
    fail "containers cannot be enabled: accounts besides root may replace what is in $containers_writer" \
      "containers get files below $containers_place; correct it:  chown root:root $containers_writer && chmod go-w $containers_writer"
  done
  if containers_answer=$("$workshop/dist/node" "$workshop/dist/broker.cjs" --check --engine "$broker_engine" 2>&1); then
    step "containers: $containers_answer at $broker_engine"
  elif [ "${containers_requested:-}" = yes ]; then
    fail "containers cannot be enabled: ${containers_answer#dmhost broker: }" \
      "start Docker 20.10 or later (on Debian:  apt-get install docker.io)," \
      "or name the socket of its engine:  DMHOST_ENGINE=/path/docker.sock ./dmhost up --native --containers" \
      "no service was changed"
  else
    step "containers: ${containers_answer#dmhost broker: }; daemons with image= wait for it"
  fi
}

# foreign_writer PATH: prints the first directory at or above PATH that is not root's alone; fails where there is none.
foreign_writer() {
  writer_at=$(readlink -m -- "$1")
  while :; do
    if [ -e "$writer_at" ]; then
      # A group or others may write where the second or third digit has the bit 2.
      case $(stat -c '%u %a' -- "$writer_at") in
        '0 '*[2367]? | '0 '*[2367]) echo "$writer_at" && return ;;
        '0 '*) ;;
        *) echo "$writer_at" && return ;;
      esac
    fi
    [ "$writer_at" != / ] || return 1
    writer_at=$(dirname -- "$writer_at")
  done
}

# write_broker POLICY: writes the service; sets `broker_changed` to yes if it was there and has changed.
# The socket's group is the process's only: nobody gets it by logging in. /run is empty after each boot, and the engine makes its
# socket again at each start of it, so both are looked at when the service starts.
write_broker() {
  written=no broker_known=no
  ! containers_enabled || broker_known=yes
  write_service broker <<RUN
#!/bin/sh
exec 2>&1
set -e
umask 077
[ -S "$broker_engine" ] || { echo "no Docker engine at $broker_engine: trying again"; sleep 2; exit 1; }
group=\$(stat -L -c %g "$broker_engine")
install -d -m 0755 "${broker_directory%/*}"
install -d -m 0700 -o "$broker_user" -g "$broker_user" "$broker_directory" "$broker_state"
export MALLOC_ARENA_MAX=1 UV_THREADPOOL_SIZE=2
exec setpriv --reuid "$broker_user" --regid "$broker_user" --groups "\$group" --no-new-privs --bounding-set=-all,+setuid,+setgid \
  --inh-caps=-all,+setuid,+setgid --ambient-caps=-all,+setuid,+setgid \
  "$programs/node" --lite-mode --max-semi-space-size=1 --v8-pool-size=1 "$programs/broker.cjs" --config "$1" \
  --state "$broker_state" --guests "$run_dir/guests" --shim "$programs/dmhost-shim" --socket "$broker_directory/broker.sock" \
  --engine "$broker_engine"
RUN
  printf '%s\n' "$broker_engine" | write_if_changed "$tree_scripts/broker/engine" 644
  broker_changed=no
  [ "$broker_known" = no ] || broker_changed=$written
}

# Removes the service, after the supervisor has ended its containers.
remove_broker() {
  containers_enabled || return 0
  step "containers: stopping the broker and removing its service"
  rm -f "$tree_scripts/broker/run"
  if tree_running; then
    for remove_service in broker broker/log; do
      s6-svc -wD -T 15000 -xd "$tree/$remove_service" 2>/dev/null || step "  $remove_service has not stopped in time; continuing"
      remove_tries=0
      # Its s6-supervise writes into its directory until it has ended.
      while s6-svok "$tree/$remove_service" 2>/dev/null && [ "$remove_tries" -lt 50 ]; do
        remove_tries=$((remove_tries + 1))
        sleep 0.1
      done
    done
    remove_old=$tree/.removed-broker
    rm -rf "$remove_old"
    mv "$tree/broker" "$remove_old"
    s6-svscanctl -an "$tree"
    rm -rf "$remove_old"
  fi
  rm -rf "${tree:?}/broker" "${tree_scripts:?}/broker"
}

# What root has decided.
explain_containers() {
  cat <<TEXT

Containers are enabled. Who can use the Docker engine's socket is root on this machine. Of dmhost's programs
only the broker (account $broker_user) has it, at $broker_engine; it makes containers by one
fixed template, and only for conf files with image=. Tenants get a container only of images that [images] in
$native_policy grants them. To disable containers:  ./dmhost up --native --no-containers
TEXT
}
