# fish completion for dmctl(1).

# COMMAND|what it takes|its options|what it does
set -g __dmctl_table \
    'status|optional|--long --json|state, process and times' \
    'list|none|--json|ids of the daemons that you may control' \
    'top|none|--json|what daemons use of the machine' \
    'rescan|none|--json|load new and changed files' \
    'scan|none|--json|load new and changed files' \
    'start|many|--json|start it and wait until it runs' \
    'up|many|--json|start it and wait until it runs' \
    'stop|many|--json|stop it with all its processes' \
    'down|many|--json|stop it with all its processes' \
    'restart|many|--json|stop it, then start it' \
    'once|many|--json|start it, and not again when it ends' \
    'pause|many|--json|hold its processes' \
    'continue|many|--json|let paused processes go on' \
    'exit|many|--json|stop it and forget it until the next rescan' \
    'scale|sized|--json|change the number of its processes' \
    'log|one|--lines --all --since --grep --follow --raw --utc --tai64n|its log' \
    'tail|one|--lines --all --since --grep --raw --utc --tai64n|the end of its log and what comes' \
    'edit|one||edit its file' \
    'kill|signal||send it a signal' \
    'hup|one||send it HUP' \
    'alarm|one||send it ALRM' \
    'interrupt|one||send it INT' \
    'term|one||send it TERM' \
    'pid|one|--json|its process id' \
    'logfile|one|--json|the path of its log' \
    'configfile|one|--json|the path of its file' \
    'explain|question|--policy --utc --json|why it is in its state' \
    'svstat|one||one line, as svstat prints it' \
    'tai64nlocal|none|--utc --multilog|labels as local time' \
    'export|none|--json|the whole state, for root' \
    'health|none|--json|the supervisor itself' \
    'help|command||explain dmctl or a command' \
    'version|none||the version of dmctl'
set -g __dmctl_signals HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP \
    TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
# What can be asked of the policy.
set -g __dmctl_verbs status explain start stop restart once pause continue exit scale kill log tail pid logfile configfile edit run-as host

# The row of a command; nothing for what is no command.
function __dmctl_row
    string match -- "$argv[1]|*" $__dmctl_table
end

# __dmctl_commands TAKES...: the commands that take one of these, with what they do.
function __dmctl_commands
    for row in $__dmctl_table
        set -l field (string split '|' -- $row)
        if contains -- $field[2] $argv; and not contains -- $field[1] scan up down
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
    set -l does '--json|print JSON' '--long|tell the reason of every state' '--lines|begin with the last N lines' \
        '--all|begin with the oldest rotated file' '--since|begin at a time, or that long ago' \
        '--grep|only lines that match' '--tai64n|stamps as they are' \
        '--follow|go on showing what comes' '--raw|byte for byte' '--utc|times in UTC' '--multilog|labels of multilog' '--policy|ask what the policy allows' '--help|explain it' \
        '--version|the version of dmctl'
    for name in $argv
        string match -- "$name|*" $does | string replace '|' \t
    end
end

function __dmctl_candidates
    set -l word (commandline -ct)
    set -l before (commandline -opc)
    set -l command
    set -l takes
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
        switch $each
            case -n --lines --since --grep
                set skip yes
            case --policy
                set policy yes
            case '--*'
            case '-*'
                string match -qr '^-([0-9]+|[A-Z][A-Z0-9]+)$' -- $each; and set signal $each
            case '*'
                set -l row (string split '|' -- (__dmctl_row $each))
                if test -z "$command"; and set -q row[1]
                    set command $each
                    set takes $row[2]
                    set options (string split -n ' ' -- $row[3])
                else if test "$takes" = signal; and test -z "$signal"
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
        test -z "$command"; and test (count $ids) -eq 0; and set options --long --json --version
        __dmctl_options $options --help
        test "$takes" = signal; and test -z "$signal"; and __dmctl_send $word
    else if test -z "$command"
        switch (count $ids)
            case 0
                __dmctl_commands none optional one many signal question sized command
                __dmctl_daemons "$word" $ids
            case 1
                __dmctl_commands optional one many signal question sized
            case '*'
                __dmctl_commands many
        end
    else
        test "$takes" = question; and test $policy = yes; and set takes ruling
        switch $takes:(count $ids)
            case 'many:*' optional:0 one:0 signal:0 question:0 sized:0 ruling:2
                __dmctl_daemons "$word" $ids
            case ruling:0
                __fish_complete_users
            case ruling:1
                printf '%s\n' $__dmctl_verbs
            case 'signal:*'
                test -z "$signal"; and __dmctl_send $word
            case command:0
                __dmctl_commands none optional one many signal question sized command
        end
    end
end

complete -c dmctl -f -a '(__dmctl_candidates)'
