#!/usr/bin/env perl
# Runs the application of ../lib behind a FastCGI socket.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Catalyst::ScriptRunner;

Catalyst::ScriptRunner->run('Greenfelt', 'FastCGI');
