# shellcheck shell=sh
# Finds missing programs and packages of Debian and installs them.

# Services of the packages in host/packages.sh that must not start.
unwanted_services="nginx deluged"

# Prints the package of a program.
package_of() {
  case $1 in
    s6-*) echo s6 ;;
    execlineb) echo execline ;;
    libatomic.so.1) echo libatomic1 ;;
    aarch64-linux-gnu-gcc) echo gcc-aarch64-linux-gnu ;;
    man) echo man-db ;;
    *) echo "$1" ;;
  esac
}

# Whether a program, a library or what compiling with one needs is installed, and new enough. npm 9 is the oldest tested version.
has_program() {
  case $1 in
    *-dev | *-cross)
      # shellcheck disable=SC2016
      dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'
      ;;
    lib*) ldconfig -p | grep -q "^[[:space:]]*$1 " ;;
    execlineb) [ -x /usr/lib/execline/bin/execlineb ] || [ -x /usr/bin/execlineb ] ;;
    npm) [ "$(npm --version 2>/dev/null | cut -d. -f1)" -ge 9 ] 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# missing_packages PROGRAM...: prints the packages of those that are not installed, each once, on one line.
missing_packages() {
  missing_list=""
  for missing_program in "$@"; do
    has_program "$missing_program" && continue
    missing_package=$(package_of "$missing_program")
    case " $missing_list " in
      *" $missing_package "*) ;;
      *) missing_list="${missing_list:+$missing_list }$missing_package" ;;
    esac
  done
  echo "$missing_list"
}

service_policy=/usr/sbin/policy-rc.d
service_policy_before=$service_policy.before-dmhost

# Restores the previous policy-rc.d; does nothing if it was not replaced.
restore_service_policy() {
  if grep -qs 'by dmhost' "$service_policy"; then rm -f "$service_policy"; fi
  if [ -e "$service_policy_before" ]; then mv -f "$service_policy_before" "$service_policy"; fi
}

# Keeps Debian's packages from starting their services: dmhost runs nginx itself, on another port.
forbid_services() {
  restore_service_policy
  if [ -e "$service_policy" ]; then mv "$service_policy" "$service_policy_before"; fi
  cat >"$service_policy" <<POLICY
#!/bin/sh
# Written by dmhost while it installs packages; removed afterwards.
case " $unwanted_services " in *" \$1 "*) exit 101 ;; esac
[ ! -x $service_policy_before ] || exec $service_policy_before "\$@"
POLICY
  chmod 755 "$service_policy"
}

# install_packages PACKAGE...: for root. Unwanted services start neither now nor at the next boot.
install_packages() {
  command -v apt-get >/dev/null ||
    fail "cannot install $*: this machine has no apt-get" "install them with its package manager and try again"
  (
    trap restore_service_policy EXIT
    trap 'exit 130' HUP INT TERM
    forbid_services
    export DEBIAN_FRONTEND=noninteractive
    quietly "reading Debian's package lists" apt-get update -q
    quietly "installing $*" apt-get install -y -q --no-install-recommends "$@"
  )
  for installed_service in $unwanted_services; do
    case " $* " in *" $installed_service "*) update-rc.d "$installed_service" disable >/dev/null 2>&1 || : ;; esac
  done
}

# need_packages PACKAGE...: for root. Installs those that are missing.
need_packages() {
  lacking_packages=""
  for lacking_package in "$@"; do
    # shellcheck disable=SC2016
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$lacking_package" 2>/dev/null) in
      ii*) ;;
      *) lacking_packages="${lacking_packages:+$lacking_packages }$lacking_package" ;;
    esac
  done
  if [ -z "$lacking_packages" ]; then
    step "packages from Debian: installed already"
    return
  fi
  step "packages from Debian: installing $lacking_packages"
  # shellcheck disable=SC2086
  install_packages $lacking_packages
}

# need_programs PROGRAM...: as root, installs the missing ones; as another user, names them and ends the command.
need_programs() {
  need_packages=$(missing_packages "$@")
  if [ -z "$need_packages" ]; then
    step "programs from Debian: installed already"
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    set -- "install with:  sudo apt-get install --no-install-recommends $need_packages"
    case " $need_packages " in
      *" nginx "*) set -- "$1" "Debian's nginx then starts on port 80; to stop it:  sudo systemctl disable --now nginx" ;;
    esac
    fail "missing packages, which $(id -un) cannot install: $need_packages" "$@"
  fi
  step "programs from Debian: installing $need_packages"
  # shellcheck disable=SC2086
  install_packages $need_packages
  for need_program in "$@"; do
    has_program "$need_program" ||
      fail "$need_program is still missing or too old after the installation of $(package_of "$need_program")" \
        "searched in $PATH; npm must be 9 or newer"
  done
}
