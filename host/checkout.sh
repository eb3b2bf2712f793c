# shellcheck shell=sh
# The checkout's own products: packages from npm, and the programs built into dist/.

# Where packages are installed and programs built; single-user mode moves it when the checkout is not writable.
workshop=$checkout

# Whether node_modules is what package-lock.json asks for: npm writes its hidden lockfile last.
npm_packages_current() {
  [ -x "$workshop/node_modules/.bin/node" ] && [ -f "$workshop/node_modules/.package-lock.json" ] &&
    [ -z "$(find "$workshop/package-lock.json" -newer "$workshop/node_modules/.package-lock.json")" ]
}

# Installs what package-lock.json names, Node itself included, where it is not there already.
install_npm_packages() {
  if npm_packages_current; then
    step "packages from npm: all here"
    return
  fi
  step "packages from npm: installing (about 150 MB)"
  quietly "installing packages from npm" npm --prefix "$workshop" ci --no-audit --no-fund --loglevel=error
  # npm 9 (Debian's) drops this link again together with that of the other processor's package.
  for pinned_node in "$workshop"/node_modules/node-linux-*/bin/node; do
    [ -e "$workshop/node_modules/.bin/node" ] ||
      ln -s "../${pinned_node#"$workshop/node_modules/"}" "$workshop/node_modules/.bin/node"
  done
  touch "$workshop/node_modules/.package-lock.json"
}

# One word that changes whenever the built programs would.
sources_sum() (
  cd "$workshop" || exit
  find apps build.ts package-lock.json -name node_modules -prune -o -type f ! -name '*.test.ts' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
)

# Whether dist/ was built from the sources as they are now.
programs_current() {
  [ -x "$workshop/dist/node" ] && [ -f "$workshop/dist/.sources" ] &&
    [ "$(cat "$workshop/dist/.sources")" = "$(sources_sum)" ]
}

# Builds dist/ where it is not what the sources make.
build_programs() {
  if programs_current; then
    step "programs: built already"
    return
  fi
  step "programs: building"
  quietly "building the programs" env -C "$workshop" node_modules/.bin/node build.ts
  sources_sum >"$workshop/dist/.sources"
}
