# shellcheck shell=sh
# The images of docker mode: made from the checkout, on a base image that is made as well where it cannot be pulled.

# Makes both images from the checkout as it is; what has not changed comes out of the engine's cache.
docker_images() {
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

# The caller's npm registry, with what is needed to log in there, as lines of an npmrc.
docker_npm_registry() {
  grep -E '^[[:space:]]*(registry|//[^=]*)[[:space:]]*=' "${NPM_CONFIG_USERCONFIG:-$HOME/.npmrc}" 2>/dev/null || :
  docker_registry=${npm_config_registry:-${NPM_CONFIG_REGISTRY:-}}
  [ -z "$docker_registry" ] || echo "registry=$docker_registry"
}
