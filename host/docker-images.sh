# shellcheck shell=sh
# Builds the images of Docker mode from the checkout.

# Builds both images; unchanged steps come from the engine's cache. With DMHOST_BUILD=no uses the images that the engine has.
docker_images() {
  if [ "${DMHOST_BUILD:-}" = no ]; then
    for docker_image in $(docker_compose config --images supervisor nginx); do
      docker image inspect "$docker_image" >/dev/null 2>&1 ||
        fail "the engine has no image \"$docker_image\", and DMHOST_BUILD=no forbids building it" \
          "copy it from a machine where ./dmhost up built it:  docker save $docker_image | ssh HOST docker load"
    done
    step "images: using those of the engine (DMHOST_BUILD=no)"
    return
  fi
  "$checkout/host/base-image.sh" debian:trixie-slim || fail "cannot build the images without debian:trixie-slim" "the reason is above"
  step "images: building"
  docker_secrets=$(mktemp -d)
  trap 'rm -rf "$docker_secrets"' EXIT
  trap 'exit 130' HUP INT TERM
  for docker_ca in "${NODE_EXTRA_CA_CERTS:-}" "${SSL_CERT_FILE:-}"; do
    if [ -s "$docker_ca" ]; then
      export DMHOST_BUILD_CA="$docker_ca"
      break
    fi
  done
  docker_npm_registry >"$docker_secrets/npmrc"
  export DMHOST_BUILD_NPMRC="$docker_secrets/npmrc"
  if [ -t 1 ]; then
    docker_compose build || fail "building the images failed" "the reason is above"
  else
    quietly "building the images" docker_compose --progress plain build
  fi
  rm -rf "$docker_secrets"
  trap - EXIT HUP INT TERM
  unset DMHOST_BUILD_CA DMHOST_BUILD_NPMRC
}

# Prints the caller's npm registry and its credentials as lines of an npmrc.
docker_npm_registry() {
  grep -E '^[[:space:]]*(registry|//[^=]*)[[:space:]]*=' "${NPM_CONFIG_USERCONFIG:-$HOME/.npmrc}" 2>/dev/null || :
  docker_registry=${npm_config_registry:-${NPM_CONFIG_REGISTRY:-}}
  [ -z "$docker_registry" ] || echo "registry=$docker_registry"
}
