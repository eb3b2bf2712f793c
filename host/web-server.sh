# shellcheck shell=sh
# The web server of a mode that runs directly on the machine: its address, its directory (nginx -p) made from nginx/, and its
# services. The mode sets `web` (that directory), `web_user` (the account of the web server; "": the one that runs this),
# `site_logs` and `web_become` (see appliance.sh).

web_programs="web-server site-installer site-logs"

http_port=${DMHOST_HTTP_PORT:-8080}
http_address=${DMHOST_HTTP_ADDRESS:-127.0.0.1}

# Ends the command where port or address could not stand in a listen directive.
check_http_address() {
  case $http_port in
    '' | *[!0-9]* | 0* | ??????*) http_port_wrong=yes ;;
    *) [ "$http_port" -le 65535 ] || http_port_wrong=yes ;;
  esac
  [ -z "${http_port_wrong:-}" ] || fail "DMHOST_HTTP_PORT is \"$http_port\"" "expected a port number from 1 to 65535"
  case $http_address in
    '' | *[!0-9a-fA-F.:]*) fail "DMHOST_HTTP_ADDRESS is \"$http_address\"" "expected an IPv4 or IPv6 address without brackets, such as 127.0.0.1" ;;
    *:*) http_listen="[$http_address]:$http_port" ;;
    *) http_listen="$http_address:$http_port" ;;
  esac
}

# Address at which this machine itself reaches the web server.
site_url() {
  case $http_address in
    0.0.0.0) echo "http://127.0.0.1:$http_port/" ;;
    ::) echo "http://[::1]:$http_port/" ;;
    *) echo "http://$http_listen/" ;;
  esac
}

# Inodes of the sockets that listen where the web server wants to, or would stand in its way.
port_holders() {
  printf '%s\n' "$http_address" | awk -v port="$(printf '%04X' "$http_port")" '
    NR == 1 {
      wild = $0 == "0.0.0.0" || index($0, ":")
      split($0, part, ".")
      mine = sprintf("%02X%02X%02X%02X", part[4], part[3], part[2], part[1])
      next
    }
    $4 == "0A" {
      split($2, at, ":")
      if (at[2] == port && (wild || at[1] == mine || at[1] ~ /^0+$/)) print $10
    }' - /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Ends the command where the port is somebody else's. Our own web server's is not asked about.
check_port_free() {
  if tree_running && grep -qsF "listen $http_listen;" "$web/listen.conf"; then return; fi
  for held_inode in $(port_holders); do
    held_by="a process of another user"
    held_pid=$(find /proc/[0-9]*/fd -lname "socket:\[$held_inode\]" 2>/dev/null | head -n 1 | cut -d/ -f3)
    [ -z "$held_pid" ] || held_by="pid $held_pid ($(cat "/proc/$held_pid/comm" 2>/dev/null))"
    fail "port $http_port on $http_address is taken by $held_by; nothing was started" \
      "stop that program, or choose another port:  DMHOST_HTTP_PORT=8081 ./dmhost up"
  done
}

# make_web_directory SOCKET DOCROOT: sets `written` to yes if a file of the web directory was not the same before.
# Ends the command when nginx does not accept the configuration; what runs goes on with the old one.
make_web_directory() {
  case $1$2 in
    *[!A-Za-z0-9_./-]*) fail "cannot write \"$1\" and \"$2\" into nginx's configuration" "expected paths of letters, digits, _ . - and / only" ;;
  esac
  web_next=$web.next
  rm -rf "$web_next"
  mkdir -p "$web_next/sites" "$web_next/vhosts" "$web_next/temp"
  for web_part in nginx.conf fastcgi_params fastcgi_app_params proxy_params mime.types; do
    cp "$checkout/nginx/$web_part" "$web_next/"
  done
  echo "listen $http_listen;" >"$web_next/listen.conf"
  sed -e "s|@SOCKET@|$1|g" -e "s|@DOCROOT@|$2|g" "$checkout/nginx/sites/demo.conf" >"$web_next/sites/demo.conf"
  for web_vhost in "$checkout"/config/nginx/*.conf; do
    [ ! -f "$web_vhost" ] || cp "$web_vhost" "$web_next/vhosts/"
  done
  chmod -R u=rwX,go=rX "$web_next"
  if [ -d "$web" ] && diff -r -x temp -x offered -x accepted -x web-server -x 'site-*' "$web_next" "$web" >/dev/null; then
    rm -rf "$web_next"
    make_web_places
    return
  fi
  web_complaint=$(nginx -t -e stderr -p "$web_next" -c nginx.conf 2>&1) ||
    fail "nginx does not accept its configuration:" "$web_complaint" \
      "vhosts/NAME is your config/nginx/NAME: correct it and run this again"
  mkdir -p "$web"
  rm -rf "$web_next/temp" "$web/sites" "$web/vhosts"
  cp -R "$web_next/." "$web/"
  rm -rf "$web_next"
  make_web_places
  written=yes
}

# The programs; and the directories that the web server writes to, as its own; one that was another's is emptied.
make_web_places() {
  for web_program in $web_programs; do
    ! web_program_changed "$web_program" || install -m 0755 "$checkout/nginx/$web_program" "$web/$web_program"
  done
  mkdir -p "$web/offered"
  for web_place in temp accepted; do
    web_owner=$(stat -c %U "$web/$web_place" 2>/dev/null) || web_owner=
    [ -z "$web_owner" ] || [ "$web_owner" = "${web_user:-$(id -un)}" ] || rm -rf "${web:?}/$web_place"
    [ -d "$web/$web_place" ] || install -d -m 0755 ${web_user:+-o "$web_user" -g "$(id -gn "$web_user")"} "$web/$web_place"
  done
}

# The services nginx, site-installer and site-logs. Sets `nginx_changed` and `web_helpers_changed` to yes for what is not as it was;
# before make_web_directory.
write_web_services() {
  written=no
  write_service nginx <<RUN
#!/bin/sh
exec 2>&1
echo \$\$ >.process-group
export DMHOST_SITE_LOGS="$site_logs"
$web_become"$web/web-server" start "$web"
RUN
  # A master that was killed leaves workers behind, which keep the port. Another master is another one to reload.
  write_script nginx/finish <<'FINISH'
#!/bin/sh
kill -s KILL -- "-$(cat .process-group)" 2>/dev/null
s6-svc -r ../site-installer 2>/dev/null
exit 0
FINISH
  ! web_program_changed web-server || written=yes
  nginx_changed=$written

  written=no
  write_service site-installer <<RUN
#!/bin/sh
exec 2>&1
export DMHOST_SITE_LOGS="$site_logs"
$web_become"$web/site-installer" "$web"
RUN
  echo 3 | write_if_changed "$tree/site-installer/notification-fd" 644
  write_service site-logs <<RUN
#!/bin/sh
exec 2>&1
export DMHOST_SITE_LOGS="$site_logs"
$web_become"$web/site-logs" keep "$web"
RUN
  if web_program_changed site-installer || web_program_changed site-logs; then written=yes; fi
  web_helpers_changed=$written
}

# web_program_changed NAME: whether the web directory has another program of this name than the checkout.
web_program_changed() {
  ! cmp -s "$checkout/nginx/$1" "$web/$1"
}

# wait_for_site NODE URL SECONDS: 0 once URL answers 200; 1 when the time is up, having printed the last answer.
wait_for_site() {
  env -u NODE_EXTRA_CA_CERTS "$1" --input-type=module -e '
    const [url, seconds] = process.argv.slice(1);
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      let answer;
      try {
        answer = (await fetch(url, { signal: AbortSignal.timeout(5000) })).status;
      } catch (error) {
        answer = error.cause?.code ?? error.message;
      }
      if (answer === 200) process.exit(0);
      if (Date.now() > deadline) {
        console.log(answer);
        process.exit(1);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }' "$2" "$3"
}
