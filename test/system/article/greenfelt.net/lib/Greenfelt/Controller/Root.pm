package Greenfelt::Controller::Root;

use Moose;
use namespace::autoclean;

BEGIN { extends 'Catalyst::Controller' }

__PACKAGE__->config(namespace => '');

sub deal : Local : Args(1) {
    my ($self, $c, $game) = @_;
    warn "dealt $game\n";
    $c->response->content_type('text/plain');
    $c->response->body("$game is dealt by $$");
}

sub score : Local : POST {
    my ($self, $c) = @_;
    $c->response->content_type('text/plain');
    $c->response->body('scored ' . $c->request->body_parameters->{points} . ' by ' . $<);
}

sub default : Path {
    my ($self, $c) = @_;
    $c->response->status(404);
    $c->response->body('no such game');
}

1;
