# bash completion for dmctl(1).
# shellcheck shell=bash

# generate dmctl
# COMMAND, what is completed after it, its options.
_dmctl_table='
status daemon --long --json
list nothing --json
top nothing --json
rescan nothing --json
scan nothing --json
start daemons --json
up daemons --json
stop daemons --json
down daemons --json
restart daemons --json
once daemons --json
pause daemons --json
continue daemons --json
exit daemons --json
scale daemon --json
log daemon --lines --all --since --grep --follow --raw --utc --tai64n
tail daemon --lines --all --since --grep --raw --utc --tai64n
edit daemon
kill signal --json
hup daemon --json
alarm daemon --json
interrupt daemon --json
term daemon --json
pid daemon --json
logfile daemon --json
configfile daemon --json
explain question --policy --utc --json
svstat daemon
tai64nlocal nothing --utc --multilog
images nothing --json
export nothing --json
health nothing --json
help command
version nothing --json
'
_dmctl_aliases='scan up down'
# Options that take a value.
_dmctl_valued='-n --lines --since --grep'
_dmctl_signals='HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN
TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'
# What the policy can be queried about.
_dmctl_verbs='status explain start stop restart once pause continue exit scale kill log tail pid logfile configfile
edit run-as host image'
# end dmctl

# _dmctl_offer WORD...: the candidates are those that begin like the current word.
_dmctl_offer() {
  local word
  for word in "$@"; do
    [[ $word != "$cur"* ]] || COMPREPLY+=("$word")
  done
}

# _dmctl_shape WORD: sets `completes` and `options` where WORD is a command; else returns 1.
_dmctl_shape() {
  local name
  while read -r name completes options; do
    [[ $name != "$1" || $name == "" ]] || return 0
  done <<<"$_dmctl_table"
  completes='' options=''
  return 1
}

# _dmctl_commands COMPLETES...: offers the commands after which one of these is completed, by their first names.
_dmctl_commands() {
  local name completes options
  while read -r name completes options; do
    [[ $name == "" || " $_dmctl_aliases " == *[[:space:]]"$name"[[:space:]]* || " $* " != *" $completes "* ]] || _dmctl_offer "$name"
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
  local cur=${COMP_WORDS[COMP_CWORD]} command='' completes='' options='' signal='' policy=no ids=() word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ " $_dmctl_valued " == *[[:space:]]"$word"[[:space:]]* ]]; then
      i=$((i + 1))
      [[ ${COMP_WORDS[i]} != = ]] || i=$((i + 1))
      continue
    fi
    case $word in
      --policy) policy=yes ;;
      --*) ;;
      -[0-9]* | -[A-Z][A-Z]*) signal=$word ;;
      -*) ;;
      *)
        if [[ $command == "" ]] && _dmctl_shape "$word"; then
          command=$word
        elif [[ $completes == signal && $signal == "" && " $_dmctl_signals " == *[[:space:]]"${word#SIG}"[[:space:]]* ]]; then
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
    [[ $completes != signal || $signal != "" ]] || _dmctl_send
  elif [[ $command == "" ]]; then
    case ${#ids[@]} in
      0)
        _dmctl_commands nothing daemon daemons signal question command
        _dmctl_daemons
        ;;
      1) _dmctl_commands daemon daemons signal question ;;
      *) _dmctl_commands daemons ;;
    esac
  else
    [[ $completes != question || $policy == no ]] || completes=ruling
    case $completes:${#ids[@]} in
      daemons:* | daemon:0 | signal:0 | question:0 | ruling:2) _dmctl_daemons ;;
      # Accounts, of which the machine knows.
      ruling:0) while read -r word; do _dmctl_offer "$word"; done < <(compgen -u) ;;
      ruling:1)
        # shellcheck disable=SC2086
        _dmctl_offer $_dmctl_verbs
        ;;
      signal:*) [[ $signal != "" ]] || _dmctl_send ;;
      command:0) _dmctl_commands nothing daemon daemons signal question command ;;
    esac
  fi
}

complete -F _dmctl dmctl
