#!/bin/sh
# Usage: host/base-image.sh [IMAGE]
# Provides the base image of all Dockerfiles (debian:trixie-slim). If the engine does not have it, pulls it; if no registry
# can be reached, makes it from Debian's packages with debootstrap, as root, and imports it under the same name. Keeps the
# tarball in .cache/ for a month.
# Exit code 0: the engine has the image. Else stderr says what is missing.
set -eu

image=${1:-debian:trixie-slim}
suite=trixie
checkout=$(cd "$(dirname "$0")/.." && pwd)
cache=$checkout/.cache/base-image
arch=$(dpkg --print-architecture 2>/dev/null) || arch=unknown
tarball=$cache/$suite-$arch.tar

say() { printf '  %s\n' "$*" >&2; }
fail() { printf 'dmhost: cannot make the image "%s": %s\n' "$image" "$*" >&2; exit 1; }

# Prints mirror and suites that this machine's apt uses for the release, one "URI SUITE" a line. Only plain http: the image
# has no certificates yet.
# shellcheck disable=SC2016 # apt's own placeholders
own_sources() {
  apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk -v suite="$suite" '$1 ~ /^http:/ && $3 == "main" && ($2 == suite || index($2, suite "-") == 1) {
      sub(/\/$/, "", $1); print $1, $2 }' | sort -u
}

sources() {
  own=$(own_sources)
  if echo "$own" | grep -q " $suite\$" && echo "$own" | grep -q " $suite-security\$"; then
    echo "$own"
  else
    echo "http://deb.debian.org/debian $suite"
    echo "http://deb.debian.org/debian $suite-updates"
    echo "http://deb.debian.org/debian-security $suite-security"
  fi
}

# Removes what Debian's slim images leave out, and keeps later installations from adding it.
trim() {
  root=$1
  mkdir -p "$root/etc/dpkg/dpkg.cfg.d" "$root/etc/apt/apt.conf.d" "$root/etc/apt/sources.list.d"
  cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'CFG'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
CFG
  echo 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/slim"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  rm -f "$root/etc/apt/sources.list"
  sources | awk '{ printf "%sTypes: deb\nURIs: %s\nSuites: %s\nComponents: main\n", (NR > 1 ? "\n" : ""), $1, $2
    print "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" }' >"$root/etc/apt/sources.list.d/debian.sources"
  find "$root/usr/share/doc" -type f ! -name copyright -delete
  rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/lintian/* \
    "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/tmp/*
  find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
  # An image must not contain this machine's names.
  : >"$root/etc/hostname"
  : >"$root/etc/resolv.conf"
}

make_tarball() {
  [ "$(id -u)" = 0 ] || fail "no registry can be reached, and only root can make the image from Debian's packages;" \
    "run: sudo $0"
  command -v apt-get >/dev/null || fail "no registry can be reached, and this machine is not Debian; load the image with: docker load"
  if ! command -v debootstrap >/dev/null; then
    say "installing debootstrap"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends debootstrap; } \
      >/dev/null 2>&1 || fail "apt-get install debootstrap failed; run it by hand to see why"
  fi
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  script=/usr/share/debootstrap/scripts/$suite
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
  mirror=$(sources | awk -v suite="$suite" '$2 == suite { print $1; exit }')
  say "debootstrap $suite from $mirror (about half a minute)"
  # debootstrap mounts /proc; the mount ends with the namespace.
  unshare --mount debootstrap --variant=minbase "$suite" "$work/root" "$mirror" "$script" >"$work/log" 2>&1 ||
    fail "debootstrap failed: $(tail -n 3 "$work/log" | tr '\n' ' ')"
  trim "$work/root"
  tar -C "$work/root" --numeric-owner --one-file-system -cf "$work/tar" .
  mv "$work/tar" "$tarball"
}

docker image inspect "$image" >/dev/null 2>&1 && exit 0
# The engine waits 15 s for a registry to answer; the limit is for the download.
say "pulling $image"
if why=$(timeout 600 docker pull --quiet "$image" 2>&1); then exit 0; fi
say "cannot be pulled: $(printf '%s' "$why" | tail -n 1 | cut -c 1-160)"
if [ -z "$(find "$tarball" -mtime -30 2>/dev/null)" ]; then make_tarball; fi
say "importing it as $image"
docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'CMD ["bash"]' \
  --message "debootstrap $suite" "$tarball" "$image" >/dev/null
