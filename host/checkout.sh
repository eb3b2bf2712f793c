# shellcheck shell=sh
# What the checkout is worked on with and makes: packages from npm, and the programs in dist/.

# Where packages are installed and programs built. Single-user mode changes it if the checkout is not writable.
workshop=$checkout

# Whether node_modules is up to date with package-lock.json: npm writes its hidden lockfile last.
npm_packages_current() {
  [ -x "$workshop/node_modules/.bin/node" ] && [ -f "$workshop/node_modules/.package-lock.json" ] &&
    [ -z "$(find "$workshop/package-lock.json" -newer "$workshop/node_modules/.package-lock.json")" ]
}

# Installs the packages of package-lock.json, Node among them, if they are not up to date.
install_npm_packages() {
  if npm_packages_current; then
    step "packages from npm: installed already"
    return
  fi
  step "packages from npm: installing (about 150 MB)"
  run_npm_ci npm
  [ -x "$workshop/node_modules/.bin/node" ] ||
    fail "npm installed no Node for this processor ($(uname -m))" "package.json lists the supported ones under optionalDependencies"
  if packages_left_out; then
    # npm leaves out optional packages whose `engines` exclude the Node that it runs on; Debian 12's Node is too old for some.
    step "  Node $(node --version) is too old for some of them: installing again with the Node just installed"
    mkdir -p "$workshop/.cache"
    cp "$workshop/node_modules/.bin/node" "$workshop/.cache/node"
    # Only Debian's Node finds the modules of Debian's npm by default.
    run_npm_ci env NODE_PATH=/usr/share/nodejs:/usr/lib/nodejs "$workshop/.cache/node" "$(readlink -f "$(command -v npm)")"
    rm "$workshop/.cache/node"
  fi
  touch "$workshop/node_modules/.package-lock.json"
}

# run_npm_ci NPM...: runs `npm ci`, with NPM as the npm command.
run_npm_ci() {
  quietly "installing packages from npm" "$@" --prefix "$workshop" ci --no-audit --no-fund --loglevel=error
  # npm 9 (Debian's) removes .bin/node along with the package for the other processor.
  for pinned_node in "$workshop"/node_modules/node-linux-*/bin/node; do
    [ ! -x "$pinned_node" ] || [ -e "$workshop/node_modules/.bin/node" ] ||
      ln -s "../${pinned_node#"$workshop/node_modules/"}" "$workshop/node_modules/.bin/node"
  done
}

# Whether a package for this platform is missing.
packages_left_out() {
  "$workshop/node_modules/.bin/node" -e '
    const { existsSync, readFileSync } = require("node:fs");
    process.chdir(process.argv[1]);
    const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
    const left = Object.entries(packages).some(
      ([path, { os = [], cpu = [], libc = ["glibc"] }]) =>
        os.includes(process.platform) && cpu.includes(process.arch) && libc.includes("glibc") && !existsSync(path),
    );
    process.exit(left ? 0 : 1);
  ' "$workshop"
}

# Builds the shim for a supervisor that is run from its sources, if it is not up to date.
build_shim() {
  shim_program=$workshop/shim/dmhost-shim
  if [ -x "$shim_program" ] && [ -z "$(find "$workshop/shim" -maxdepth 1 \( -name '*.[ch]' -o -name build \) -newer "$shim_program")" ]; then
    step "shim: built already"
    return
  fi
  step "shim: building"
  quietly "building the shim" "$workshop/shim/build" program "$shim_program"
}

# Prints a checksum of all that the programs are built from.
sources_sum() (
  cd "$workshop" || exit
  find apps packages daemontools shim build.ts package-lock.json -name node_modules -prune -o \
    -type f ! -name '*.test.ts' ! -name dmhost-shim -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
)

# Whether dist/ is up to date with the sources.
programs_current() {
  [ -x "$workshop/dist/node" ] && [ -f "$workshop/dist/.sources" ] &&
    [ "$(cat "$workshop/dist/.sources")" = "$(sources_sum)" ]
}

# Builds dist/ if it is not up to date.
build_programs() {
  if programs_current; then
    step "programs: built already"
    return
  fi
  step "programs: building"
  quietly "building the programs" env -C "$workshop" node_modules/.bin/node build.ts
  sources_sum >"$workshop/dist/.sources"
}
