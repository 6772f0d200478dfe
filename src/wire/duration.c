#include "wire/duration.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	usec_t usec;
} units[] = { /* the largest first */
	{ "d", 24 * 3600 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC },
	{ "s", USEC_PER_SEC }, { "ms", USEC_PER_MSEC }, { "us", 1 }
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *skip_space(const char *s)
{
	while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		s++;
	return s;
}

static usec_t unit_of(const char *name, size_t len)
{
	if (len == 0)
		return USEC_PER_MSEC;
	for (size_t i = 0; i < N_ELEMENTS(units); i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0)
			return units[i].usec;
	return 0;
}

/* Behind the number, which is returned. NULL: there is none. */
static const char *read_number(const char *s, double *out)
{
	double n = 0, place = 1;
	bool has_digits = is_digit(*s);

	while (is_digit(*s))
		n = n * 10 + (*s++ - '0');
	if (*s == '.') {
		has_digits = has_digits || is_digit(s[1]);
		for (s++; is_digit(*s); s++)
			n += (*s - '0') * (place /= 10);
	}
	*out = n;
	return has_digits ? s : NULL;
}

bool duration_parse(const char *text, usec_t *out)
{
	const char *s = skip_space(text), *unit, *end;
	usec_t usec;
	double n;

	s += *s == '+';
	s = read_number(s, &n);
	if (!s)
		return false;
	unit = skip_space(s);
	for (end = unit; *end >= 'a' && *end <= 'z'; end++)
		;
	usec = unit_of(unit, (size_t)(end - unit));
	if (*skip_space(end) || !usec || n * (double)usec > (double)DURATION_MAX)
		return false;
	*out = (usec_t)(n * (double)usec + 0.5);
	return true;
}

void duration_text(usec_t t, char out[DURATION_TEXT_MAX])
{
	size_t i = 0;

	if (!t) {
		snprintf(out, DURATION_TEXT_MAX, "0");
		return;
	}
	while (t % units[i].usec)
		i++;
	snprintf(out, DURATION_TEXT_MAX, "%llu%s", (unsigned long long)(t / units[i].usec), units[i].name);
}
