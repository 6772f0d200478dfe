/* credential_private.h - what the tests count and compare. Nobody else includes this. */
#ifndef PGWEIR_CREDENTIAL_PRIVATE_H
#define PGWEIR_CREDENTIAL_PRIVATE_H

#include "auth/credential.h"

#define KEYS_CACHED 4 /* (salt, iterations) pairs a credential keeps: one a server that it logs in to */

unsigned credential_derivations(struct credential *c); /* how often PBKDF2 ran for a verifier or server keys */

#endif
