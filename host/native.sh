# shellcheck shell=sh
# Native mode: root runs supervisor and nginx directly on this machine.

native_policy=/etc/daemon-manager.conf
native_demo_home=/var/lib/dmhost/demo
native_bound=/run/fastcgi/.bound

native_paths() {
  tree=/run/dmhost-services
  tree_scripts=/var/lib/dmhost/services
  tree_logs=/var/log/dmhost
  web=/var/lib/dmhost/nginx
  web_user=dmhost-nginx
  site_logs=/var/log/dmhost-sites
  programs=/usr/local/lib/dmhost
  command_dir=/usr/local/bin
  share_dir=/usr/local/share
  # Debian's fish does not search /usr/local.
  fish_completions=/etc/fish/completions
  run_dir=/run/dmhost
  broker_paths
  # The broker is the first to start.
  services="supervisor nginx site-installer site-logs"
  if containers_enabled; then services="broker $services"; fi
}

native_running() {
  [ "$(id -u)" -eq 0 ] || return 1
  native_paths
  tree_running || tree_orphaned
}

as_demo() {
  setpriv --reuid "$demo_tenant" --regid "$demo_tenant" --init-groups --no-new-privs \
    env -i "HOME=$native_demo_home" "USER=$demo_tenant" "LOGNAME=$demo_tenant" PATH=/usr/local/bin:/usr/bin:/bin "$@"
}

native_up() {
  native_paths
  choose_containers
  check_http_address
  only_one /run/dmhost-native.lock
  if ! tree_running && tree_orphaned; then stop_orphans; fi
  check_port_free
  # Two supervisors cannot share one run directory.
  if [ -S "$run_dir/command.sock" ] && docker_available && [ -n "$(docker_compose ps --quiet supervisor 2>/dev/null)" ]; then
    fail "the appliance already runs in Docker here" "stop it first:  ./dmhost down --docker"
  fi
  # shellcheck disable=SC2086
  need_programs $appliance_programs $building_programs $manual_programs
  install_npm_packages
  build_programs
  check_containers
  install_manual
  native_accounts
  native_policy_file
  mount_bound
  supervisor_flags="--config $native_policy --run-dir $run_dir --fastcgi-dir /run/fastcgi --state-dir /var/lib/dmhost"
  supervisor_flags="$supervisor_flags --sites-dir $web --site-logs-dir $site_logs --http-port $http_port"
  if [ "$containers" = yes ]; then supervisor_flags="$supervisor_flags --broker $broker_directory/broker.sock"; fi
  # No process of the web server is root; the master keeps the capability for ports below 1024. It opens its log, a pipe, as
  # /dev/stdout, and so must own it.
  web_become="chown $web_user /dev/stdout
exec setpriv --reuid $web_user --regid $web_user --init-groups --no-new-privs --bounding-set=-all,+net_bind_service \
  --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service "
  run_services "/run/fastcgi/$demo_tenant/site.sock" "$native_demo_home/www"
  if [ "$containers" = no ]; then remove_broker; fi
  if policy_lists_demo "$native_policy"; then
    await_site
    printf '\nThe demo site:   %s\n' "$(site_url)"
    printf 'Its daemon, as its owner %s sees it (dmctl status):\n\n' "$demo_tenant"
    as_demo env "DMCTL_SOCKET=$run_dir/command.sock" dmctl status || :
  else
    await_supervisor
    no_demo "$native_policy"
  fi
  cat <<TEXT

Your first daemon:
  1. name its account under [runs_as] in $native_policy, for example:  alice:
     and make it known:  dmctl rescan
  2. as alice, write ~/.daemon-manager/daemons/NAME.conf; one line is enough:  start=exec my-program
     and start it:  dmctl rescan
TEXT
  if [ "$containers" = yes ]; then explain_containers; fi
}

# Makes the accounts of the web server and of the broker, and the demo tenant with its files.
native_accounts() {
  native_account dmhost-nginx /nonexistent "for the web server"
  native_account "$demo_tenant" "$native_demo_home" "the demo tenant"
  if [ "$containers" = yes ]; then native_account "$broker_user" /nonexistent "for the broker of containers"; fi
  install -d -m 0755 /var/lib/dmhost
  # Mode 0711: nginx reaches the site's files, and cannot list the home.
  [ -d "$native_demo_home" ] || install -d -m 0711 -o "$demo_tenant" -g "$demo_tenant" "$native_demo_home"
  as_demo sh -c 'mkdir -p -m 0750 ~/.daemon-manager'
  put_demo_files "$native_demo_home/www" "$native_demo_home/.daemon-manager/daemons/site.conf" as_demo
}

# native_account NAME HOME PURPOSE: adds a system account without login, and its group, if it is missing.
native_account() {
  getent group "$1" >/dev/null || groupadd --system "$1"
  getent passwd "$1" >/dev/null && return
  step "accounts: adding $1, $3"
  useradd --system --gid "$1" --no-create-home --home-dir "$2" --shell /usr/sbin/nologin "$1"
}

# Mounts a file system for the bind directories: tenants can write there, and must not fill /run. Where services run already, it
# waits for the next start.
mount_bound() {
  if mountpoint -q "$native_bound" || tree_running; then return; fi
  mkdir -p "$native_bound"
  mount -t tmpfs -o mode=0711,size=64m,nr_inodes=64k,nosuid,nodev,noexec dmhost "$native_bound" ||
    step "cannot mount a file system at $native_bound: files beside the sockets of listen=path take space in /run"
}

# Uses the administrator's policy; writes ours if there is none.
native_policy_file() {
  if [ ! -e "$native_policy" ] && [ -e /etc/daemon-manager/daemon-manager.conf ]; then
    native_policy=/etc/daemon-manager/daemon-manager.conf
  fi
  if [ -e "$native_policy" ]; then
    step "policy: $native_policy"
  else
    step "policy: writing $native_policy"
    install -m 0644 "$checkout/config/daemon-manager.conf" "$native_policy"
  fi
}

native_down() {
  native_paths
  only_one /run/dmhost-native.lock
  stop_tree
  if mountpoint -q "$native_bound"; then umount "$native_bound" || :; fi
}

native_ps() {
  native_paths
  show_tree
  echo
  own_dmctl status
}

native_logs() {
  native_paths
  follow_tree_logs
}
