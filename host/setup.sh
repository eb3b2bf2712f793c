# shellcheck shell=sh
# `./dmhost setup`: a checkout that can be worked on.

# Installs what working on the sources takes, and nothing of what running the appliance takes.
set_up() {
  # shellcheck disable=SC2086
  need_programs $building_programs
  install_npm_packages
  build_shim
  step "Node $("$checkout/node_modules/.bin/node" --version) and all tools are in node_modules/.bin; put it on your PATH:"
  # shellcheck disable=SC2016 # the reader's shell expands $PATH
  printf '\n    export PATH="%s/node_modules/.bin:$PATH"\n\n' "$checkout"
}
