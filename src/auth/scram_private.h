/* scram_private.h - SCRAM with nonces that a test or a fuzzer chose. Nobody else includes this. */
#ifndef PGWEIR_SCRAM_PRIVATE_H
#define PGWEIR_SCRAM_PRIVATE_H

#include "auth/scram.h"

void scram_client_first_with_nonce(struct scram *s, const char *user, const char *nonce, struct writer *out);
enum result scram_server_first_with_nonce(struct scram *s, struct reader client_first,
	const struct scram_secret *secret, bool is_mock, const char *nonce, struct writer *out);

#endif
