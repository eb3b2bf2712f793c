/** Reads a tenant's files of variables at each launch, as the daemon's account. */
import { KIB, SECOND, writeDuration, writeSize } from "../core/units.ts";
import { PATH } from "./variables.ts";

/** Exit code of a reader that fails, and of a launch that fails before its program takes over. */
const LAUNCH_FAILED = 111;

/** No name of a tenant's variable may begin like this. */
const RESERVED = "DMHOST_VAR";

/** Bytes of a file of variables, and of a value, at most. */
export const LARGEST = 64 * KIB;
/** Files of an env-dir, and variables of both sources, at most. */
export const MOST = 1_000;
/** Time limit of reading, in ms. */
export const LONGEST = 10 * SECOND;

/** Environment prefix of a tenant's variables: no name of one that the program itself obeys begins like this. */
const PREFIX = `${RESERVED}_`;
/** Variable with the names of the prefixed ones. */
const PREFIXED = `${RESERVED}S`;

/**
 * Perl. $1 env-dir or empty, $2 env-file or empty, $3 names that neither may change. Reads only regular files, and at most
 * LARGEST bytes; any other file fails the launch of that daemon. Prints all variables, NAME=value with NUL behind each; or
 * reports a reason and a stage, one line each, with exit code LAUNCH_FAILED.
 */
const READ_VARIABLES = String.raw`use strict; use Fcntl;
my ($dir, $file, $pinned) = @ARGV;
our $stage = '';
my (%found, %unset);
sub fail {
  # The stage names the file already.
  my $reason = $_[0] =~ s/.*: //sr;
  open my $report, '>&=', 3;
  syswrite $report, ($reason =~ s/\A([A-Z])(?=[a-z])/\l$1/r) . "\n$stage\n";
  exit ${LAUNCH_FAILED};
}
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
$SIG{ALRM} = sub { fail("$stage: took longer than ${writeDuration(LONGEST)}") };
alarm ${LONGEST / SECOND};
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
    $text =~ s/\n.*//s or length $text <= ${LARGEST} or fail("$name: a line of more than ${writeSize(LARGEST)}");
    $text =~ s/[ \t\r]+\z//;
    $text =~ tr/\0/\n/;
    $found{$name} = $text;
  }
}
if ($file ne '') {
  $stage = "reading env-file $file";
  my ($text, $number) = (text($file), 0);
  length $text <= ${LARGEST} or fail("$file: more than ${writeSize(LARGEST)}");
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
$stage = 'merging the variables';
my %names = map { $_ => 1 } split / /, $ENV{${PREFIXED}};
delete @found{split / /, $pinned}; delete @unset{split / /, $pinned};
for (sort keys %found) {
  /\A${RESERVED}/ and fail("the name $_ is reserved for the launch");
  $_ ne 'OPTIND' or $found{$_} =~ /\A[0-9]+\z/ or fail("$_ is no number, and /bin/sh does not start with any other value");
}
for (keys %unset) { delete $ENV{"${PREFIX}$_"}; delete $names{$_} }
for (keys %found) { $ENV{"${PREFIX}$_"} = $found{$_}; $names{$_} = 1 }
keys %names <= ${MOST} or fail("more than ${MOST} variables");
print map { "$_=" . $ENV{"${PREFIX}$_"} . "\0" } sort keys %names or fail("printing them: $!");`;

/** The program that reads the variables of an env-dir and an env-file, in the place of the plan's own. */
export interface VariablesReader {
  readonly words: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
}

/**
 * Makes it. The daemon's account executes it, in the machine's root directory.
 * @param envDir, envFile absolute paths
 * @param variables all variables of the daemon so far
 * @param pinned names that neither source may change
 */
export const variablesReader = (
  { envDir = "", envFile = "" }: { readonly envDir: string | undefined; readonly envFile: string | undefined },
  variables: ReadonlyMap<string, string>,
  pinned: readonly string[],
): VariablesReader => ({
  words: ["/usr/bin/perl", "-e", READ_VARIABLES, envDir, envFile, pinned.join(" ")],
  environment: new Map([
    ["PATH", PATH],
    [PREFIXED, [...variables.keys()].join(" ")],
    ...[...variables].map(([name, value]) => [PREFIX + name, value] as const),
  ]),
});
