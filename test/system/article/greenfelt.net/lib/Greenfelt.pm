package Greenfelt;

# The smallest Catalyst application that answers, and writes to its standard error.
use Moose;
use namespace::autoclean;
use Catalyst::Runtime 5.80;

extends 'Catalyst';

__PACKAGE__->config(name => 'Greenfelt');
__PACKAGE__->setup;

1;
