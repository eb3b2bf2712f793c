# shellcheck shell=sh
# The demo site of Docker mode: its address, whether it answers, and the text that introduces it.

# uid, gid and home of the demo tenant in the image.
docker_demo=65081:65081
docker_demo_home=/var/lib/dmhost/demo

# Prints the published address and port of the web server, as this machine reaches it.
docker_site() {
  docker_compose port nginx 8080 </dev/null | sed -e 's/^0\.0\.0\.0:/127.0.0.1:/' -e 's/^\[::\]:/[::1]:/'
}

# Prints the status of the site's answer, if it answers. In bash: this machine may have no HTTP client.
docker_ask_site() {
  # shellcheck disable=SC2016
  timeout 10 bash -c '
    exec 3<>"/dev/tcp/$1/$2" && printf "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && read -r _ status _ <&3 &&
      echo "$status"' ask "$1" "$2" 2>/dev/null || :
}

# Waits for the demo site; ends the command if it does not answer with 200 within 60 s.
docker_await_site() {
  docker_address=$(docker_site)
  step "waiting for http://$docker_address/"
  docker_host=${docker_address%:*}
  docker_host=${docker_host#\[}
  docker_tries=0
  until docker_answer=$(docker_ask_site "${docker_host%\]}" "${docker_address##*:}") && [ "$docker_answer" = 200 ]; do
    docker_tries=$((docker_tries + 1))
    if [ "$docker_tries" -gt 120 ]; then
      docker_last_lines >&2
      fail "http://$docker_address/ does not answer with 200; its last answer: ${docker_answer:-none}" \
        "the last lines of the services' logs are above" \
        "the services still run: ./dmhost ps shows them, ./dmhost down stops them"
    fi
    sleep 0.5
  done
  step "it answers with 200"
}

# Waits for the demo site and shows it, if the policy lists its tenant.
docker_demo_site() {
  if ! policy_lists_demo "$docker_policy"; then
    no_demo "$docker_policy"
    return
  fi
  docker_await_site
  printf '\nThe demo site:   http://%s/\n' "$docker_address"
  printf 'Its daemon, as its owner %s sees it (dmctl status):\n\n' "$demo_tenant"
  docker_exec --user "$docker_demo" --env "HOME=$docker_demo_home" supervisor dmctl status || :
}

docker_introduce() {
  cat <<TEXT

Your first daemon:
  1. name its account, one of this machine, under [runs_as] in $docker_config/daemon-manager.conf, for example:  alice:
     and make it known, as root:  dmctl rescan      (an account made after this:  ./dmhost up)
  2. as alice, write ~/.daemon-manager/daemons/NAME.conf; one line is enough:  start=exec my-program
     and start it:  dmctl rescan
  Its program must be in the image, which has php-cgi, sh and perl-base. Python, all of Perl and other packages of Debian:
  name them in the file .env beside compose.yaml,  DMHOST_PACKAGES=python3 libfcgi-perl php-mysql  and run ./dmhost up again
TEXT
}
