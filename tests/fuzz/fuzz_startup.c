/*
 * Startup packets: no outcome but RES_MORE before the packet is whole, none that changes with what follows it, and all
 * strings lie inside it.
 */
#include "wire/startup.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(const char *s, const uint8_t *packet, size_t used)
{
	ASSERT(!s || ((const uint8_t *)s >= packet && (const uint8_t *)s + strlen(s) < packet + used));
}

static void check_message(const struct startup *s, const uint8_t *packet, size_t used)
{
	ASSERT(s->version >> 16 == 3);
	ASSERT(*s->user && *s->database);
	ASSERT(s->n_params <= STARTUP_PARAMS_MAX);
	check_string(s->user, packet, used);
	check_string(s->database, packet, used);
	check_string(s->replication, packet, used);
	check_string(s->options, packet, used);
	check_string(s->application_name, packet, used);
	for (size_t i = 0; i < s->n_params; i++) {
		ASSERT(*s->params[i].name);
		check_string(s->params[i].name, packet, used);
		check_string(s->params[i].value, packet, used);
		for (size_t k = 0; k < i; k++)
			ASSERT(strcmp(s->params[i].name, s->params[k].name));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct startup s;
	struct startup_error e = { .message = "" }, again = { .message = "" };
	size_t used, more, cut = size ? data[size - 1] % size : 0;
	enum result res = startup_parse(data, size, &s, &used, &e);

	ASSERT(res == RES_OK || res == RES_MORE || res == RES_PROTOCOL || res == RES_LIMIT);
	ASSERT(used >= 4 && used <= STARTUP_MAX);
	if (res == RES_MORE) {
		ASSERT(used > size);
		return 0;
	}
	if (res == RES_OK)
		ASSERT(used <= size);
	else
		ASSERT(*e.message && strlen(e.message) < sizeof(e.message));
	if (res == RES_OK && s.kind == STARTUP_MESSAGE)
		check_message(&s, data, used);
	if (used <= size) {
		ASSERT(startup_parse(data, used, &s, &more, &again) == res && more == used); /* what follows doesn't matter */
		ASSERT(!strcmp(e.message, again.message));
	}
	if (cut < used)
		ASSERT(startup_parse(data, cut, &s, &more, &again) == RES_MORE || cut >= 4);
	return 0;
}
