#include "auth/external_private.h"

#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define CALL_MAX (60 * USEC_PER_SEC) /* where there is no login timeout */
#define DEFAULT_ATTRIBUTE "uid"
#define USERNAME "$username"

/* A connection, and what the last call on it said. */
struct directory {
	LDAP *ldap;
	struct timeval timeout;
	int code;
	const char *step;
};

static bool step(struct directory *d, const char *name, int code)
{
	d->step = name;
	d->code = code;
	return code == LDAP_SUCCESS;
}

/* --- names -------------------------------------------------------------------------------------- */

/* Text that grows: DNs, filters, URIs. Its parts are bounded: a name by its startup packet, the rest by the file. */
static void append(char **text, const char *more, size_t len)
{
	size_t had = *text ? strlen(*text) : 0;

	*text = xrealloc(*text, had + len + 1);
	memcpy(*text + had, more, len);
	(*text)[had + len] = '\0';
}

/* scheme://host:port for each host, blanks between. */
static char *make_uris(const struct ldap_options *o)
{
	const char *scheme = o->scheme ? o->scheme : "ldap", *host = o->server;
	bool is_tls = strcmp(scheme, "ldaps") == 0;
	int port = o->port ? o->port : is_tls ? LDAPS_PORT : LDAP_PORT;
	char *uris = xstrdup("");

	for (; *(host += strspn(host, " ")); host += strcspn(host, " ")) {
		int len = (int)strcspn(host, " ");
		bool is_v6 = host[0] != '[' && memchr(host, ':', (size_t)len);
		char *uri = xasprintf("%s%s://%s%.*s%s:%d", *uris ? " " : "", scheme, is_v6 ? "[" : "", len,
			host, is_v6 ? "]" : "", port);

		append(&uris, uri, strlen(uri));
		free(uri);
	}
	return uris;
}

/* What means something in a DN is escaped (RFC 4514), so that a name can't become several parts. */
static void append_dn_value(char **dn, const char *value)
{
	for (const char *p = value; *p; p++) {
		if (strchr(",+\"\\<>;=", *p) || (p == value && strchr(" #", *p)) || (!p[1] && *p == ' '))
			append(dn, "\\", 1);
		append(dn, p, 1);
	}
}

/* A prefix like DOMAIN\ doesn't make a DN: Active Directory takes such names, too. */
static char *make_simple_dn(const struct ldap_options *o, const char *user)
{
	const char *prefix = o->prefix ? o->prefix : "", *suffix = o->suffix ? o->suffix : "";
	size_t len = strlen(prefix);
	char *dn = xstrdup(prefix);

	if (len > 0 && prefix[len - 1] == '=')
		append_dn_value(&dn, user);
	else
		append(&dn, user, strlen(user));
	append(&dn, suffix, strlen(suffix));
	return dn;
}

static char *make_filter(const struct ldap_options *o, const char *user)
{
	const char *attribute = o->searchattribute ? o->searchattribute : DEFAULT_ATTRIBUTE, *at = o->searchfilter;
	char *filter = NULL;

	if (!at)
		return xasprintf("(%s=%s)", attribute, user);
	for (const char *hit; (hit = strstr(at, USERNAME)); at = hit + strlen(USERNAME)) {
		append(&filter, at, (size_t)(hit - at));
		append(&filter, user, strlen(user));
	}
	append(&filter, at, strlen(at));
	return filter;
}

/* --- calls -------------------------------------------------------------------------------------- */

static struct timeval time_left(const struct lookup *q)
{
	usec_t now = clock_now(), left = q->deadline > now ? q->deadline - now : q->deadline ? 1 : CALL_MAX;

	left = MIN(left, CALL_MAX);
	return (struct timeval){ (time_t)(left / USEC_PER_SEC), (suseconds_t)(left % USEC_PER_SEC) };
}

static bool connect_to(struct directory *d, const struct lookup *q)
{
	const struct ldap_options *o = &q->rule->ldap;
	char *uris = make_uris(o);
	int version = LDAP_VERSION3;
	bool ok = step(d, "ldap_initialize", ldap_initialize(&d->ldap, uris));

	free(uris);
	if (!ok)
		return false;
	d->timeout = time_left(q);
	ldap_set_option(d->ldap, LDAP_OPT_PROTOCOL_VERSION, &version);
	ldap_set_option(d->ldap, LDAP_OPT_NETWORK_TIMEOUT, &d->timeout);
	ldap_set_option(d->ldap, LDAP_OPT_TIMEOUT, &d->timeout);
	ldap_set_option(d->ldap, LDAP_OPT_REFERRALS, LDAP_OPT_OFF); /* a referral would be told our passwords */
	return !o->use_tls || step(d, "StartTLS", ldap_start_tls_s(d->ldap, NULL, NULL));
}

static void leave(struct directory *d)
{
	if (d->ldap)
		ldap_unbind_ext_s(d->ldap, NULL, NULL);
	d->ldap = NULL;
}

static bool bind_as(struct directory *d, const char *dn, const char *password)
{
	struct berval secret = { strlen(password), (char *)(uintptr_t)password };

	return step(d, "bind", ldap_sasl_bind_s(d->ldap, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, NULL));
}

static void refuse_by_step(const struct directory *d, struct verdict *v, const char *what)
{
	verdict_refuse(v, "LDAP %s%s: %s", d->step, what, ldap_err2string(d->code));
}

/* --- search and bind ---------------------------------------------------------------------------- */

/* As PostgreSQL: such names are refused rather than escaped. */
static bool is_searchable(const char *user)
{
	return !strpbrk(user, "*()\\/");
}

/* The DN of the one entry that fits, for ldap_memfree(); or NULL, and v says why. */
static char *search(struct directory *d, const struct lookup *q, struct verdict *v)
{
	const struct ldap_options *o = &q->rule->ldap;
	char *filter = make_filter(o, q->user), *attributes[] = { (char *)(uintptr_t)LDAP_NO_ATTRS, NULL },
	     *dn = NULL;
	LDAPMessage *found = NULL;
	bool ok = step(d, "search",
		ldap_search_ext_s(d->ldap, o->basedn, o->scope, filter, attributes, 0, NULL, NULL,
			&d->timeout, 2, &found));
	int n = found ? ldap_count_entries(d->ldap, found) : 0;

	if (!ok && !(d->code == LDAP_SIZELIMIT_EXCEEDED && n > 1))
		refuse_by_step(d, v, "");
	else if (n != 1)
		verdict_refuse(v, "LDAP knows %s such user", n > 1 ? "more than one" : "no");
	else
		dn = ldap_get_dn(d->ldap, ldap_first_entry(d->ldap, found));
	if (found)
		ldap_msgfree(found);
	free(filter);
	return dn;
}

static char *find_dn(const struct lookup *q, struct verdict *v)
{
	const struct ldap_options *o = &q->rule->ldap;
	struct directory d = { 0 };
	char *dn = NULL;

	if (!is_searchable(q->user))
		verdict_refuse(v, "invalid character in user name for LDAP authentication");
	else if (!connect_to(&d, q) || !bind_as(&d, o->binddn ? o->binddn : "", o->bindpasswd ? o->bindpasswd : ""))
		refuse_by_step(&d, v, " for the search");
	else
		dn = search(&d, q, v);
	leave(&d);
	return dn;
}

/* --- the password ------------------------------------------------------------------------------- */

/* On a connection of its own: the one before belongs to whom may search. */
static void check_password(const struct lookup *q, const char *dn, struct verdict *v)
{
	struct directory d = { 0 };

	v->is_accepted = connect_to(&d, q) && bind_as(&d, dn, q->password);
	if (!v->is_accepted)
		refuse_by_step(&d, v, "");
	leave(&d);
}

void ask_ldap(const struct lookup *q, struct verdict *v)
{
	bool is_search = q->rule->ldap.basedn != NULL;
	char *dn = is_search ? find_dn(q, v) : make_simple_dn(&q->rule->ldap, q->user);

	ASSERT(*q->password); /* without one a bind would succeed as nobody */
	if (!dn)
		return;
	check_password(q, dn, v);
	if (is_search)
		ldap_memfree(dn);
	else
		free(dn);
}
