# shellcheck shell=sh
# Links the programs of daemontools/ as commands beside dmctl. The mode sets `programs` and `command_dir`.
: "${programs=}" "${command_dir=}"

# Links them, except those whose name another program on the PATH has, such as Debian's daemontools.
link_tools() {
  tools_linked=""
  tools_passed=""
  for tools_link in "$command_dir"/*; do
    case $(readlink "$tools_link") in "$programs"/daemontools/*) [ -e "$tools_link" ] || rm -f "$tools_link" ;; esac
  done
  for tools_program in "$programs"/daemontools/*; do
    tools_name=${tools_program##*/}
    [ "$tools_name" != service-id ] || continue
    tools_link=$command_dir/$tools_name
    if tools_other=$(other_program "$tools_name"); then
      tools_passed="$tools_passed $tools_other"
      [ "$(readlink "$tools_link")" != "$tools_program" ] || rm -f "$tools_link"
    elif [ -L "$tools_link" ] || [ -e "$tools_link" ]; then
      [ "$(readlink "$tools_link")" = "$tools_program" ] || tools_passed="$tools_passed $tools_link"
    else
      ln -s "$tools_program" "$tools_link"
      tools_linked="$tools_linked $tools_name"
    fi
  done
  step "commands of daemontools: ${tools_linked:+linked in $command_dir:}${tools_linked:-linked already}"
  [ -z "$tools_passed" ] || step "  not linked, because these programs have the same names:$tools_passed"
}

# other_program NAME: prints the path of the first such program on the PATH outside of `command_dir`; fails if there is none.
other_program() {
  other_path=$PATH:
  other_own=$(readlink -f "$command_dir")
  while [ -n "$other_path" ]; do
    other_directory=${other_path%%:*}
    other_path=${other_path#*:}
    [ "$(readlink -f "$other_directory")" != "$other_own" ] || continue
    if [ -f "$other_directory/$1" ] && [ -x "$other_directory/$1" ]; then
      printf '%s\n' "$other_directory/$1"
      return 0
    fi
  done
  return 1
}
