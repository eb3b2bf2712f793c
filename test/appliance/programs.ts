/** Texts of tenants' programs; tests write them into an account's home. */

/**
 * HTTP server in Perl that answers `PID WORD`, after 1.5 s if the path begins with /slow. It does not catch TERM. Arguments: its
 * socket (3 or a path to bind), whether it sends READY=1 to $NOTIFY_SOCKET (`notify` or `no`), and the text of its answers.
 */
export const HTTP_SERVER = String.raw`use strict; use IO::Socket::UNIX; use Socket;
my ($where, $tell, $word) = @ARGV;
my $server = $where eq "3" ? IO::Socket::UNIX->new_from_fd(3, "r+") : IO::Socket::UNIX->new(Local => $where, Listen => 64);
die "no socket: $!" unless $server;
if ($tell eq "notify") {
  select(undef, undef, undef, 0.3);
  my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or die "cannot notify: $!";
  $socket->send("READY=1\n") or die "cannot notify: $!";
}
while (1) {
  my $client = $server->accept or next;
  my $line = <$client> // next;
  while (defined(my $header = <$client>)) { last if $header =~ /^\r?$/ }
  select(undef, undef, undef, 1.5) if $line =~ m{^GET /slow};
  print $client "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n$$ $word\n";
  close $client;
}
`;

/** PHP page that answers `PID ACCOUNT`, after 1.5 s with the query `?slow`. */
export const PAGE =
  "<?php if (isset($_GET['slow'])) usleep(1500000); echo getmypid(), ' ', posix_getpwuid(posix_geteuid())['name'];";
