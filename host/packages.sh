# shellcheck shell=sh
# Debian packages and programs that each part of the work needs; host/debian.sh installs them.

# What running natively needs beside what every Debian has; libatomic is for Node, execlineb for multilog's processors.
appliance_programs="nginx php-cgi s6-svscan s6-log execlineb libatomic.so.1"
# What installing and building needs; the C compiler makes the shim.
building_programs="npm libatomic.so.1 gcc libc6-dev"
# What the layer shim needs: clang with its sanitizers, and a compiler for arm64.
shim_programs="clang libclang-rt-dev aarch64-linux-gnu-gcc libc6-dev-arm64-cross"
# What makes the man pages.
manual_programs="lowdown"
# What the layer check needs.
check_programs="shellcheck perl"
# What the system tests try man pages and completion with.
shell_programs="man zsh fish"
# What the system tests run as tenants' daemons, or around them; daemontools is what daemontools/ is compared with. php and
# mariadb-server-core are named so that Debian adds no Apache and no service of a database.
tenant_packages="deluged wordpress php mariadb-server-core libcatalyst-perl libfcgi-perl libfcgi-procmanager-perl
starman python3 uwsgi-core uwsgi-plugin-python3 libfcgi-dev iproute2 busybox-static daemontools"
# What the appliance tests put into a jail.
jailed_packages="busybox-static"
