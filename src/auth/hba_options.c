#include "auth/hba_private.h"

#include <ldap.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD(m) (1u << (m))
#define ANY_METHOD UINT32_MAX

typedef bool option_fn(struct hba_options *o, const char *value, char *why, size_t why_size);

struct option {
	const char *name;
	unsigned methods;
	option_fn *fn; /* NULL: text */
	size_t offset; /* of a text, in struct hba_rule */
};

static bool refuse(char *why, size_t why_size, const char *format, ...) PRINTF_LIKE(3, 4);
static bool refuse(char *why, size_t why_size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, why_size, format, ap);
	va_end(ap);
	return false;
}

static void set_text(char **field, const char *value)
{
	secure_free(field);
	*field = xstrdup(value);
}

static bool read_clientcert(struct hba_options *o, const char *value, char *why, size_t why_size)
{
	if (o->type != HBA_HOSTSSL)
		return refuse(why, why_size, "clientcert can only be configured for \"hostssl\" rows");
	if (strcmp(value, "verify-full") == 0)
		o->rule->clientcert = HBA_CLIENTCERT_FULL;
	else if (strcmp(value, "verify-ca") != 0)
		return refuse(why, why_size, "invalid value for clientcert: it is verify-ca or verify-full");
	else if (o->rule->method == HBA_CERT)
		return refuse(why, why_size,
			"clientcert only accepts \"verify-full\" when using \"cert\" authentication");
	else
		o->rule->clientcert = HBA_CLIENTCERT_CA;
	return true;
}

static bool read_clientname(struct hba_options *o, const char *value, char *why, size_t why_size)
{
	if (o->type != HBA_HOSTSSL)
		return refuse(why, why_size, "clientname can only be configured for \"hostssl\" rows");
	o->rule->is_clientname_dn = strcmp(value, "DN") == 0;
	return o->rule->is_clientname_dn || strcmp(value, "CN") == 0 ||
		refuse(why, why_size, "invalid value for clientname: it is CN or DN");
}

static bool read_switch(bool *out, const char *value)
{
	*out = strcmp(value, "1") == 0;
	return *out || strcmp(value, "0") == 0;
}

static bool read_pam_use_hostname(struct hba_options *o, const char *value, char *why, size_t why_size)
{
	return read_switch(&o->rule->pam_use_hostname, value) ||
		refuse(why, why_size, "invalid value for pam_use_hostname: it is 0 or 1");
}

static bool read_ldaptls(struct hba_options *o, const char *value, char *why, size_t why_size)
{
	return read_switch(&o->rule->ldap.use_tls, value) ||
		refuse(why, why_size, "invalid value for ldaptls: it is 0 or 1");
}

static bool read_ldapport(struct hba_options *o, const char *value, char *why, size_t why_size)
{
	char *end;
	long port = strtol(value, &end, 10);

	if (end == value || *end || port < 1 || port > 65535)
		return refuse(why, why_size, "invalid ldapport number");
	o->rule->ldap.port = (int)port;
	return true;
}

static bool read_ldapscheme(struct hba_options *o, const char *value, char *why, size_t why_size)
{
	if (strcmp(value, "ldap") != 0 && strcmp(value, "ldaps") != 0)
		return refuse(why, why_size, "invalid value for ldapscheme: it is ldap or ldaps");
	set_text(&o->rule->ldap.scheme, value);
	return true;
}

static bool use_url(struct hba_options *o, const LDAPURLDesc *url, char *why, size_t why_size)
{
	struct ldap_options *l = &o->rule->ldap;

	if (strcmp(url->lud_scheme, "ldap") != 0 && strcmp(url->lud_scheme, "ldaps") != 0)
		return refuse(why, why_size, "unsupported scheme of ldapurl");
	set_text(&l->scheme, url->lud_scheme);
	if (url->lud_host && *url->lud_host)
		set_text(&l->server, url->lud_host);
	l->port = url->lud_port;
	set_text(&l->basedn, url->lud_dn ? url->lud_dn : "");
	if (url->lud_attrs && url->lud_attrs[0])
		set_text(&l->searchattribute, url->lud_attrs[0]);
	l->scope = url->lud_scope;
	if (url->lud_filter)
		set_text(&l->searchfilter, url->lud_filter);
	o->has_url = true;
	return true;
}

static bool read_ldapurl(struct hba_options *o, const char *value, char *why, size_t why_size)
{
	LDAPURLDesc *url = NULL;
	bool ok;

	if (ldap_url_parse(value, &url) != LDAP_SUCCESS)
		return refuse(why, why_size, "could not parse ldapurl");
	ok = use_url(o, url, why, why_size);
	ldap_free_urldesc(url);
	return ok;
}

#define TEXT(name, methods, field)                                                                           \
	{                                                                                                    \
		name, methods, NULL, offsetof(struct hba_rule, field)                                        \
	}
#define LDAP METHOD(HBA_LDAP)

static const struct option options[] = {
	TEXT("map", METHOD(HBA_PEER) | METHOD(HBA_CERT), map),
	{ "clientcert", ANY_METHOD, read_clientcert, 0 },
	{ "clientname", ANY_METHOD, read_clientname, 0 },
	TEXT("pamservice", METHOD(HBA_PAM), pamservice),
	{ "pam_use_hostname", METHOD(HBA_PAM), read_pam_use_hostname, 0 },
	{ "ldapurl", LDAP, read_ldapurl, 0 },
	{ "ldaptls", LDAP, read_ldaptls, 0 },
	{ "ldapscheme", LDAP, read_ldapscheme, 0 },
	TEXT("ldapserver", LDAP, ldap.server),
	{ "ldapport", LDAP, read_ldapport, 0 },
	TEXT("ldapbinddn", LDAP, ldap.binddn),
	TEXT("ldapbindpasswd", LDAP, ldap.bindpasswd),
	TEXT("ldapsearchattribute", LDAP, ldap.searchattribute),
	TEXT("ldapsearchfilter", LDAP, ldap.searchfilter),
	TEXT("ldapbasedn", LDAP, ldap.basedn),
	TEXT("ldapprefix", LDAP, ldap.prefix),
	TEXT("ldapsuffix", LDAP, ldap.suffix),
};

static const struct option *find(const char *name, size_t len)
{
	for (size_t i = 0; i < N_ELEMENTS(options); i++) {
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return &options[i];
	}
	return NULL;
}

bool hba_option(struct hba_options *o, const char *text, char *why, size_t why_size)
{
	const char *equal = strchr(text, '=');
	const struct option *found = equal ? find(text, (size_t)(equal - text)) : NULL;

	if (!equal) /* not shown: it may be the rest of a password with blanks */
		return refuse(why, why_size, "authentication option not in name=value format");
	if (!found && o->rule->ldap.bindpasswd)
		return refuse(why, why_size, "unrecognized authentication option name");
	if (!found)
		return refuse(why, why_size, "unrecognized authentication option name: \"%.*s\"",
			(int)MIN(equal - text, 40), text);
	if (!(found->methods & METHOD(o->rule->method)))
		return refuse(why, why_size,
			"authentication option \"%s\" is not valid for authentication method \"%s\"",
			found->name, hba_method_name(o->rule->method));
	if (found->fn)
		return found->fn(o, equal + 1, why, why_size);
	set_text((char **)(void *)((char *)o->rule + found->offset), equal + 1);
	return true;
}

/* Simple bind has a prefix or a suffix; search and bind has a base, and what it is searched by. */
static bool check_ldap(const struct hba_options *o, char *why, size_t why_size)
{
	const struct ldap_options *l = &o->rule->ldap;
	bool is_simple = l->prefix || l->suffix;

	if (!l->server || !*l->server)
		return refuse(why, why_size,
			"authentication method \"ldap\" requires argument \"ldapserver\" to be set");
	if (is_simple &&
		(l->basedn || l->binddn || l->bindpasswd || l->searchattribute || l->searchfilter || o->has_url))
		return refuse(why, why_size, "cannot mix options for simple bind and search+bind modes");
	if (!is_simple && !l->basedn)
		return refuse(why, why_size, "authentication method \"ldap\" requires argument %s to be set",
			"\"ldapbasedn\", \"ldapprefix\", or \"ldapsuffix\"");
	if (l->searchattribute && l->searchfilter)
		return refuse(why, why_size, "cannot use ldapsearchattribute together with ldapsearchfilter");
	return true;
}

bool hba_options_check(struct hba_options *o, char *why, size_t why_size)
{
	if (o->rule->method == HBA_CERT)
		o->rule->clientcert = HBA_CLIENTCERT_FULL;
	if (o->rule->method != HBA_LDAP)
		return true;
	if (!o->has_url)
		o->rule->ldap.scope = LDAP_SCOPE_SUBTREE;
	return check_ldap(o, why, why_size);
}

void hba_rule_free_options(struct hba_rule *r)
{
	for (size_t i = 0; i < N_ELEMENTS(options); i++) {
		if (!options[i].fn)
			secure_free((char **)(void *)((char *)r + options[i].offset));
	}
	secure_free(&r->ldap.scheme);
}
