# bash completion for dmctl(1).
# shellcheck shell=bash

# COMMAND, what it takes, its options.
_dmctl_table='
status optional --long --json
list none --json
top none --json
rescan none --json
scan none --json
start many --json
up many --json
stop many --json
down many --json
restart many --json
once many --json
pause many --json
continue many --json
exit many --json
scale sized --json
log one --lines --all --since --grep --follow --raw --utc --tai64n
tail one --lines --all --since --grep --raw --utc --tai64n
edit one
kill signal
hup one
alarm one
interrupt one
term one
pid one --json
logfile one --json
configfile one --json
explain question --policy --utc --json
svstat one
tai64nlocal none --utc --multilog
export none --json
health none --json
help command
version none
'
_dmctl_signals='HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN
TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'
# What can be asked of the policy.
_dmctl_verbs='status explain start stop restart once pause continue exit scale kill log tail pid logfile configfile edit run-as host'

# _dmctl_offer WORD...: those that begin as the current word does are candidates.
_dmctl_offer() {
  local word
  for word in "$@"; do
    [[ $word != "$cur"* ]] || COMPREPLY+=("$word")
  done
}

# _dmctl_shape WORD: sets `takes` and `options` where WORD is a command; else returns 1.
_dmctl_shape() {
  local name
  while read -r name takes options; do
    [[ $name != "$1" || $name == "" ]] || return 0
  done <<<"$_dmctl_table"
  takes='' options=''
  return 1
}

# _dmctl_commands TAKES...: offers the commands that take one of these, by their first names.
_dmctl_commands() {
  local name takes options
  while read -r name takes options; do
    [[ $name == "" || $name =~ ^(scan|up|down)$ || " $* " != *" $takes "* ]] || _dmctl_offer "$name"
  done <<<"$_dmctl_table"
}

# Offers ids that are not given yet, and, once something is typed, names that one owner alone has.
_dmctl_daemons() {
  local id name given=" ${ids[*]} " all=()
  local -A owners=()
  while read -r id; do
    [[ $id =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$ ]] || continue
    all+=("$id")
    owners[${id#*/}]+=x
  done < <(timeout 2 dmctl list 2>/dev/null </dev/null)
  for id in "${all[@]}"; do
    name=${id#*/}
    [[ $given != *" $id "* ]] || continue
    _dmctl_offer "$id"
    [[ $cur == "" || ${owners[$name]} != x || $given == *" $name "* ]] || _dmctl_offer "$name"
  done
}

_dmctl_send() {
  local name prefix=-
  [[ $cur == "" || $cur == -* ]] || prefix=''
  [[ $cur != "$prefix"SIG* ]] || prefix+=SIG
  for name in $_dmctl_signals; do _dmctl_offer "$prefix$name"; done
}

_dmctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} command='' takes='' options='' signal='' policy=no ids=() word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      -n | --lines | --since | --grep)
        i=$((i + 1))
        [[ ${COMP_WORDS[i]} != = ]] || i=$((i + 1))
        ;;
      --policy) policy=yes ;;
      --*) ;;
      -[0-9]* | -[A-Z][A-Z]*) signal=$word ;;
      -*) ;;
      *)
        if [[ $command == "" ]] && _dmctl_shape "$word"; then
          command=$word
        elif [[ $takes == signal && $signal == "" && " $_dmctl_signals " == *[[:space:]]"${word#SIG}"[[:space:]]* ]]; then
          signal=$word
        else
          ids+=("$word")
        fi
        ;;
    esac
  done
  # The current word is the value of an option.
  ((i <= COMP_CWORD)) || return 0

  if [[ $cur == -* ]]; then
    if [[ $command == "" && ${#ids[@]} -eq 0 ]]; then
      _dmctl_shape status
      options+=' --version'
    fi
    # shellcheck disable=SC2086
    _dmctl_offer $options --help
    [[ $takes != signal || $signal != "" ]] || _dmctl_send
  elif [[ $command == "" ]]; then
    case ${#ids[@]} in
      0)
        _dmctl_commands none optional one many signal question sized command
        _dmctl_daemons
        ;;
      1) _dmctl_commands optional one many signal question sized ;;
      *) _dmctl_commands many ;;
    esac
  else
    [[ $takes != question || $policy == no ]] || takes=ruling
    case $takes:${#ids[@]} in
      many:* | optional:0 | one:0 | signal:0 | question:0 | sized:0 | ruling:2) _dmctl_daemons ;;
      # Accounts, of which the machine knows.
      ruling:0) while read -r word; do _dmctl_offer "$word"; done < <(compgen -u) ;;
      ruling:1)
        # shellcheck disable=SC2086
        _dmctl_offer $_dmctl_verbs
        ;;
      signal:*) [[ $signal != "" ]] || _dmctl_send ;;
      command:0) _dmctl_commands none optional one many signal question sized command ;;
    esac
  fi
}

complete -F _dmctl dmctl
