#include "base/repeats.h"

bool repeats_pass(struct repeats *r, uint64_t kind, usec_t now, uint64_t *held_back)
{
	size_t at = kind % REPEATS_KINDS;

	*held_back = 0;
	if (r->places[at].since && r->places[at].kind == kind) {
		if (now - r->places[at].since < REPEATS_EVERY) {
			r->places[at].held_back++;
			return false;
		}
		*held_back = r->places[at].held_back;
	}
	r->places[at].kind = kind;
	r->places[at].since = now;
	r->places[at].held_back = 0;
	return true;
}
