#!/bin/sh
# Usage: host/test-machine.sh DIRECTORY
# Runs the tests for cgroup v2 (test/vm/suite, test/vm) in a virtual machine: Debian 13 (trixie) in QEMU, emulated and without
# a network. debootstrap makes its system from this machine's Debian mirror, and a Docker engine here builds its images; both
# are kept in .cache/vm/. Writes Vitest's report to DIRECTORY/vm.json and its exit code to DIRECTORY/vm.status.
# Exit code 75: this machine cannot run it; the last line on stderr says why.
set -eu

checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
cd "$checkout"

# shellcheck source=host/progress.sh
. "$checkout/host/progress.sh"
# shellcheck source=host/debian.sh
. "$checkout/host/debian.sh"
# shellcheck source=host/checkout.sh
. "$checkout/host/checkout.sh"
# shellcheck source=host/docker.sh
. "$checkout/host/docker.sh"
# shellcheck source=host/machine-disks.sh
. "$checkout/host/machine-disks.sh"

# The project of test/appliance, so that images which it has built are found.
export COMPOSE_PROJECT_NAME=dmhost-test
vm=$checkout/.cache/vm
machine=$checkout/test/vm/machine
# Seconds after which the machine counts as hung.
longest=2400
# MiB.
memory=3072

cannot() { printf '%s\n' "$*" >&2; exit 75; }

# Shows the lines of the machine that begin with "| " as steps, and writes its whole console to .cache/vm/console.log.
listen() {
  return_key=$(printf '\r')
  while IFS= read -r line; do
    line=${line%"$return_key"}
    printf '%s\n' "$line" >&3
    case $line in "| "*) step "  ${line#| }" ;; esac
  done 3>"$vm/console.log"
}

run_machine() {
  # The machine writes a tarball to this disk.
  rm -f "$vm/report"
  truncate -s 16M "$vm/report"
  drive=if=virtio,format=raw
  # Emulated even with /dev/kvm, which often does not work in a guest. One processor: with two, QEMU before 8.1 may run
  # code that the other one has patched meanwhile, and the guest's kernel panics. QEMU 7.2 corrupts its guest without -cx16.
  timeout -k 10 "$longest" qemu-system-x86_64 -accel tcg,tb-size=512 -cpu max,-cx16 -smp 1 -m "$memory" \
    -display none -monitor none -serial stdio -nic none -no-reboot \
    -kernel "$system/vmlinuz" -initrd "$system/initrd.img" \
    -append "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 systemd.show_status=0" \
    -drive "$drive,file=$system/disk,snapshot=on" -drive "$drive,file=$vm/checkout,snapshot=on" \
    -drive "$drive,file=$images/disk,snapshot=on" -drive "$drive,file=$vm/report" </dev/null 2>&1 | listen
}

[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
[ "$(id -u)" = 0 ] || cannot "only root can make the disks of the virtual machine"
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || cannot "the virtual machine supports Debian on amd64 only"
mirror=$(debian_mirror)
[ -n "$mirror" ] || cannot "apt has no mirror of Debian to make the virtual machine from"
# What the virtual machine is made with, and runs in.
need_packages debootstrap e2fsprogs qemu-system-x86
mkdir -p "$vm"
only_one "$vm/lock"
install_npm_packages
build_programs
make_system
make_images
make_checkout
step "booting the machine; its console: .cache/vm/console.log"
run_machine
tar -xf "$vm/report" -C "$1" ./vm.json ./vm.status 2>/dev/null || {
  tail -n 40 "$vm/console.log" >&2
  fail "the virtual machine ended without a report" "the end of its console is above, all of it in $vm/console.log"
}
