/* Descriptors that stay free, so that a supervisor can connect whatever tenants' daemons need. */
#ifndef SHIM_RESERVE_H
#define SHIM_RESERVE_H

/* Returns a new descriptor; closes one of the last that this process can have, and returns -1 with EMFILE. */
int within_reserve(int fd);

#endif
