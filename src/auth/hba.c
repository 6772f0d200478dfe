#include "auth/hba.h"

#include "auth/hba_private.h"
#include "auth/pattern.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum item_kind { ITEM_NAME, ITEM_ALL, ITEM_SAMEUSER, ITEM_REPLICATION, ITEM_PATTERN };

struct item { /* of a list of databases or users */
	enum item_kind kind;
	char *name;
	struct pattern *pattern;
};

struct items {
	struct item *items;
	size_t n;
};

struct net {
	int family; /* AF_UNSPEC: nobody */
	uint8_t address[16], mask[16];
};

enum address_kind { ADDRESS_ALL, ADDRESS_NET, ADDRESS_SAMEHOST, ADDRESS_SAMENET };

struct entry {
	struct hba_rule rule;
	enum hba_type type;
	struct items databases, users;
	enum address_kind address;
	struct net net;
};

struct hba {
	struct entry *entries;
	size_t n;
	struct net *interfaces;
	size_t n_interfaces;
};

struct loader {
	struct hba *hba;
	char *why;
	size_t why_size;
};

static const struct {
	const char *name;
	enum hba_method method;
} methods[] = {
	{ "trust", HBA_TRUST },
	{ "reject", HBA_REJECT },
	{ "password", HBA_PASSWORD },
	{ "md5", HBA_MD5 },
	{ "scram-sha-256", HBA_SCRAM },
	{ "peer", HBA_PEER },
	{ "cert", HBA_CERT },
	{ "ldap", HBA_LDAP },
	{ "pam", HBA_PAM },
};

const char *hba_method_name(enum hba_method m)
{
	for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
		if (methods[i].method == m)
			return methods[i].name;
	}
	return "";
}

static bool refuse(struct loader *l, const char *format, ...) PRINTF_LIKE(2, 3);
static bool refuse(struct loader *l, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(l->why, l->why_size, format, ap);
	va_end(ap);
	return false;
}

/* --- memory ------------------------------------------------------------------------------------- */

static void free_items(struct items *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].name);
		pattern_free(&list->items[i].pattern);
	}
	free(list->items);
}

static void free_entry(struct entry *e)
{
	free_items(&e->databases);
	free_items(&e->users);
	hba_rule_free_options(&e->rule);
	free(e->rule.file);
}

void hba_free(struct hba **hp)
{
	struct hba *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++)
		free_entry(&h->entries[i]);
	free(h->entries);
	free(h->interfaces);
	free(h);
}

/* --- addresses ---------------------------------------------------------------------------------- */

static size_t address_size(int family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

/* The bytes of an IP address; false: it is none. */
static bool address_bytes(const struct address *a, int *family, uint8_t out[16])
{
	*family = a->sa.sa_family;
	if (*family == AF_INET)
		memcpy(out, &((const struct sockaddr_in *)&a->storage)->sin_addr, 4);
	else if (*family == AF_INET6)
		memcpy(out, &((const struct sockaddr_in6 *)&a->storage)->sin6_addr, 16);
	return address_size(*family) > 0;
}

static bool parse_address(const char *text, int *family, uint8_t out[16])
{
	struct address a;

	return address_numeric(&a, text, 0) && address_bytes(&a, family, out);
}

static bool net_has(const struct net *net, int family, const uint8_t *address, bool whole)
{
	if (net->family != family)
		return false;
	for (size_t i = 0; i < address_size(family); i++) {
		if ((net->address[i] ^ address[i]) & (whole ? 0xff : net->mask[i]))
			return false;
	}
	return true;
}

static void set_bits(struct net *net, unsigned bits)
{
	for (size_t i = 0; i < sizeof(net->mask); i++, bits -= MIN(bits, 8))
		net->mask[i] = (uint8_t)(0xff00 >> MIN(bits, 8));
}

static bool parse_bits(const char *text, unsigned max, unsigned *out)
{
	unsigned n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (unsigned)(*text - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

static bool looks_like_a_name(const char *text)
{
	return !strchr(text, ':') && text[strspn(text, "0123456789./")];
}

static bool parse_net(struct loader *l, struct net *net, const char *text, bool *has_bits)
{
	const char *slash = strchr(text, '/');
	char *host = xstrndup(text, slash ? (size_t)(slash - text) : strlen(text));
	bool ok = parse_address(host, &net->family, net->address);
	unsigned bits = 0;

	free(host);
	if (!ok && looks_like_a_name(text))
		return refuse(l, "host names are not supported, only addresses: \"%.80s\"", text);
	if (!ok)
		return refuse(l, "invalid IP address \"%.80s\"", text);
	*has_bits = slash != NULL;
	if (slash && !parse_bits(slash + 1, (unsigned)address_size(net->family) * 8, &bits))
		return refuse(l, "invalid CIDR mask in address \"%.80s\"", text);
	set_bits(net, bits);
	return true;
}

static bool parse_mask(struct loader *l, struct net *net, const char *text)
{
	int family;

	if (!parse_address(text, &family, net->mask))
		return refuse(l, "invalid IP mask \"%.80s\"", text);
	return family == net->family || refuse(l, "IP address and mask do not match");
}

/* --- a line ------------------------------------------------------------------------------------- */

/* Fields are taken from left to right. */
struct fields {
	struct auth_field *next, *end;
};

/* NULL: none is left, or it has several tokens where one is wanted; why says which. */
static const struct auth_token *take_one(struct loader *l, struct fields *f, const char *missing, const char *several)
{
	struct auth_field *field = f->next;

	if (field == f->end) {
		refuse(l, "end-of-line before %s", missing);
		return NULL;
	}
	f->next++;
	if (field->n != 1) {
		refuse(l, "multiple values specified for %s", several);
		return NULL;
	}
	return &field->tokens[0];
}

static bool parse_type(struct loader *l, struct fields *f, enum hba_type *out)
{
	static const struct {
		const char *name;
		enum hba_type type;
	} types[] = {
		{ "local", HBA_LOCAL }, { "host", HBA_HOST }, { "hostssl", HBA_HOSTSSL },
		{ "hostnossl", HBA_HOSTNOSSL }, { "hostgssenc", HBA_HOSTGSSENC },
		{ "hostnogssenc", HBA_HOST }, /* nobody comes by GSSAPI */
	};
	const struct auth_token *t = take_one(l, f, "connection type", "connection type");

	for (size_t i = 0; t && i < N_ELEMENTS(types); i++) {
		if (strcmp(t->text, types[i].name) == 0) {
			*out = types[i].type;
			return true;
		}
	}
	return t && refuse(l, "invalid connection type \"%.40s\"", t->text);
}

static bool is_about_roles(const struct auth_token *t, bool is_database)
{
	return is_database ? auth_token_is(t, "samerole") || auth_token_is(t, "samegroup")
			   : !t->is_quoted && t->text[0] == '+';
}

static bool parse_item(struct loader *l, const struct auth_token *t, bool is_database, struct item *out)
{
	if (is_about_roles(t, is_database))
		return refuse(l, "\"%.63s\" needs PostgreSQL's roles, which are not known here", t->text);
	if (auth_token_is(t, "all"))
		out->kind = ITEM_ALL;
	else if (is_database && auth_token_is(t, "sameuser"))
		out->kind = ITEM_SAMEUSER;
	else if (is_database && auth_token_is(t, "replication"))
		out->kind = ITEM_REPLICATION;
	else if (t->text[0] == '/')
		out->kind = ITEM_PATTERN;
	out->name = xstrdup(t->text);
	if (out->kind == ITEM_PATTERN)
		out->pattern = pattern_new(t->text + 1, l->why, l->why_size);
	return out->kind != ITEM_PATTERN || out->pattern;
}

static bool parse_items(struct loader *l, struct fields *f, bool is_database, struct items *out)
{
	if (f->next == f->end)
		return refuse(l, "end-of-line before %s specification", is_database ? "database" : "role");
	out->items = xcalloc(f->next->n + 1, sizeof(*out->items));
	for (size_t i = 0; i < f->next->n; i++) {
		out->n++;
		if (!parse_item(l, &f->next->tokens[i], is_database, &out->items[i]))
			return false;
	}
	f->next++;
	return true;
}

static bool parse_net_field(struct loader *l, struct fields *f, const char *text, struct net *out)
{
	const struct auth_token *mask;
	bool has_bits = false;

	if (!parse_net(l, out, text, &has_bits))
		return false;
	if (has_bits)
		return true;
	mask = take_one(l, f, "netmask specification", "netmask");
	return mask && parse_mask(l, out, mask->text);
}

static bool parse_where(struct loader *l, struct fields *f, struct entry *e)
{
	const struct auth_token *t = take_one(l, f, "IP address specification", "host address");

	if (!t)
		return false;
	if (auth_token_is(t, "all"))
		e->address = ADDRESS_ALL;
	else if (auth_token_is(t, "samehost"))
		e->address = ADDRESS_SAMEHOST;
	else if (auth_token_is(t, "samenet"))
		e->address = ADDRESS_SAMENET;
	else
		e->address = ADDRESS_NET;
	return e->address != ADDRESS_NET || parse_net_field(l, f, t->text, &e->net);
}

static bool find_method(struct loader *l, const char *name, enum hba_type type, enum hba_method *out)
{
	static const char *const foreign[] = { "ident", "gss", "sspi", "radius", "bsd", "oauth" };

	if (type == HBA_LOCAL && strcmp(name, "ident") == 0)
		name = "peer"; /* PostgreSQL's own reading of it */
	for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
		if (strcmp(name, methods[i].name) == 0) {
			*out = methods[i].method;
			return true;
		}
	}
	for (size_t i = 0; i < N_ELEMENTS(foreign); i++) {
		if (strcmp(name, foreign[i]) == 0)
			return refuse(l, "authentication method \"%s\" is not supported", name);
	}
	return refuse(l, "invalid authentication method \"%.40s\"", name);
}

static bool parse_method(struct loader *l, struct fields *f, struct entry *e)
{
	const struct auth_token *t = take_one(l, f, "authentication method", "authentication type");

	if (!t || !find_method(l, t->text, e->type, &e->rule.method))
		return false;
	if (e->rule.method == HBA_PEER && e->type != HBA_LOCAL)
		return refuse(l, "peer authentication is only supported on local sockets");
	if (e->rule.method == HBA_CERT && e->type != HBA_HOSTSSL)
		return refuse(l, "cert authentication is only supported on hostssl connections");
	return true;
}

static bool parse_options(struct loader *l, struct fields *f, struct entry *e)
{
	struct hba_options o = { .rule = &e->rule, .type = e->type };

	for (; f->next < f->end; f->next++) {
		for (size_t i = 0; i < f->next->n; i++) {
			if (!hba_option(&o, f->next->tokens[i].text, l->why, l->why_size))
				return false;
		}
	}
	return hba_options_check(&o, l->why, l->why_size);
}

static struct entry *add_entry(struct hba *h)
{
	if ((h->n & (h->n - 1)) == 0) /* full at each power of two */
		h->entries = xrealloc(h->entries, (h->n ? h->n * 2 : 1) * sizeof(h->entries[0]));
	memset(&h->entries[h->n], 0, sizeof(h->entries[0]));
	return &h->entries[h->n++];
}

static bool hba_line(void *ctx, struct auth_line *line, char *why, size_t why_size)
{
	struct loader *l = ctx;
	struct fields f = { line->fields, line->fields + line->n };
	struct entry *e;

	l->why = why;
	l->why_size = why_size;
	if (l->hba->n == HBA_RULES_MAX)
		return refuse(l, "there are more than %d lines", HBA_RULES_MAX);
	e = add_entry(l->hba);
	e->rule.file = xstrdup(line->file);
	e->rule.line = line->number;
	return parse_type(l, &f, &e->type) && parse_items(l, &f, true, &e->databases) &&
		parse_items(l, &f, false, &e->users) && (e->type == HBA_LOCAL || parse_where(l, &f, e)) &&
		parse_method(l, &f, e) && parse_options(l, &f, e);
}

/* --- the whole ---------------------------------------------------------------------------------- */

static void add_interface(struct hba *h, const struct address *a, const struct address *mask)
{
	struct net net = { .family = AF_UNSPEC };
	int family = AF_UNSPEC;

	if (!address_bytes(a, &net.family, net.address) || !address_bytes(mask, &family, net.mask) ||
		family != net.family)
		return;
	h->interfaces = xrealloc(h->interfaces, (h->n_interfaces + 1) * sizeof(net));
	h->interfaces[h->n_interfaces++] = net;
}

static void address_of(const struct sockaddr *sa, struct address *out)
{
	size_t size = sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	memset(out, 0, sizeof(*out));
	out->len = (socklen_t)size;
	if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6)
		memcpy(&out->storage, sa, size);
}

/* An error leaves samehost and samenet without a meaning: they fit nobody. */
static void add_machines_interfaces(struct hba *h)
{
	struct ifaddrs *found = NULL;
	struct address a, mask;

	if (getifaddrs(&found) < 0)
		return;
	for (struct ifaddrs *i = found; i; i = i->ifa_next) {
		if (!i->ifa_addr || !i->ifa_netmask)
			continue;
		address_of(i->ifa_addr, &a);
		address_of(i->ifa_netmask, &mask);
		mask.sa.sa_family = a.sa.sa_family; /* some interfaces leave it out */
		add_interface(h, &a, &mask);
	}
	freeifaddrs(found);
}

/* As PostgreSQL: nobody means to shut everybody out, but an editor may just have truncated the file. */
static bool check_any(const struct hba *h, const char *path, char *error, size_t error_size)
{
	if (h->n == 0)
		snprintf(error, error_size, "%s: contains no entries", path);
	return h->n > 0;
}

struct hba *hba_load(const char *path, char *error, size_t error_size)
{
	struct hba *h = xcalloc(1, sizeof(*h));
	struct loader l = { .hba = h };

	add_machines_interfaces(h);
	if (!authfile_read(path, hba_line, &l, error, error_size) || !check_any(h, path, error, error_size))
		hba_free(&h);
	return h;
}

struct hba *hba_parse(const char *name, const char *text, size_t len, const struct hba_interface *interfaces,
	size_t n_interfaces, char *error, size_t error_size)
{
	struct hba *h = xcalloc(1, sizeof(*h));
	struct loader l = { .hba = h };

	for (size_t i = 0; i < n_interfaces; i++)
		add_interface(h, &interfaces[i].address, &interfaces[i].mask);
	if (!authfile_read_text(name, text, len, hba_line, &l, error, error_size))
		hba_free(&h);
	return h;
}

size_t hba_count(const struct hba *h)
{
	return h->n;
}

/* --- matching ----------------------------------------------------------------------------------- */

static bool type_fits(const struct entry *e, const struct hba_client *c)
{
	bool is_local = address_is_unix(c->address);

	switch (e->type) {
	case HBA_LOCAL: return is_local;
	case HBA_HOST: return !is_local;
	case HBA_HOSTSSL: return !is_local && c->is_tls;
	case HBA_HOSTNOSSL: return !is_local && !c->is_tls;
	case HBA_HOSTGSSENC: return false;
	}
	return false;
}

static bool address_fits(const struct hba *h, const struct entry *e, const struct hba_client *c)
{
	uint8_t bytes[16] = { 0 };
	int family;

	if (e->type == HBA_LOCAL || e->address == ADDRESS_ALL)
		return true;
	if (!address_bytes(c->address, &family, bytes))
		return false;
	if (e->address == ADDRESS_NET)
		return net_has(&e->net, family, bytes, false);
	for (size_t i = 0; i < h->n_interfaces; i++) {
		if (net_has(&h->interfaces[i], family, bytes, e->address == ADDRESS_SAMEHOST))
			return true;
	}
	return false;
}

static enum pattern_result item_fits(const struct item *item, const char *name, const struct hba_client *c)
{
	bool fits = false;

	switch (item->kind) {
	case ITEM_ALL: fits = true; break;
	case ITEM_SAMEUSER: fits = strcmp(c->database, c->user) == 0; break;
	case ITEM_REPLICATION: break; /* see database_fits() */
	case ITEM_NAME: fits = strcmp(item->name, name) == 0; break;
	case ITEM_PATTERN: return pattern_match(item->pattern, name, NULL);
	}
	return fits ? PATTERN_YES : PATTERN_NO;
}

static enum pattern_result one_fits(const struct items *list, const char *name, const struct hba_client *c)
{
	enum pattern_result r = PATTERN_NO;

	for (size_t i = 0; r == PATTERN_NO && i < list->n; i++)
		r = item_fits(&list->items[i], name, c);
	return r;
}

/* Physical replication has no database: only that word lets it in. */
static enum pattern_result database_fits(const struct entry *e, const struct hba_client *c)
{
	if (!c->is_replication)
		return one_fits(&e->databases, c->database, c);
	for (size_t i = 0; i < e->databases.n; i++) {
		if (e->databases.items[i].kind == ITEM_REPLICATION)
			return PATTERN_YES;
	}
	return PATTERN_NO;
}

static enum pattern_result entry_fits(const struct hba *h, const struct entry *e, const struct hba_client *c)
{
	enum pattern_result database, user;

	if (!type_fits(e, c) || !address_fits(h, e, c))
		return PATTERN_NO;
	database = database_fits(e, c);
	if (database == PATTERN_NO)
		return PATTERN_NO;
	user = one_fits(&e->users, c->user, c);
	return user == PATTERN_YES ? database : user;
}

const struct hba_rule *hba_match(const struct hba *h, const struct hba_client *c)
{
	for (size_t i = 0; i < h->n; i++) {
		switch (entry_fits(h, &h->entries[i], c)) {
		case PATTERN_NO: break;
		case PATTERN_YES: return &h->entries[i].rule;
		case PATTERN_UNDECIDED: return NULL; /* going on might pass over a rule that rejects */
		}
	}
	return NULL;
}
