# shellcheck shell=sh
# Makes the disks of the virtual machine that tests run in (host/test-machine.sh). `vm` is their directory, `machine` has the
# scripts that make the system, `mirror` is Debian's mirror. Sets `system` and `images`, directories with a `disk` each.

# Prints the mirror of Debian that this machine's apt uses, for any release.
debian_mirror() {
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(ORIGIN) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 == "main" && $3 == "Debian" && $4 == "Debian" { print $1; exit }'
}

# disk_of TREE DISK SIZE: makes an ext4 file system with the files of TREE.
disk_of() {
  rm -f "$2.new"
  truncate -s "$3" "$2.new"
  mkfs.ext4 -q -F -O ^has_journal -E root_owner=0:0 -d "$1" "$2.new"
  mv -f "$2.new" "$2"
}

# remove_all_but KEPT PREFIX: removes the other directories of that prefix.
remove_all_but() {
  for outdated in "$vm/$2"*; do
    [ "$outdated" = "$1" ] || rm -rf "$outdated"
  done
}

# Makes the machine's system with all packages, again after a change of its scripts and after a month.
make_system() {
  system=$vm/system-$(cat "$machine/packages" "$machine/prepare" "$machine"/*.service "$machine"/*.conf | sha256sum | cut -c 1-16)
  if [ -n "$(find "$system/disk" -mtime -30 2>/dev/null)" ]; then
    step "the machine's system: up to date"
    return
  fi
  step "the machine's system: debootstrap trixie from $mirror (about two minutes)"
  remove_all_but "" system-
  making=$vm/system-making
  rm -rf "$making"
  mkdir -p "$making"
  packages=$(sed '/^#/d' "$machine/packages" | tr '\n' ',')
  script=/usr/share/debootstrap/scripts/trixie
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
  proxy=
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [ -z "$proxy" ] || export http_proxy="$proxy"
  # In two stages: dpkg's configuration comes between them. Mounts end with their namespace.
  quietly "fetching the machine's packages" \
    debootstrap --foreign --variant=minbase "--include=${packages%,}" trixie "$making/root" "$mirror" "$script"
  install -D -m 644 "$machine/dpkg.conf" "$making/root/etc/dpkg/dpkg.cfg.d/dmhost"
  quietly "installing the machine's packages" unshare --mount chroot "$making/root" /debootstrap/debootstrap --second-stage
  quietly "preparing the machine's system" unshare --mount "$machine/prepare" "$making/root"
  cp "$making"/root/boot/vmlinuz-* "$making/vmlinuz"
  cp "$making"/root/boot/initrd.img-* "$making/initrd.img"
  disk_of "$making/root" "$making/disk" 3G
  mv "$making" "$system"
}

# Makes the disk that is /var/lib/docker: an engine here builds the appliance's images, the machine's dockerd unpacks them.
make_images() {
  engine_before=$(cat /run/dmhost-test-engine/docker.pid 2>/dev/null) || :
  engine_status=0
  engine=$("$checkout/host/test-engine.sh" start) || engine_status=$?
  [ "$engine_status" -eq 0 ] || exit "$engine_status"
  # A subshell, so that the engine is stopped after an error too.
  set +e
  (
    set -e
    export DOCKER_HOST="$engine" COMPOSE_FILE=compose.yaml
    docker_images
    # shellcheck disable=SC2046 # names without blanks
    images_sum=$(docker image inspect --format '{{.Id}}' $(image_names) | sort | sha256sum | cut -c 1-16)
    [ -e "$vm/images-$images_sum/disk" ] || unpack_images "$vm/images-$images_sum"
    echo "$vm/images-$images_sum" >"$vm/images"
  )
  images_status=$?
  set -e
  [ -n "$engine_before" ] || "$checkout/host/test-engine.sh" stop || step "  the engine for the tests did not stop"
  [ "$images_status" -eq 0 ] || exit "$images_status"
  images=$(cat "$vm/images")
}

image_names() {
  COMPOSE_FILE=compose.yaml docker_compose config --images
  echo debian:trixie-slim
}

# unpack_images DIRECTORY: runs the machine's dockerd in its system's root, without a network.
unpack_images() {
  step "the machine's images: unpacking"
  remove_all_but "" images-
  making=$vm/images-making
  mkdir -p "$making/docker"
  # shellcheck disable=SC2046
  quietly "saving the images" docker save --output "$making/tar" $(image_names)
  quietly "unpacking the images" unshare --mount --net --pid --fork --kill-child \
    "$machine/unpack" "$system/root" "$making/docker" "$making/tar"
  disk_of "$making/docker" "$making/disk" 3G
  rm -rf "$making/docker" "$making/tar"
  mv "$making" "$1"
}

# Makes the disk of the checkout, with the npm packages that the tests need.
make_checkout() {
  step "the checkout's disk"
  rm -rf "$vm/tree"
  mkdir "$vm/tree"
  tar -c --exclude=./.git --exclude=./.cache --exclude=./node_modules/@oven --exclude=./node_modules/@biomejs \
    --exclude=./node_modules/@typescript . | tar -x -C "$vm/tree"
  disk_of "$vm/tree" "$vm/checkout" 1G
  rm -rf "$vm/tree"
}
