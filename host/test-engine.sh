#!/bin/sh
# Usage: host/test-engine.sh start | stop
# A Docker engine for the tests. `start` prints the DOCKER_HOST to use on stdout, and all else on stderr: an engine that already
# answers, or Debian's dockerd, which it starts with a separate data root (.cache/docker), socket and pid file. It installs
# docker.io, iptables and the Compose plugin if they are missing. `stop` ends only a dockerd that `start` started, and removes
# its bridge and firewall rules.
# Exit code 75: this machine cannot run an engine; the last line on stderr says why.
set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd)
# Short: the path of a UNIX socket has at most 107 bytes, and containerd's is below this directory.
run=/run/dmhost-test-engine
pidfile=$run/docker.pid
host=unix://$run/docker.sock
data=$checkout/.cache/docker
log=$checkout/.cache/dockerd.log
plugins=/usr/local/lib/docker/cli-plugins

say() { printf '  %s\n' "$*" >&2; }
cannot() { printf '%s\n' "$*" >&2; exit 75; }

answers() { DOCKER_HOST=$1 timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 ||
    cannot "apt-get install $* failed; run it by hand to see why"
}

# Bookworm has no Compose 2; trixie's plugin is one static program and runs there.
install_compose() {
  docker compose version >/dev/null 2>&1 && return
  [ "$(id -u)" = 0 ] || cannot "the Compose plugin of Docker is missing and installing it needs root"
  say "installing the Compose plugin"
  apt-get update -qq >/dev/null 2>&1 || true
  if apt-cache show docker-compose 2>/dev/null | grep -q '^Version: 2'; then
    apt_install docker-compose
    return
  fi
  apt=$(mktemp -d)
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  cat >"$apt/trixie.sources" <<'CFG'
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
CFG
  set -- -qq -o Dir::Etc::sourcelist="$apt/trixie.sources" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root
  if ! (cd "$apt" && apt-get "$@" update && apt-get "$@" download docker-compose) >"$apt/log" 2>&1; then
    why=$(tail -n 1 "$apt/log")
    rm -rf "$apt"
    cannot "the Compose plugin cannot be fetched from Debian: $why"
  fi
  dpkg-deb -x "$apt"/docker-compose_*.deb "$apt/root"
  mkdir -p "$plugins"
  install -m 755 "$apt/root/usr/libexec/docker/cli-plugins/docker-compose" "$plugins/docker-compose"
  rm -rf "$apt"
  docker compose version >/dev/null 2>&1 || cannot "the Compose plugin of Debian trixie does not run here"
}

# Prints the DOCKER_HOST of an engine that answers: the caller's, or one that `start` started; fails if there is none.
answering_engine() {
  command -v docker >/dev/null || return 1
  own=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null)}
  for candidate in "$own" "$host"; do
    if [ -n "$candidate" ] && answers "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

start() {
  if engine=$(answering_engine); then
    install_compose
    echo "$engine"
    return
  fi
  [ "$(id -u)" = 0 ] || cannot "no Docker engine answers, and starting one needs root"
  command -v apt-get >/dev/null || cannot "no Docker engine answers, and this machine is not Debian"
  [ -w /sys/fs/cgroup ] || cannot "no Docker engine answers, and /sys/fs/cgroup cannot be written here"
  # A machine may have the client without dockerd.
  if ! command -v dockerd >/dev/null || ! command -v iptables >/dev/null; then
    say "installing docker.io and iptables"
    apt-get update -qq >/dev/null 2>&1 || true
    packages="docker.io iptables"
    if ! command -v docker >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then packages="$packages docker-cli"; fi
    # shellcheck disable=SC2086 # a list of names
    apt_install $packages
  fi
  install_compose
  # On a machine with systemd the package has started the engine.
  if answering_engine; then return; fi
  mkdir -p "$run" "$data"
  chmod 700 "$run"
  cat /proc/sys/net/ipv4/ip_forward >"$run/ip_forward"
  iptables -S FORWARD 2>/dev/null | sed -n 's/^-P FORWARD //p' >"$run/forward_policy"
  ip link show docker0 >/dev/null 2>&1 && : >"$run/had_docker0"
  say "starting dockerd (log: $log)"
  setsid dockerd --data-root "$data" --exec-root "$run/exec" --pidfile "$pidfile" --host "$host" \
    >"$log" 2>&1 </dev/null &
  dockerd=$!
  waited=0
  until answers "$host"; do
    waited=$((waited + 1))
    if ! kill -0 "$dockerd" 2>/dev/null || [ "$waited" -gt 60 ]; then
      stop
      cannot "dockerd does not run on this machine: $(grep -E 'level=(fatal|error)|failed' "$log" | tail -n 1 | cut -c 1-300)"
    fi
    sleep 1
  done
  echo "$host"
}

# Removes Docker's rules from one iptables table.
remove_rules() {
  iptables-save -t "$1" 2>/dev/null | grep -v -e DOCKER -e docker0 -e '-[io] br-[0-9a-f]\{12\}' | iptables-restore -T "$1" 2>/dev/null || true
}

stop() {
  [ -s "$pidfile" ] || { rm -rf "$run"; return 0; }
  pid=$(cat "$pidfile")
  if grep -qs dockerd "/proc/$pid/comm"; then
    say "stopping dockerd ($pid)"
    kill "$pid"
    waited=0
    while [ -d "/proc/$pid" ] && [ "$waited" -lt 300 ]; do
      waited=$((waited + 1))
      sleep 0.1
    done
    [ ! -d "/proc/$pid" ] || { printf 'dockerd (%s) does not stop\n' "$pid" >&2; return 1; }
  fi
  if [ ! -e "$run/had_docker0" ]; then
    for link in docker0 $(ip -o link show type bridge 2>/dev/null | sed -n 's/^[0-9]*: \(br-[0-9a-f]\{12\}\):.*/\1/p'); do
      ip link delete "$link" 2>/dev/null || true
    done
    remove_rules nat
    remove_rules filter
  fi
  if [ -s "$run/forward_policy" ]; then iptables -P FORWARD "$(cat "$run/forward_policy")"; fi
  if [ "$(cat "$run/ip_forward" 2>/dev/null)" = 0 ]; then echo 0 >/proc/sys/net/ipv4/ip_forward; fi
  # dockerd leaves mounts of containers and namespaces behind.
  grep -o " $run/[^ ]*" /proc/mounts | sort -r | while read -r mount; do umount "$mount" 2>/dev/null || true; done
  find /sys/fs/cgroup/*/docker -depth -type d -exec rmdir {} + 2>/dev/null || true
  rm -rf "$run"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *)
    echo "usage: $0 start | stop" >&2
    exit 2
    ;;
esac
