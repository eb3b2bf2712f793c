/** A tenant's program that answers lines, and its client: for sockets whose protocol is not FastCGI. */
import { readdirSync, readlinkSync } from "node:fs";
import { createConnection } from "node:net";
import type { Account } from "./account.ts";
import { until } from "./program.ts";

/**
 * Perl that answers `slow` after 0.6 s, `wait PATH` when there is such a file, `linger` when it gets TERM, and any other line
 * at once, by `PID WORD`. It catches TERM only where its word is `abrupt`, to end at once, or `graceful`, to end after its
 * request. Its arguments are its socket (descriptor 0 or 3, or a path to bind), then how it reports readiness (a
 * descriptor, `notify` or `no`), then its word.
 */
const PROGRAM = String.raw`use strict; use IO::Socket::UNIX; use Socket;
my ($where, $tell, $word) = @ARGV;
die "LISTEN_PID is $ENV{LISTEN_PID}" if $where eq "3" && ($ENV{LISTEN_PID} != $$ || $ENV{LISTEN_FDS} != 1);
my $server = $where =~ /^\d$/ ? IO::Socket::UNIX->new_from_fd($where, "r+") : IO::Socket::UNIX->new(Local => $where, Listen => 64);
die "no socket: $!" unless $server;
if ($tell eq "notify") {
  my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or die "cannot notify: $!";
  $socket->send("STATUS=up\nREADY=1\n");
} elsif ($tell =~ /^\d$/) { open(my $pipe, ">&=", $tell) or die "no descriptor: $!"; print $pipe "ready\n"; close $pipe; }
my $told = 0;
$SIG{TERM} = sub { exit 0 } if $word eq "abrupt";
$SIG{TERM} = sub { $told = 1 } if $word eq "graceful";
until ($told) {
  my $client = $server->accept or next;
  my $line = <$client> // next; chomp $line;
  select(undef, undef, undef, 0.6) if $line eq "slow";
  while ($line eq "linger" && !$told) { select(undef, undef, undef, 0.05); }
  if ($line =~ /^wait (.+)/) { select(undef, undef, undef, 0.01) until -e $1; }
  print $client "$$ $word\n"; close $client;
}
`;

/** Writes the program into the account's home; returns a function that makes the `start` line. */
export const lineServer = (account: Account): ((where: string, tell?: string, word?: string) => string) => {
  const path = account.write("serve.pl", PROGRAM);
  return (where, tell = "no", word = "old") => `start = exec perl ${path} "${where}" ${tell} ${word}`;
};

/** Sends a line; returns the pid and the line of the answer. Rejects when the server closes without an answer. */
export const askLine = (socket: string, line = "hello"): Promise<{ pid: number; word: string }> =>
  new Promise((resolve, reject) => {
    let text = "";
    const connection = createConnection(socket, () => connection.write(`${line}\n`));
    connection.on("error", reject);
    connection.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    connection.on("close", () => {
      const [pid = "", word = ""] = text.trim().split(" ");
      if (pid === "") reject(new Error(`no answer from ${socket}`));
      else resolve({ pid: Number(pid), word });
    });
  });

const isSocket = (path: string): boolean => {
  try {
    return readlinkSync(path).startsWith("socket:");
  } catch {
    return false;
  }
};

/** Waits until a process has accepted a connection: until it has a socket besides the one at which it listens. */
export const untilAccepted = (pid: number): Promise<true> => {
  const sockets = () => readdirSync(`/proc/${pid}/fd`).filter((fd) => isSocket(`/proc/${pid}/fd/${fd}`)).length;
  return until(`a connection accepted by process ${pid}`, () => sockets() > 1 && true);
};
