# shellcheck shell=sh
# `./dmhost test`: installs what the tests need, runs the layers, cheapest first, and sums them up.
# A layer's result is one line in `results`: NAME PASSED FAILED SKIPPED SECONDS REASON...

all_layers="check unit system appliance vm"

# run_layers [LAYER...]: exit code 0 when nothing failed. The last line printed is `N passed, N failed, N skipped`.
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
  # A subshell that ends on the first error, whose end does not end this one.
  set +e
  (set -e; prepare_layers)
  prepared=$?
  set -e
  if [ "$prepared" -ne 0 ]; then
    echo "preparation 0 1 0 $(layer_seconds) what the tests need could not be installed" >>"$results/table"
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

# What every layer needs; the rest is each layer's own.
prepare_layers() {
  # shellcheck disable=SC2086
  need_programs $building_programs
  install_npm_packages
}

# layer_needs PROGRAM...: installs what is missing. Where that fails, it is the layer's failure, and not that of the others.
layer_needs() {
  (need_programs "$@") || {
    note_result 0 1 0 "what the layer needs is missing and could not be installed: $(missing_packages "$@")"
    return 1
  }
}

# run_layer NAME: runs it unless it is to be skipped, and notes the result.
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

# The machine cannot run this layer; where nothing may be left out, that is a failure.
cannot_run_layer() {
  step "layer $layer_name cannot run here: $*"
  case ${CI:-} in
    true | 1) note_result 0 1 0 "cannot run here: $*; CI=true allows that only to layers that DMHOST_TEST_SKIP names" ;;
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

# With the coverage, whose floor vitest.config.ts has.
layer_unit() {
  run_vitest unit --coverage
}

layer_system() {
  if [ "$(id -u)" -ne 0 ]; then
    cannot_run_layer "it makes accounts, which needs root"
    return
  fi
  # shellcheck disable=SC2086
  layer_needs $appliance_programs $jail_programs $manual_programs $shell_programs || return 0
  # shellcheck disable=SC2086
  if ! (need_packages $tenant_packages); then
    note_result 0 1 0 "what tenants run in the tests could not be installed"
    return
  fi
  # What ships is tested too. In a subshell: a failed build ends that, not the other layers.
  if ! (build_programs); then
    note_result 0 1 0 "the programs could not be built"
    return
  fi
  run_vitest system
}

layer_appliance() {
  # An engine that somebody started for tests before is left to them.
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

# run_vitest PROJECT [FLAG...]: a project in which no test ran is a failure, and so is a file that could not be loaded.
run_vitest() {
  vitest_report=$results/$1.json
  vitest_status=0
  vitest run --project "$@" --reporter=default --reporter=json --outputFile.json="$vitest_report" || vitest_status=$?
  note_report "$vitest_report" "$vitest_status"
}

# note_report REPORT STATUS: notes the result that Vitest's report and exit code tell.
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

# Prints the table and the last line; returns 1 when something failed.
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
