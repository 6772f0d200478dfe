#include "core/ebb.h"

#define QUIET 16 /* at most one in so many of those who have left came or went in the last second */

/* The two numbers are read one after the other: who comes in between may make it seem that fewer have left than had before. */
bool ebb_look(struct ebb *e, uint64_t clients, uint64_t ever)
{
	uint64_t left = MAX(ever - MIN(clients, ever), e->left), gone = left - e->left_at_trim;
	uint64_t traffic = ever - e->ever + left - e->left;

	e->ever = ever;
	e->left = left;
	if (gone < EBB_CLIENTS || traffic > gone / QUIET)
		return false;
	e->left_at_trim = left;
	return true;
}
