# fish completion for dmctl(1).

# generate dmctl
# COMMAND|what is completed after it|its options|what it does
set -g __dmctl_table \
    'status|daemon|--long --json|show state, process and times of all daemons, or of one' \
    'list|nothing|--json|print the ids of the daemons that you may control' \
    'top|nothing|--json|show the resource usage of daemons, the busiest first' \
    'rescan|nothing|--json|load new and changed files, and start new daemons' \
    'scan|nothing|--json|load new and changed files, and start new daemons' \
    'start|daemons|--json|start daemons and wait until they run' \
    'up|daemons|--json|start daemons and wait until they run' \
    'stop|daemons|--json|stop daemons with all their processes, and wait until they are gone' \
    'down|daemons|--json|stop daemons with all their processes, and wait until they are gone' \
    'restart|daemons|--json|replace the processes of daemons' \
    'once|daemons|--json|start daemons, and do not start them again when they end' \
    'pause|daemons|--json|suspend the processes of daemons by SIGSTOP' \
    'continue|daemons|--json|resume paused daemons' \
    'exit|daemons|--json|stop daemons and forget them until the next rescan' \
    'scale|daemon|--json|change the number of processes of a daemon' \
    'log|daemon|--lines --all --since --grep --follow --raw --utc --tai64n|show the log of a daemon, through a pager on a terminal' \
    'tail|daemon|--lines --all --since --grep --raw --utc --tai64n|show the last 10 lines of a log, and new lines until Ctrl-C' \
    'edit|daemon||edit the conf file of a daemon, or create one' \
    'kill|signal|--json|send a signal to the main process of a daemon, KILL by default' \
    'hup|daemon|--json|send HUP to the main process of a daemon' \
    'alarm|daemon|--json|send ALRM to the main process of a daemon' \
    'interrupt|daemon|--json|send INT to the main process of a daemon' \
    'term|daemon|--json|send TERM to the main process of a daemon' \
    'pid|daemon|--json|print the process id of a daemon' \
    'logfile|daemon|--json|print the path of the log of a daemon' \
    'configfile|daemon|--json|print the path of the conf file of a daemon' \
    'explain|question|--policy --utc --json|explain why a daemon is in its state, and what to do' \
    'svstat|daemon||print the state of a daemon on one line, as svstat does' \
    'tai64nlocal|nothing|--utc --multilog|copy standard input, with local time in place of TAI64N stamps' \
    'images|nothing|--json|list the images of containers, or accept one that has moved' \
    'export|nothing|--json|print the whole state as JSON, for root' \
    'health|nothing|--json|show version, process, uptime, containment and shim of the supervisor' \
    'help|command||show all commands, or explain one' \
    'version|nothing|--json|print the version of dmctl'
set -g __dmctl_aliases scan up down
# Options that take a value.
set -g __dmctl_valued -n --lines --since --grep
set -g __dmctl_signals HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP \
    TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
# What the policy can be queried about.
set -g __dmctl_verbs status explain start stop restart once pause continue exit scale kill log tail pid logfile \
    configfile edit run-as host image
set -g __dmctl_option_does \
    '--json|print JSON, errors included' \
    '--long|show the reason of every state' \
    '--lines|begin with the last N lines' \
    '--follow|wait for new lines and show them' \
    '--raw|copy the log byte for byte' \
    '--utc|show times in UTC' \
    '--multilog|read the labels of multilog, which counts no leap seconds' \
    '--tai64n|show stamps as they are in the log' \
    '--all|begin with the oldest rotated file' \
    '--since|begin at a time, or that long ago' \
    '--grep|show only lines that match' \
    '--policy|ask what the policy allows' \
    '--help|explain dmctl or the command' \
    '--version|print the version of dmctl'
# end dmctl

# The row of a command; nothing for what is no command.
function __dmctl_row
    string match -- "$argv[1]|*" $__dmctl_table
end

# __dmctl_commands COMPLETES...: the commands after which one of these is completed, with what they do.
function __dmctl_commands
    for row in $__dmctl_table
        set -l field (string split '|' -- $row)
        if contains -- $field[2] $argv; and not contains -- $field[1] $__dmctl_aliases
            printf '%s\t%s\n' $field[1] $field[4]
        end
    end
end

# __dmctl_daemons WORD GIVEN...: ids that are not given yet, and, once something is typed, names that one owner alone has.
function __dmctl_daemons
    set -l word $argv[1]
    set -l given $argv[2..]
    set -l ids (timeout 2 dmctl list 2>/dev/null </dev/null |
        string match -r '^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$')
    set -l names (string replace -r '.*/' '' -- $ids)
    for id in $ids
        contains -- $id $given; and continue
        printf '%s\tdaemon\n' $id
        set -l name (string replace -r '.*/' '' -- $id)
        if test -n "$word"; and not contains -- $name $given; and test (count (string match -- $name $names)) -eq 1
            printf '%s\tdaemon\n' $name
        end
    end
end

# __dmctl_send WORD: the signals in the spelling that the word begins.
function __dmctl_send
    set -l prefix -
    string match -qr '^[^-]' -- $argv[1]; and set prefix ''
    string match -q -- "$prefix"'SIG*' $argv[1]; and set prefix "$prefix"SIG
    printf '%s\tsignal\n' $prefix$__dmctl_signals
end

# __dmctl_options NAME...: options with what they do.
function __dmctl_options
    for name in $argv
        string match -- "$name|*" $__dmctl_option_does | string replace '|' \t
    end
end

function __dmctl_candidates
    set -l word (commandline -ct)
    set -l before (commandline -opc)
    set -l command
    set -l completes
    set -l options
    set -l signal
    set -l ids
    set -l policy no
    set -l skip no
    for each in $before[2..]
        if test $skip = yes
            set skip no
            continue
        end
        if contains -- $each $__dmctl_valued
            set skip yes
            continue
        end
        switch $each
            case --policy
                set policy yes
            case '--*'
            case '-*'
                string match -qr '^-([0-9]+|[A-Z][A-Z0-9]+)$' -- $each; and set signal $each
            case '*'
                set -l row (string split '|' -- (__dmctl_row $each))
                if test -z "$command"; and set -q row[1]
                    set command $each
                    set completes $row[2]
                    set options (string split -n ' ' -- $row[3])
                else if test "$completes" = signal; and test -z "$signal"
                    and contains -- (string replace -r '^SIG' '' -- $each) $__dmctl_signals
                    set signal $each
                else
                    set -a ids $each
                end
        end
    end
    # The current word is the value of an option.
    test $skip = yes; and return

    if string match -q -- '-*' $word
        test -z "$command"; and test (count $ids) -eq 0; and set options (string split -n ' ' -- (string split '|' -- $__dmctl_table[1])[3]) --version
        __dmctl_options $options --help
        test "$completes" = signal; and test -z "$signal"; and __dmctl_send $word
    else if test -z "$command"
        switch (count $ids)
            case 0
                __dmctl_commands nothing daemon daemons signal question command
                __dmctl_daemons "$word" $ids
            case 1
                __dmctl_commands daemon daemons signal question
            case '*'
                __dmctl_commands daemons
        end
    else
        test "$completes" = question; and test $policy = yes; and set completes ruling
        switch $completes:(count $ids)
            case 'daemons:*' daemon:0 signal:0 question:0 ruling:2
                __dmctl_daemons "$word" $ids
            case ruling:0
                __fish_complete_users
            case ruling:1
                printf '%s\n' $__dmctl_verbs
            case 'signal:*'
                test -z "$signal"; and __dmctl_send $word
            case command:0
                __dmctl_commands nothing daemon daemons signal question command
        end
    end
end

complete -c dmctl -f -a '(__dmctl_candidates)'
