#include "pool/places.h"

#include <stdlib.h>

#define GIFT 8 /* one in so many */
#define SCALE 1024

static usec_t between(usec_t least, usec_t most)
{
	return least + (usec_t)random() % (most - least + 1);
}

static usec_t around(usec_t t)
{
	return between(t - t / 4, t + t / 4);
}

enum places_answer places_may_open(const struct places *p, int have, usec_t now)
{
	if (!p->is_limited || have < p->limit)
		return PLACES_YES;
	return !p->is_trying && now >= p->next_try ? PLACES_TRY : PLACES_NO;
}

void places_trying(struct places *p, int have)
{
	p->is_trying = true;
	p->limit = MAX(p->limit, have); /* what was to be given back and hasn't come free by now is kept */
}

void places_try_ended(struct places *p)
{
	p->is_trying = false;
}

static void end_gift(struct places *p, usec_t gap, usec_t now)
{
	p->goal = 0;
	p->gap = gap;
	p->next_gift = now + around(gap);
}

void places_opened(struct places *p, int have, usec_t now)
{
	p->is_trying = false;
	if (!p->is_limited)
		return;
	p->limit = MAX(p->limit, have);
	p->next_try = now;
	if (p->goal && have >= p->goal) { /* nobody else wanted it. What else is free may be another's gift */
		p->untaken++;
		end_gift(p, p->untaken > 1 ? MIN(p->gap * 2, PLACES_GAP_MAX) : p->gap, now);
		p->next_try = now + between(PLACES_TRY_MIN, PLACES_TRY_MAX);
	}
	if (now - p->refused_at > PLACES_FORGET)
		p->is_limited = false;
}

/* Rounded by chance: of two, one is given in every fourth case. The last one is never given. */
static int gift(int have)
{
	return MIN((have * SCALE / GIFT + (int)(random() % SCALE)) / SCALE, have - 1);
}

static int give_back(struct places *p, int have, usec_t now)
{
	int n;

	if (have < 2 || now < p->next_gift)
		return 0;
	n = gift(have);
	if (n == 0) {
		p->next_gift = now + around(p->gap);
		return 0;
	}
	p->goal = have;
	p->limit = have - n;
	p->next_try = now + between(PLACES_LEFT_ALONE, PLACES_LEFT_ALONE + PLACES_LEFT_ALONE / 4);
	return n;
}

static void note_full(struct places *p, int have, usec_t now)
{
	if (!p->is_limited)
		p->limited_since = now;
	if (!p->gap)
		end_gift(p, PLACES_GAP_MIN, now);
	p->is_limited = true;
	p->limit = have;
	p->refused_at = now;
}

int places_refused(struct places *p, int have, usec_t now)
{
	p->is_trying = false;
	note_full(p, have, now);
	p->next_try = now + between(PLACES_TRY_MIN, PLACES_TRY_MAX);
	if (p->goal) { /* others have taken what we gave */
		p->untaken = 0;
		end_gift(p, PLACES_GAP_MIN, now);
		return 0;
	}
	return give_back(p, have, now);
}

bool places_wants_census(struct places *p, int have, usec_t now, usec_t every)
{
	if (have < 2 || p->goal)
		return false;
	if (!p->next_census)
		p->next_census = now + around(every / 4);
	if (now < p->next_census)
		return false;
	p->next_census = now + around(every); /* one asks; whoever looks meanwhile leaves it to him */
	return true;
}

int places_census(struct places *p, int have, bool is_full, usec_t now)
{
	if (!is_full)
		return 0;
	if (!p->gap)
		end_gift(p, PLACES_GAP_MIN, now);
	if (!p->is_limited) /* news: others may have been waiting for long */
		p->next_gift = now;
	note_full(p, have, now);
	p->next_try = now;
	p->next_census = now + around(PLACES_GAP_MIN);
	return give_back(p, have, now);
}

void places_no_census(struct places *p, usec_t now)
{
	p->next_census = now + PLACES_GAP_MAX;
}
