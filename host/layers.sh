# shellcheck shell=sh
# `./dmhost test`: runs the layers, cheapest first, each after installing what it needs, and prints a summary.
# A layer's result is one line in `results`: NAME PASSED FAILED SKIPPED SECONDS REASON...

all_layers="check unit shim system appliance vm"

# run_layers [LAYER...]: exit code 0 if nothing failed. The last line printed is `N passed, N failed, N skipped`.
run_layers() {
  chosen_layers=""
  for layer in "$@"; do
    case " $all_layers " in
      *" $layer "*) chosen_layers="$chosen_layers $layer" ;;
      *) usage "there is no test layer \"$layer\": expected one of $all_layers" ;;
    esac
  done
  results=$(mktemp -d)
  : >"$results/table"
  # A subshell, so that an error ends the preparation and not the summary.
  set +e
  (set -e; prepare_layers)
  prepared=$?
  set -e
  if [ "$prepared" -ne 0 ]; then
    echo "preparation 0 1 0 $(layer_seconds) npm, libatomic1, gcc or the packages from npm could not be installed, or the shim not be built" >>"$results/table"
  else
    PATH=$checkout/node_modules/.bin:$PATH
    for layer in $all_layers; do
      case " ${chosen_layers:-$all_layers} " in *" $layer "*) run_layer "$layer" ;; esac
    done
  fi
  sum_up
}

# Whole seconds since this command began.
layer_seconds() {
  echo $((($(clock) - began) / 100))
}

# Installs what every layer needs.
prepare_layers() {
  # shellcheck disable=SC2086
  need_programs $building_programs
  install_npm_packages
  build_shim
}

# layer_needs PROGRAM...: installs what is missing; a failed installation fails this layer alone.
layer_needs() {
  (need_programs "$@") || {
    note_result 0 1 0 "missing packages: $(missing_packages "$@")"
    return 1
  }
}

# run_layer NAME: runs the layer unless DMHOST_TEST_SKIP names it, and records the result.
run_layer() {
  layer_name=$1
  layer_began=$(layer_seconds)
  case ",$(echo "${DMHOST_TEST_SKIP:-}" | tr -d ' ')," in
    *,"$layer_name",*) note_result 0 0 1 "skipped: DMHOST_TEST_SKIP names it" ;;
    *)
      step "layer $layer_name"
      "layer_$layer_name"
      ;;
  esac
}

note_result() {
  note_counts="$1 $2 $3"
  shift 3
  echo "$layer_name $note_counts $(($(layer_seconds) - layer_began)) $*" >>"$results/table"
}

# cannot_run_layer REASON...: records the layer as skipped; with CI=true as failed.
cannot_run_layer() {
  step "layer $layer_name cannot run here: $*"
  case ${CI:-} in
    true | 1) note_result 0 1 0 "cannot run here: $*; with CI=true only layers that DMHOST_TEST_SKIP names may be skipped" ;;
    *) note_result 0 0 1 "skipped: $*" ;;
  esac
}

layer_check() {
  # shellcheck disable=SC2086
  layer_needs $check_programs || return 0
  "$checkout/host/check.sh" "$results/check" || :
  if read -r check_passed check_failed check_names <"$results/check"; then
    note_result "$check_passed" "$check_failed" 0 "${check_names:+failed: $check_names}"
  else
    note_result 0 1 0 "host/check.sh ended without a report"
  fi
}

# With coverage, which must reach the thresholds in vitest.config.ts.
layer_unit() {
  run_vitest unit --coverage
}

# How long the fuzzer runs, in seconds.
fuzz_seconds=60

# Beyond what check does: the shim has no warning of clang's analyzer, is built for the other architecture, and survives its fuzzer.
layer_shim() {
  # shellcheck disable=SC2086
  layer_needs $shim_programs || return 0
  shim_passed=0
  shim_failures=""
  for shim_part in analysis arm64 fuzzer; do
    step "  $shim_part"
    if "shim_$shim_part" "$results/shim-$shim_part"; then
      shim_passed=$((shim_passed + 1))
    else
      shim_failures="$shim_failures $shim_part"
    fi
  done
  # shellcheck disable=SC2086
  note_result "$shim_passed" "$(echo $shim_failures | wc -w)" 0 "${shim_failures:+failed:$shim_failures}"
}

shim_analysis() {
  "$checkout/shim/build" analysis "$1"
}

shim_arm64() {
  CC=aarch64-linux-gnu-gcc "$checkout/shim/build" program "$1"
}

# The input that broke it stays in .cache/.
shim_fuzzer() {
  "$checkout/shim/build" fuzz "$1" || return 1
  mkdir -p "$checkout/.cache" "$1-corpus"
  "$1" -max_total_time="$fuzz_seconds" -artifact_prefix="$checkout/.cache/shim-" "$1-corpus" 2>"$1-log" || {
    tail -n 40 "$1-log" >&2
    return 1
  }
  tail -n 1 "$1-log"
}

layer_system() {
  if [ "$(id -u)" -ne 0 ]; then
    cannot_run_layer "it makes accounts, which needs root"
    return
  fi
  # shellcheck disable=SC2086
  layer_needs $appliance_programs $manual_programs $shell_programs || return 0
  # shellcheck disable=SC2086
  if ! (need_packages $tenant_packages); then
    note_result 0 1 0 "the packages that tenants run in the tests could not be installed"
    return
  fi
  # Some tests run the built programs. In a subshell: a failed build must not end the other layers.
  if ! (build_programs); then
    note_result 0 1 0 "the programs could not be built"
    return
  fi
  run_vitest system
}

layer_appliance() {
  # shellcheck disable=SC2086
  if [ "$(id -u)" -eq 0 ] && ! (need_packages $jailed_packages); then
    note_result 0 1 0 "missing packages: $jailed_packages"
    return
  fi
  # An engine that was started for tests before must not be stopped.
  engine_before=$(cat /run/dmhost-test-engine/docker.pid 2>/dev/null) || :
  engine_status=0
  engine=$("$checkout/host/test-engine.sh" start 2>"$results/engine") || engine_status=$?
  cat "$results/engine"
  case $engine_status in
    0) ;;
    75)
      cannot_run_layer "$(tail -n 1 "$results/engine")"
      return
      ;;
    *)
      note_result 0 1 0 "no Docker engine could be started: $(tail -n 1 "$results/engine")"
      return
      ;;
  esac
  (
    export DOCKER_HOST="$engine"
    run_vitest appliance
  )
  [ -n "$engine_before" ] || "$checkout/host/test-engine.sh" stop || step "  the engine for the tests did not stop"
}

layer_vm() {
  machine_status=0
  "$checkout/host/test-machine.sh" "$results" 2>"$results/machine" || machine_status=$?
  cat "$results/machine" >&2
  case $machine_status in
    75) cannot_run_layer "$(tail -n 1 "$results/machine")" ;;
    0) note_report "$results/vm.json" "$(cat "$results/vm.status")" ;;
    *) note_result 0 1 0 "the virtual machine could not be made or gave no report: $(tail -n 1 "$results/machine")" ;;
  esac
}

# run_vitest PROJECT [FLAG...]: records the result. A project without a test fails, and so does a file that cannot be loaded.
run_vitest() {
  vitest_report=$results/$1.json
  vitest_status=0
  vitest run --project "$@" --reporter=default --reporter=json --outputFile.json="$vitest_report" || vitest_status=$?
  note_report "$vitest_report" "$vitest_status"
}

# note_report REPORT STATUS: records the result of Vitest's JSON report and exit code.
note_report() {
  vitest_result=$(node -p '
    const report = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
    const unloaded = report.testResults.filter(
      (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
    ).length;
    const none = report.numPassedTests + report.numFailedTests === 0;
    const failed = report.numFailedTests + unloaded || (none || process.argv[2] !== "0" ? 1 : 0);
    const skipped = report.numPendingTests + report.numTodoTests;
    const why = none
      ? "no test was executed"
      : failed === 1 && report.numFailedTests + unloaded === 0
        ? "all tests passed, but Vitest ended with " + process.argv[2] + ": coverage below its floor, or an error outside of tests"
        : "";
    [report.numPassedTests, failed, skipped, why].join(" ");
  ' "$1" "$2" 2>/dev/null) || vitest_result="0 1 0 Vitest ended with $2 and without a report"
  # shellcheck disable=SC2086
  note_result $vitest_result
}

# Prints the table and the last line; returns 1 if something failed.
sum_up() {
  printf '\n'
  awk '
    BEGIN { row = "%-12s %7s %7s %8s %8s"; printf row "\n", "layer", "passed", "failed", "skipped", "seconds" }
    {
      passed += $2; failed += $3; skipped += $4
      printf row, $1, $2, $3, $4, $5
      sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+ ?/, "")
      print $0 == "" ? "" : "  " $0
    }
    END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }' "$results/table" &&
    sum_status=0 || sum_status=1
  rm -rf "$results"
  return "$sum_status"
}
