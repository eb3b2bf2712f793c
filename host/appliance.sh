# shellcheck shell=sh
# Steps that native and single-user mode share. The mode sets where things are:
# `programs` (what dist/ holds), `command_dir` (dmctl), `tree`, `tree_logs`, `web`, `run_dir` (control sockets),
# `site_logs` (what the web server logs of sites), `supervisor_flags` and `web_become` (lines that a shell reads; the latter
# ends in what makes the program after it the web server's account, or in exec).

# Copies the files of dist/ that differ to `programs`; sets `written` to yes if one of the supervisor's did, `broker_written` if the
# broker's did.
install_programs() {
  mkdir -p "$programs/daemontools" "$command_dir"
  install_copied="" broker_written=no
  for program in "$workshop"/dist/* "$workshop"/dist/daemontools/*; do
    [ -f "$program" ] || continue
    program_place=$programs/${program#"$workshop"/dist/}
    [ "${program##*/}" != dmctl ] || program_place=$command_dir/dmctl
    ! cmp -s "$program" "$program_place" || continue
    install_copied="$install_copied $program_place"
    cp "$program" "$program_place.new"
    chmod 755 "$program_place.new"
    mv -f "$program_place.new" "$program_place"
    case $program_place in
      "$command_dir/dmctl" | "$programs/daemontools/"* | *.txt) ;;
      "$programs/broker.cjs") broker_written=yes ;;
      *) written=yes ;;
    esac
  done
  for program in "$programs"/* "$programs"/daemontools/*; do
    [ -e "$workshop/dist/${program#"$programs"/}" ] || rm -f "$program"
  done
  step "programs: ${install_copied:+installed:}${install_copied:-installed already}"
}

# The supervisor's service, and beside it a script that ends what a supervisor has left that was killed or cannot start.
write_supervisor() {
  write_service supervisor <<RUN
#!/bin/sh
exec 2>&1
export MALLOC_ARENA_MAX=1 UV_THREADPOOL_SIZE=2 DMHOST_READY_FD=3
exec "$programs/node" --lite-mode --max-semi-space-size=1 --v8-pool-size=1 --expose-gc "$programs/supervisor.cjs" $supervisor_flags
RUN
  write_script supervisor/end <<END
#!/bin/sh
exec "$programs/node" "$programs/supervisor.cjs" --end $supervisor_flags
END
}

# run_services SOCKET DOCROOT: starts the services; restarts or reloads those that run and have changed.
run_services() {
  mkdir -p "$tree" "$tree_logs" "${web%/*}"
  chmod 750 "$tree_logs"
  written=no
  install_programs
  link_tools
  write_supervisor
  # Without it s6-supervise waits a second before it starts the next one.
  echo 3 | write_if_changed "$tree/supervisor/notification-fd" 644
  supervisor_changed=$written
  broker_changed=no
  if [ "${containers:-no}" = yes ]; then
    write_broker "$native_policy"
    services="broker ${services#broker }"
    [ "$broker_written$broker_known" != yesyes ] || broker_changed=yes
  fi

  write_web_services
  written=no
  make_web_directory "$1" "$2"
  web_changed=$written

  if ! tree_running; then
    step "services: starting the supervisor and nginx"
    start_tree
    return
  fi
  step "services: running"
  s6-svscanctl -a "$tree"
  await_services
  if [ "$broker_changed" = yes ]; then
    step "  the broker of containers changed: restarting it; containers go on"
    s6-svc -wr -T 15000 -r "$tree/broker"
  fi
  if [ "$supervisor_changed" = yes ]; then
    step "  the supervisor changed: restarting it and its daemons"
    s6-svc -wr -T 60000 -r "$tree/supervisor"
  fi
  if [ "$web_helpers_changed" = yes ]; then
    step "  the web server's services for sites changed: restarting them"
    s6-svc -r "$tree/site-installer"
    s6-svc -r "$tree/site-logs"
  fi
  if [ "$nginx_changed" = yes ]; then
    step "  nginx's service changed: restarting it"
    s6-svc -wr -T 15000 -r "$tree/nginx"
  elif [ "$web_changed" = yes ]; then
    step "  nginx's configuration changed: reloading it"
    s6-svc -h "$tree/nginx"
  fi
}

# put_demo_files SITE_DIR DAEMON_FILE [COMMAND...]: writes the demo site's missing files. COMMAND runs a program as their owner.
put_demo_files() {
  demo_site=$1
  demo_daemon=$2
  shift 2
  for demo_file in "$checkout"/config/demo/www/*; do
    put_if_absent "$demo_site/${demo_file##*/}" "$@" <"$demo_file"
  done
  put_if_absent "$demo_daemon" "$@" <"$checkout/config/demo/daemons/site.conf"
}

# put_if_absent FILE [COMMAND...]: writes standard input to FILE if there is none.
put_if_absent() {
  put_file=$1
  shift
  # shellcheck disable=SC2016
  "$@" sh -c 'umask 022; [ -e "$1" ] || { mkdir -p "${1%/*}" && cat >"$1"; }' put "$put_file" 9>&-
}

# own_dmctl ARGUMENT...: calls dmctl for this supervisor, wherever the home's control socket leads.
own_dmctl() {
  env "DMCTL_SOCKET=$run_dir/command.sock" "$command_dir/dmctl" "$@"
}

# Waits for the demo site. Without a 200 within 60 s: shows the end of the supervisor's log and ends the command.
await_site() {
  step "waiting for $(site_url)"
  if site_answer=$(wait_for_site "$programs/node" "$(site_url)" 60); then
    step "it answers with 200"
    # Its daemon is reported as running a moment later.
    await_tries=0
    while [ "$await_tries" -lt 20 ] && own_dmctl status 2>/dev/null | grep -q ' starting '; do
      await_tries=$((await_tries + 1))
      sleep 0.1
    done
  else
    not_up "$(site_url) does not answer with 200 after 60s; its last answer: $site_answer"
  fi
}

# The same without a demo site: waits for the supervisor.
await_supervisor() {
  step "waiting for the supervisor"
  await_tries=0
  # Exit code 1: it answers, and sites are pending.
  until await_answer=$(own_dmctl health 2>&1) || [ $? -eq 1 ]; do
    await_tries=$((await_tries + 1))
    [ "$await_tries" -le 150 ] || not_up "the supervisor does not answer after 30s: $await_answer"
    sleep 0.2
  done
  step "it answers"
}

not_up() {
  echo "The end of the supervisor's log:" >&2
  tail -n 20 "$tree_logs/supervisor/current" >&2 || :
  fail "$1" "the end of the supervisor's log is above, all logs are in $tree_logs" \
    "the services still run:  ./dmhost ps  shows them, ./dmhost down  stops them"
}
