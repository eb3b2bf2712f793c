# shellcheck shell=sh
# Single-user mode: an ordinary account runs supervisor and nginx for itself alone, with all files in its home.

single_user_paths() {
  single_home=$HOME/.daemon-manager
  single_own=$single_home/appliance
  tree=$single_own/services
  tree_scripts=$single_own/scripts
  tree_logs=$single_own/logs
  web=$single_own/nginx
  web_user=
  site_logs=$single_own/site-logs
  programs=$single_own/programs
  command_dir=$HOME/.local/bin
  share_dir=$HOME/.local/share
  fish_completions=$share_dir/fish/vendor_completions.d
}

single_user_running() {
  [ "$(id -u)" -ne 0 ] || return 1
  single_user_paths
  tree_running || tree_orphaned
}

single_user_up() {
  single_user_paths
  single_user=$(id -un)
  check_http_address
  if [ -S "/run/dmhost/users/$single_user/command.sock" ]; then
    fail "the appliance that root runs here already serves $single_user" "use dmctl; ask root for missing permissions"
  fi
  mkdir -p "$HOME/.local" "$single_own"
  chmod 750 "$single_home"
  only_one "$single_own/lock"
  if ! tree_running && tree_orphaned; then stop_orphans; fi
  check_port_free
  # shellcheck disable=SC2086
  single_user_workshop $appliance_programs
  install_npm_packages
  build_programs
  install_manual
  mkdir -p "$tree"
  single_user_sockets
  single_user_policy
  put_demo_files "$single_home/demo-site" "$single_home/daemons/demo-site.conf"
  run_dir=$single_sockets/run
  supervisor_flags="--config \"$single_home/daemon-manager.conf\" --run-dir \"$run_dir\""
  supervisor_flags="$supervisor_flags --fastcgi-dir \"$single_sockets/fastcgi\" --state-dir \"$single_own/state\""
  supervisor_flags="$supervisor_flags --sites-dir \"$web\" --site-logs-dir \"$site_logs\" --http-port $http_port"
  web_become="exec "
  run_services "$single_sockets/fastcgi/$single_user/demo-site.sock" "$single_home/demo-site"
  await_site
  printf '\nThe demo site:   %s\n' "$(site_url)"
  printf 'Its daemon (dmctl status):\n\n'
  own_dmctl status || :
  cat <<TEXT

Your first daemon: write ~/.daemon-manager/daemons/NAME.conf; one line is enough:  start=exec my-program
and start it:  dmctl rescan
With listen=fastcgi its socket is  $single_sockets/fastcgi/$single_user/NAME.sock
TEXT
  # shellcheck disable=SC2016 # the reader's shell expands $PATH
  case ":$PATH:" in
    *":$command_dir:"*) ;;
    *) printf '\ndmctl is in %s, which is not on your PATH yet:  export PATH="%s:$PATH"\n' "$command_dir" "$command_dir" ;;
  esac
}

# single_user_workshop PROGRAM...: requires the programs, and npm if it is needed. Sets `workshop`: builds a checkout that this
# account cannot write as a copy in its cache.
single_user_workshop() {
  if npm_packages_current && programs_current; then
    need_programs "$@"
    return
  fi
  # shellcheck disable=SC2086
  need_programs "$@" $building_programs
  if checkout_writable; then return; fi
  workshop=${XDG_CACHE_HOME:-$HOME/.cache}/dmhost
  step "$single_user cannot write $checkout: building in $workshop"
  mkdir -p "$workshop"
  rm -rf "$workshop/apps" "$workshop/packages" "$workshop/daemontools" "$workshop/shim"
  tar -C "$checkout" --exclude=node_modules -cf - apps packages daemontools shim build.ts package.json package-lock.json .npmrc tsconfig.json tsconfig.base.json |
    tar -C "$workshop" -xf - --no-same-owner
}

# Whether this account can write packages and programs in the checkout.
checkout_writable() {
  for writable_place in "$checkout" "$checkout/node_modules" "$checkout/dist"; do
    if [ -e "$writable_place" ] && [ ! -w "$writable_place" ]; then return 1; fi
  done
}

# Sets `single_sockets`: the home, or a short directory if paths in the home are too long for sockets.
single_user_sockets() {
  single_sockets=$single_home
  # A path has at most 107 bytes; the longest is "fastcgi/USER/NAME.sock~" with a NAME of 32.
  single_longest="$single_home/fastcgi/$single_user/12345678901234567890123456789012.sock~"
  if [ ${#single_longest} -gt 107 ]; then
    single_sockets=$(cat "$tree/.sockets" 2>/dev/null) && [ -d "$single_sockets" ] || single_sockets=${XDG_RUNTIME_DIR:-/tmp}/dmhost
    [ "$single_sockets" != /tmp/dmhost ] || single_sockets=/tmp/dmhost-$(id -u)
    mkdir -m 700 "$single_sockets" 2>/dev/null || :
    if [ -L "$single_sockets" ] || [ "$(stat -c %u:%a "$single_sockets" 2>/dev/null)" != "$(id -u):700" ]; then
      fail "cannot use $single_sockets for sockets: it is not a directory of $single_user with mode 0700" \
        "remove or rename it, or set XDG_RUNTIME_DIR to a short path of your own"
    fi
    step "sockets: in $single_sockets, because paths in $single_home are too long for sockets"
  fi
  echo "$single_sockets" >"$tree/.sockets"
}

single_user_policy() {
  [ ! -e "$single_home/daemon-manager.conf" ] || return 0
  step "policy: writing $single_home/daemon-manager.conf"
  write_if_changed "$single_home/daemon-manager.conf" 644 <<POLICY
# The policy of single-user mode: this account runs daemons as itself; without root nothing else is possible.
[settings]
nginx-group = $(id -gn)

[runs_as]
$single_user:
POLICY
}

single_user_down() {
  single_user_paths
  only_one "$single_own/lock"
  stop_tree
}

single_user_ps() {
  single_user_paths
  show_tree
  echo
  run_dir=$(cat "$tree/.sockets")/run
  own_dmctl status
}

single_user_logs() {
  single_user_paths
  follow_tree_logs
}
