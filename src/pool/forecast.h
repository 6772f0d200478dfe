/*
 * forecast.h - how long a client that comes now would have to wait: from how long servers have been held of late.
 *
 * The time for which a server is held, from its grant until it is free again (cleaned, looked through, answers read), is averaged over the last
 * hundred or so uses. While all servers of a pool are in use, one of n comes free every held/n.
 *
 * Unknown:  until FORECAST_MIN uses are known, and when none has ended for FORECAST_TTL: what was long ago says nothing of now.
 * Threads:  none of its own; time is passed in.
 */
#ifndef PGWEIR_FORECAST_H
#define PGWEIR_FORECAST_H

#include "base/base.h"

#define FORECAST_MIN 32
#define FORECAST_OVER 128
#define FORECAST_TTL (10 * USEC_PER_SEC)

struct forecast {     /* zeroed: nothing is known */
	usec_t held_; /* the average, times FORECAST_OVER */
	unsigned n;   /* uses that are in it, up to FORECAST_OVER */
	usec_t at;    /* of the last */
};

static inline usec_t forecast_held(const struct forecast *f)
{
	return f->n ? f->held_ / FORECAST_OVER : 0;
}

/* A server that was held for so long is free. */
static inline void forecast_note(struct forecast *f, usec_t held, usec_t now)
{
	if (now - f->at > FORECAST_TTL)
		f->n = 0;
	f->at = now;
	if (f->n == FORECAST_OVER) { /* a shift, on the path of each query */
		f->held_ += held - f->held_ / FORECAST_OVER;
		return;
	}
	f->n++;
	f->held_ = f->n == 1 ? held * FORECAST_OVER : f->held_ + held * FORECAST_OVER / f->n - f->held_ / f->n;
}

/* False: not known. */
static inline bool forecast_wait(const struct forecast *f, size_t ahead, unsigned servers, usec_t now, usec_t *wait)
{
	if (f->n < FORECAST_MIN || now - f->at > FORECAST_TTL || !servers)
		return false;
	*wait = (ahead + 1) * forecast_held(f) / servers;
	return true;
}

#endif
