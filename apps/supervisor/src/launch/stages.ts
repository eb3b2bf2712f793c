/**
 * The stages of a launch chain that are scripts; plan.ts orders them. Each takes its arguments, does one thing and
 * executes the program that the rest of its arguments name. A stage that fails writes the reason and then its name on
 * descriptor 3.
 */

/** Exit code of a chain that fails before the daemon's shell takes over. */
export const LAUNCH_FAILED = 111;

/** No name of a tenant's variable may begin like this. */
const RESERVED = "DMHOST_VAR";
/** Environment prefix of a tenant's variables, until no stage is left that could obey them. */
export const PREFIX = `${RESERVED}_`;
/** Variable with the names of the prefixed ones. */
export const PREFIXED = `${RESERVED}S`;

/** Waits for the go signal: the beginning of the first stage that runs as the account. */
export const AWAIT_GO = `read -r go <&4 || exit ${LAUNCH_FAILED}
unset go
`;

/** Begins a line on descriptor 3 that names what the stage waits for; alone on a line it ends the wait. */
export const NOTICE = "~";

/** Fails the stage whose name is in `stage`. */
const FAIL = `fail() { printf '%s\\n%s\\n' "$1" "$stage" >&3; exit ${LAUNCH_FAILED}; }`;

/** Descriptor of a logger's chain that becomes the logger's standard error. */
export const LOGGER_STDERR = 8;

/** $1 cgroup directory or empty, $2 nice value or empty. Descriptor 5 keeps the standard error while 2 is the report. */
const asRoot = (keep: string): string => `exec ${keep} 2>&3
if [ -n "$1" ] && ! echo 0 >"$1/cgroup.procs"; then echo 'joining cgroup' >&3; exit ${LAUNCH_FAILED}; fi
if [ -n "$2" ] && ! /usr/bin/renice -n "$2" -p $$ >/dev/null; then echo "setting nice $2" >&3; exit ${LAUNCH_FAILED}; fi
shift 2
exec "$@"`;
export const AS_ROOT = asRoot("5>&2");
/** The same for a logger, whose standard error is not the log. */
export const AS_ROOT_FOR_LOGGER = asRoot(`5>&${LOGGER_STDERR} ${LOGGER_STDERR}>&-`);

/** Descriptor that holds a daemon's lock. */
export const LOCK_DESCRIPTOR = 9;

/**
 * $1 file. The daemon inherits the descriptor of the locked file, as with setlock. A short wait, for a process that is just
 * ending, is not reported.
 */
export const TAKE_LOCK = `stage="locking $1"
${FAIL}
umask 077
[ ! -d "$1" ] || fail 'is a directory'
if ! true ${LOCK_DESCRIPTOR}<>"$1"; then printf '%s\\n' "$stage" >&3; exit ${LAUNCH_FAILED}; fi
exec ${LOCK_DESCRIPTOR}<>"$1"
if ! /usr/bin/flock --wait 0.2 ${LOCK_DESCRIPTOR}; then
  printf '%s\\n' "${NOTICE}waits for the lock $1" >&3
  /usr/bin/flock ${LOCK_DESCRIPTOR} || fail 'cannot be locked'
  echo '${NOTICE}' >&3
fi
shift
exec "$@"`;

/** Bytes of a file of variables, and of a value, at most. */
export const LARGEST = 65_536;
/** Files of an env-dir, and variables of both sources, at most. */
export const MOST = 1_000;
/** Time limit of reading, in seconds. */
export const LONGEST = 10;

/**
 * Perl. $1 env-dir or empty, $2 env-file or empty, $3 names that neither may change. Reads only regular files, and at most
 * LARGEST bytes; any other file fails the launch of that daemon.
 */
export const READ_VARIABLES = String.raw`use strict; use Fcntl;
my ($dir, $file, $pinned, @next) = @ARGV;
our $stage = '';
my (%found, %unset);
sub fail { open my $report, '>&=', 3; syswrite $report, "$_[0]\n$stage\n"; exit ${LAUNCH_FAILED} }
sub text {
  my ($path) = @_;
  sysopen my $in, $path, O_RDONLY | O_NONBLOCK | O_NOCTTY or fail("$path: $!");
  -f $in or fail("$path: not a regular file");
  my $text = '';
  while (length $text <= ${LARGEST}) {
    my $count = sysread $in, $text, ${LARGEST} + 1 - length $text, length $text;
    defined $count or fail("$path: $!");
    $count or last;
  }
  return $text;
}
$SIG{ALRM} = sub { fail("$stage: took longer than ${LONGEST}s") };
alarm ${LONGEST};
if ($dir ne '') {
  $stage = "reading env-dir $dir";
  opendir my $entries, $dir or fail("$dir: $!");
  my $count = 0;
  while (defined(my $name = readdir $entries)) {
    next if $name =~ /^\./;
    ++$count <= ${MOST} or fail("$dir: more than ${MOST} files");
    $name !~ /=/ or fail("$dir: the name " . ($name =~ s/[^!-9;-~]/?/gr) . ' has a = in it');
    $name =~ /\A[A-Za-z_][A-Za-z0-9_]*\z/ or next;
    local $stage = "reading env-dir $dir/$name";
    my $text = text("$dir/$name");
    if ($text eq '') { $unset{$name} = 1; next }
    $text =~ s/\n.*//s or length $text <= ${LARGEST} or fail("$name: a line of more than ${LARGEST} bytes");
    $text =~ s/[ \t\r]+\z//;
    $text =~ tr/\0/\n/;
    $found{$name} = $text;
  }
}
if ($file ne '') {
  $stage = "reading env-file $file";
  my ($text, $number) = (text($file), 0);
  length $text <= ${LARGEST} or fail("$file: more than ${LARGEST} bytes");
  for my $line (split /\n/, $text) {
    $number++;
    $line =~ s/^[ \t]+//; $line =~ s/[ \t\r]+\z//;
    next if $line eq '' or $line =~ /^[#;]/;
    my ($name, $value) = $line =~ /\A([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)\z/s;
    defined $name && $value !~ /\0/ or fail("$file: line $number is not NAME=value");
    $value =~ s/\A(["'])(.*)\1\z/$2/s;
    $found{$name} = $value; delete $unset{$name};
  }
}
$stage = 'putting the variables together';
my %names = map { $_ => 1 } split / /, $ENV{${PREFIXED}};
delete @found{split / /, $pinned}; delete @unset{split / /, $pinned};
for (sort keys %found) {
  /\A${RESERVED}/ and fail("the name $_ is reserved for the launch");
  $_ ne 'OPTIND' or $found{$_} =~ /\A[0-9]+\z/ or fail("$_ is no number, and /bin/sh does not start with any other value");
}
for (keys %unset) { delete $ENV{"${PREFIX}$_"}; delete $names{$_} }
for (keys %found) { $ENV{"${PREFIX}$_"} = $found{$_}; $names{$_} = 1 }
keys %names <= ${MOST} or fail("more than ${MOST} variables");
$ENV{${PREFIXED}} = join ' ', keys %names;
alarm 0;
exec { $next[0] } @next or fail("exec: $!");`;

/**
 * $1 directory, $2 uid of the daemon's owner; the rest, executed in the directory, makes it the root. Checks the
 * directory from inside: if only root and the owner can change it and those above it, it remains the one that was
 * checked.
 */
export const ENTER_JAIL = `stage="entering the jail $1"
${FAIL}
owned() {
  path=$1 owner=$2
  set --
  while [ -n "$path" ]; do
    set -- "$path" "$@"
    path=\${path%/*}
  done
  set -- / "$@"
  entries=$(/usr/bin/stat -c %u:%a -- "$@") || fail 'cannot examine the directories above it'
  for entry in $entries; do
    uid=\${entry%:*} mode=\${entry#*:}
    [ "$uid" = 0 ] || [ "$uid" = "$owner" ] || fail "$1 belongs to neither root nor the daemon's owner"
    case $mode in *[2367] | *[2367]?) fail "others than its owner may write to $1 (mode $mode)" ;; esac
    shift
  done
}
[ -e "$1" ] || fail 'no such directory, or no permission to reach it'
[ -d "$1" ] || fail 'not a directory'
cd -P -- "$1" || fail 'permission denied'
jail=$(pwd -P)
[ "$jail" = "$1" ] || fail "a link leads there, write chroot=$jail"
[ "$jail" -ef . ] || fail 'another directory has replaced it'
owned "$jail" "$2"
shift 2
exec "$@"`;

/**
 * $1 directory, $2 shell, $3 start, $4 umask; the rest, if any, are the words of a plain start (plain-start.ts), which
 * needs no shell unless its program cannot be executed: then the shell reports that. Restores the names of the variables
 * and becomes the daemon. The shell that reads this may belong to a jail and print warnings: only a failure goes to
 * descriptor 3.
 * @param redirections of the other descriptors that the daemon gets
 * @param last a command to execute after the variables have their names
 */
export const becomeDaemon = (redirections: string, last: string): string => `exec 2>&5
umask "$4"
stage="entering $1"
${FAIL}
[ -e "$1" ] || fail 'no such directory, or no permission to reach it'
[ -d "$1" ] || fail 'not a directory'
cd -- "$1" || fail 'permission denied'
stage="running $2"
[ -x "$2" ] || fail 'no such program, or no permission to run it'
text=
for name in $${PREFIXED}; do
  text="$text export $name=\\"\\$${PREFIX}$name\\"; unset ${PREFIX}$name;"
done
eval "unset PWD OLDPWD stage name text ${PREFIXED}; $text"
${last}
case \${5-} in
  '') ! : ;;
  */*) [ -f "$5" ] && [ -x "$5" ] ;;
  *) command -v -- "$5" >/dev/null ;;
esac && cd -P . && {
  unset OLDPWD
  export PWD
  shift 4
  exec "$@" 3>&- 4>&- 5>&- ${redirections}
}
exec "$2" -c "$3" 3>&- 4>&- 5>&- ${redirections}`;
