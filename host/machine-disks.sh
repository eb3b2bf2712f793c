# shellcheck shell=sh
# The disks of the virtual machine that tests run in (host/test-machine.sh). `vm` is where they are kept, `machine` what the
# system is made by, `mirror` Debian's mirror. Sets `system` and `images`, directories with a `disk` each.

# The mirror of Debian that this machine's apt uses, whatever release it has.
debian_mirror() {
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(ORIGIN) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 == "main" && $3 == "Debian" && $4 == "Debian" { print $1; exit }'
}

# disk_of TREE DISK SIZE: makes an ext4 file system of what is below TREE.
disk_of() {
  rm -f "$2.new"
  truncate -s "$3" "$2.new"
  mkfs.ext4 -q -F -O ^has_journal -E root_owner=0:0 -d "$1" "$2.new"
  mv -f "$2.new" "$2"
}

# forget_all_but KEPT PREFIX: removes what is kept under other names.
forget_all_but() {
  for forgotten in "$vm/$2"*; do
    [ "$forgotten" = "$1" ] || rm -rf "$forgotten"
  done
}

# The machine's system with all packages, made anew when what it is made by has changed, and after a month.
make_system() {
  system=$vm/system-$(cat "$machine/packages" "$machine/prepare" "$machine"/*.service "$machine"/*.conf | sha256sum | cut -c 1-16)
  if [ -n "$(find "$system/disk" -mtime -30 2>/dev/null)" ]; then
    step "the machine's system: made already"
    return
  fi
  step "the machine's system: debootstrap trixie from $mirror (about two minutes)"
  forget_all_but "" system-
  making=$vm/system-making
  rm -rf "$making"
  mkdir -p "$making"
  packages=$(sed '/^#/d' "$machine/packages" | tr '\n' ',')
  script=/usr/share/debootstrap/scripts/trixie
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
  proxy=
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [ -z "$proxy" ] || export http_proxy="$proxy"
  # In two stages, for dpkg to be told between them what it may leave out. Mounts end with their namespace.
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

# The appliance's images, in a file system that is /var/lib/docker: built by an engine here, unpacked by the machine's own.
make_images() {
  engine_before=$(cat /run/dmhost-test-engine/docker.pid 2>/dev/null) || :
  engine_status=0
  engine=$("$checkout/host/test-engine.sh" start) || engine_status=$?
  [ "$engine_status" -eq 0 ] || exit "$engine_status"
  # A subshell that ends on the first error, before whose end the engine is stopped.
  set +e
  (
    set -e
    export DOCKER_HOST="$engine"
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
  docker_compose config --images
  echo debian:trixie-slim
}

# unpack_images DIRECTORY: with the machine's dockerd, as a process that sees its system alone and no network.
unpack_images() {
  step "the machine's images: unpacking"
  forget_all_but "" images-
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

# The checkout as it is, with the packages from npm that running the tests takes.
make_checkout() {
  step "the checkout's disk"
  rm -rf "$vm/tree"
  mkdir "$vm/tree"
  tar -c --exclude=./.git --exclude=./.cache --exclude=./node_modules/@oven --exclude=./node_modules/@biomejs \
    --exclude=./node_modules/@typescript . | tar -x -C "$vm/tree"
  disk_of "$vm/tree" "$vm/checkout" 1G
  rm -rf "$vm/tree"
}
