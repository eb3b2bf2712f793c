# shellcheck shell=sh
# Docker mode: the services of compose.yaml and compose.override.yaml, or of COMPOSE_FILE, as for `docker compose` in the
# checkout. COMPOSE_PROJECT_NAME and the DMHOST_* variables of compose.yaml choose another project, port, run directory or
# configuration.

# shellcheck source=host/docker-images.sh
. "$checkout/host/docker-images.sh"
# shellcheck source=host/demo-site.sh
. "$checkout/host/demo-site.sh"
# shellcheck source=host/docker-site.sh
. "$checkout/host/docker-site.sh"

docker_config=${DMHOST_CONFIG_DIR:-$checkout/config}

# In the checkout, without --file: so the containers are those of `docker compose up`.
docker_compose() {
  docker compose "$@"
}

# docker_exec ARGUMENT...: runs a command in a service's container, without a terminal.
docker_exec() {
  docker_compose exec -T "$@" </dev/null
}

# Whether an engine that can run the appliance answers, with Compose; if not, `docker_lack` says why.
docker_available() {
  docker_lack=
  if ! command -v docker >/dev/null; then
    docker_lack="there is no docker command"
  elif ! docker_version=$(timeout 15 docker version --format '{{.Server.Version}}' 2>/dev/null); then
    docker_lack="no Docker engine answers"
  elif ! docker_compose_version=$(docker compose version --short 2>/dev/null) || ! is_compose_2 "$docker_compose_version"; then
    docker_lack="Docker's Compose plugin, version 2 or newer, is missing"
  else
    case $(timeout 15 docker info --format '{{.SecurityOptions}}' 2>/dev/null) in
      *name=rootless*) docker_lack="the Docker engine is rootless, and cannot run programs as this machine's accounts" ;;
    esac
  fi
  [ -z "$docker_lack" ]
}

is_compose_2() {
  docker_major=${1#v}
  [ "${docker_major%%.*}" -ge 2 ] 2>/dev/null
}

docker_up() {
  if [ -w "$checkout" ]; then
    mkdir -p "$checkout/.cache"
    only_one "$checkout/.cache/docker-up.lock"
  fi
  step "Docker $docker_version, Compose $docker_compose_version"
  # Two supervisors cannot share one run directory.
  if [ -z "${DMHOST_RUN_DIR:-}" ] && native_running; then
    fail "the appliance already runs on this machine without Docker" "stop it first:  ./dmhost down --native"
  fi
  docker_choose_cgroup
  docker_choose_propagation
  docker_images
  docker_own_policy
  step "starting the services"
  docker_start
  if docker_accounts_stale; then
    # useradd replaces /etc/passwd; a container still sees the file that was there when it started.
    step "accounts: changed on this machine; restarting the supervisor and its daemons"
    quietly "restarting the supervisor" docker_compose restart supervisor
    docker_start
  fi
  docker_refresh_vhosts
  docker_install_dmctl
  docker_demo_site
  docker_introduce
}

# Sets `docker_cgroup`, the supervisor's subtree: what Compose mounts, or with a hybrid hierarchy the same on its cgroup v2 mount.
docker_choose_cgroup() {
  docker_cgroup=$(docker_compose config | awk '
    $1 == "source:" { source = $2 }
    $1 == "target:" && $2 == "/run/dmhost-cgroup" { print source }') || :
  case $docker_cgroup in
    /sys/fs/cgroup/*/*) return ;;
    /sys/fs/cgroup/*) ;;
    *) return ;;
  esac
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && [ -e /sys/fs/cgroup/unified/cgroup.controllers ]; then
    docker_plain_cgroup=$docker_cgroup
    docker_cgroup=/sys/fs/cgroup/unified/${docker_cgroup##*/}
    export DMHOST_CGROUP="$docker_cgroup"
  fi
}

# An engine refuses the propagation rslave of a private mount, which / is on a machine without systemd.
docker_choose_propagation() {
  case $(findmnt --noheadings --output PROPAGATION --target /home) in
    *shared* | *slave*) ;;
    *)
      export DMHOST_HOME_PROPAGATION=rprivate
      step "/home: its mount is private, so homes that are mounted later are seen after a restart"
      ;;
  esac
}

# The supervisor accepts only a policy that root owns; the checkout may have another owner.
docker_own_policy() {
  docker_policy=$docker_config/daemon-manager.conf
  [ -f "$docker_policy" ] || fail "there is no policy file $docker_policy" "restore it:  git checkout config/daemon-manager.conf"
  [ -n "$(find "$docker_policy" \( ! -uid 0 -o -perm /022 \))" ] || return 0
  step "policy: changing the owner of $docker_policy to root"
  if [ "$(id -u)" -eq 0 ]; then
    chown 0:0 "$docker_policy" && chmod go-w "$docker_policy"
  else
    docker run --rm --network none --volume "$docker_config:/config" debian:trixie-slim \
      sh -c 'chown 0:0 /config/daemon-manager.conf && chmod go-w /config/daemon-manager.conf' </dev/null
  fi || fail "$docker_policy has another owner than root, or others may write it" \
    "run:  sudo chown root: $docker_policy && sudo chmod go-w $docker_policy"
}

# Starts services that do not run or have changed, and waits until both are healthy.
docker_start() {
  if docker_output=$(docker_compose up --detach --wait --no-build </dev/null 2>&1); then return; fi
  case $docker_output in
    *"address already in use"* | *"port is already allocated"*)
      docker_hint="stop the program that has that port, or choose another:  DMHOST_HTTP_PORT=8081 ./dmhost up"
      ;;
    *)
      docker_last_lines >&2
      docker_hint="the last lines of their logs are above; once the cause is fixed:  ./dmhost up"
      ;;
  esac
  fail "the services did not start: $(echo "$docker_output" | tail -n 1)" "$docker_hint" \
    "./dmhost down  stops and removes what runs"
}

# Shows the ends of both services' logs, without terminal sequences and repeated lines.
docker_last_lines() {
  docker_compose logs --no-color --tail 20 2>/dev/null | sed "s/$(printf '\033')\[2K//" | uniq
}

# Whether the accounts in the supervisor's container differ from this machine's.
docker_accounts_stale() {
  for docker_base in passwd group; do
    docker_exec supervisor cat "/var/lib/extrausers/$docker_base" | cmp -s - "/etc/$docker_base" || return 0
  done
  return 1
}

# Reloads nginx if the administrator's vhosts have changed.
docker_refresh_vhosts() {
  docker_vhosts=$(docker_exec nginx web-server refresh) ||
    fail "nginx rejects its new configuration and continues with the old one:" "$docker_vhosts" \
      "vhosts/NAME is your config/nginx/NAME: correct it and run this again"
  [ -z "$docker_vhosts" ] || step "nginx: $docker_vhosts"
}

# Installs dmctl on this machine: as root for all accounts, else for the caller.
docker_install_dmctl() {
  docker_bin=${DMHOST_BIN_DIR:-}
  if [ -z "$docker_bin" ]; then
    if [ "$(id -u)" -eq 0 ]; then docker_bin=/usr/local/bin; else docker_bin=$HOME/.local/bin; fi
  fi
  mkdir -p "$docker_bin"
  docker_dmctl=$(docker_exec supervisor cat /usr/local/share/dmhost/dmctl.sha256) || fail "the supervisor's container has no dmctl"
  if [ "$(sha256sum "$docker_bin/dmctl" 2>/dev/null | cut -d' ' -f1)" != "${docker_dmctl%% *}" ]; then
    # Not `docker cp`: engines before 23 unmount a replaced /etc/passwd in the container.
    docker_exec supervisor gzip -dc /usr/local/share/dmhost/dmctl.gz >"$docker_bin/dmctl.new" ||
      fail "cannot copy dmctl out of the supervisor's container to $docker_bin"
    chmod 755 "$docker_bin/dmctl.new"
    mv -f "$docker_bin/dmctl.new" "$docker_bin/dmctl"
    step "dmctl: installed in $docker_bin"
  fi
  case :$PATH: in
    *":$docker_bin:"*) ;;
    *) step "  $docker_bin is not on your PATH; add it:  PATH=$docker_bin:\$PATH" ;;
  esac
}

docker_down() {
  docker_choose_cgroup
  step "stopping nginx, then the supervisor and its daemons"
  quietly "stopping the services" docker_compose down
  # Empty cgroups, or the plain directory that `docker compose up` makes on cgroup v1.
  find "$docker_cgroup" "${docker_plain_cgroup:-$docker_cgroup}" -depth -type d -exec rmdir {} + 2>/dev/null || :
  step "stopped"
}

docker_ps() {
  docker_compose ps
  echo
  docker_exec supervisor dmctl status
}

docker_logs() {
  docker_compose logs --follow --tail 20
}
