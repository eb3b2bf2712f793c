# shellcheck shell=sh
# The demo site of native and Docker mode: its account, and whether the policy wants it.

demo_tenant=dmhost-demo

# policy_lists_demo FILE: whether [runs_as] of the policy lists the demo tenant as an owner.
policy_lists_demo() {
  awk -v name="$demo_tenant" '
    { sub(/#.*/, "") }
    /\[/ { inside = $0 ~ /\[[ \t]*(can_)?run(s)?_as[ \t]*\]/ }
    inside { sub(/:.*/, ""); gsub(/[ \t]/, ""); if ($0 == name) found = 1 }
    END { exit !found }' "$1"
}

# no_demo FILE: says that the policy does not list the demo tenant.
no_demo() {
  step "no demo site: $1 does not list its tenant; to run it, add under [runs_as] the line  $demo_tenant:"
}
