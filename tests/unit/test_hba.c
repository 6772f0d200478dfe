#include "auth/hba.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The machine has 10.1.2.3/16 and 2001:db8::5/32. */
static struct hba *parse(const char *text, char *error, size_t size)
{
	struct hba_interface interfaces[2];

	ck_assert(address_numeric(&interfaces[0].address, "10.1.2.3", 0));
	ck_assert(address_numeric(&interfaces[0].mask, "255.255.0.0", 0));
	ck_assert(address_numeric(&interfaces[1].address, "2001:db8::5", 0));
	ck_assert(address_numeric(&interfaces[1].mask, "ffff:ffff::", 0));
	error[0] = '\0';
	return hba_parse("hba", text, strlen(text), interfaces, 2, error, size);
}

static struct hba *must_parse(const char *text)
{
	char error[512];
	struct hba *h = parse(text, error, sizeof(error));

	ck_assert_msg(h != NULL, "%s: %s", text, error);
	return h;
}

/* Matching. The line that decides is told by its number; 0: none does. */

enum how { PLAIN, TLS, REPLICATION };

static const struct {
	const char *text, *address, *database, *user; /* address NULL: a Unix socket */
	enum how how;
	int line;
} matches[] = {
	/* connection types */
	{ "local all all trust", NULL, "d", "u", PLAIN, 1 },
	{ "local all all trust", "10.0.0.1", "d", "u", PLAIN, 0 },
	{ "host all all all trust", NULL, "d", "u", PLAIN, 0 },
	{ "host all all all trust", "10.0.0.1", "d", "u", PLAIN, 1 },
	{ "host all all all trust", "::1", "d", "u", TLS, 1 },
	{ "hostssl all all all trust", "10.0.0.1", "d", "u", PLAIN, 0 },
	{ "hostssl all all all trust", "10.0.0.1", "d", "u", TLS, 1 },
	{ "hostnossl all all all trust", "10.0.0.1", "d", "u", PLAIN, 1 },
	{ "hostnossl all all all trust", "10.0.0.1", "d", "u", TLS, 0 },
	{ "hostgssenc all all all trust", "10.0.0.1", "d", "u", TLS, 0 },
	{ "hostnogssenc all all all trust", "10.0.0.1", "d", "u", PLAIN, 1 },
	{ "hostssl all all all trust\nlocal all all trust", NULL, "d", "u", TLS, 2 },
	/* addresses */
	{ "host all all 10.0.0.1/32 trust", "10.0.0.1", "d", "u", PLAIN, 1 },
	{ "host all all 10.0.0.1/32 trust", "10.0.0.2", "d", "u", PLAIN, 0 },
	{ "host all all 10.0.0.9/24 trust", "10.0.0.200", "d", "u", PLAIN, 1 },
	{ "host all all 10.0.0.128/25 trust", "10.0.0.127", "d", "u", PLAIN, 0 },
	{ "host all all 10.0.0.128/25 trust", "10.0.0.128", "d", "u", PLAIN, 1 },
	{ "host all all 0.0.0.0/0 trust", "203.0.113.7", "d", "u", PLAIN, 1 },
	{ "host all all 0.0.0.0/0 trust", "::1", "d", "u", PLAIN, 0 },
	{ "host all all 10.0.0.0 255.255.255.0 trust", "10.0.0.7", "d", "u", PLAIN, 1 },
	{ "host all all 10.0.0.0 255.255.255.0 trust", "10.0.1.7", "d", "u", PLAIN, 0 },
	{ "host all all ::1/128 trust", "::1", "d", "u", PLAIN, 1 },
	{ "host all all ::1/128 trust", "::2", "d", "u", PLAIN, 0 },
	{ "host all all 2001:db8::/33 trust", "2001:db8:7fff::1", "d", "u", PLAIN, 1 },
	{ "host all all 2001:db8::/33 trust", "2001:db8:8000::1", "d", "u", PLAIN, 0 },
	{ "host all all ::/0 trust", "127.0.0.1", "d", "u", PLAIN, 0 },
	{ "host all all fe80:: ffff:: trust", "fe80::1", "d", "u", PLAIN, 1 },
	{ "host all all samehost trust", "10.1.2.3", "d", "u", PLAIN, 1 },
	{ "host all all samehost trust", "10.1.2.4", "d", "u", PLAIN, 0 },
	{ "host all all samehost trust", "2001:db8::5", "d", "u", PLAIN, 1 },
	{ "host all all samenet trust", "10.1.99.1", "d", "u", PLAIN, 1 },
	{ "host all all samenet trust", "10.2.0.1", "d", "u", PLAIN, 0 },
	{ "host all all samenet trust", "2001:db8:1::", "d", "u", PLAIN, 1 },
	/* databases */
	{ "local d all trust", NULL, "d", "u", PLAIN, 1 },
	{ "local d all trust", NULL, "D", "u", PLAIN, 0 },
	{ "local a,d, e all trust", NULL, "d", "u", PLAIN, 1 },
	{ "local a,d, e all trust", NULL, "e", "u", PLAIN, 1 },
	{ "local \"d\" all trust", NULL, "d", "u", PLAIN, 1 },
	{ "local \"a b\",\"c\"\"d\" all trust", NULL, "a b", "u", PLAIN, 1 },
	{ "local \"a b\",\"c\"\"d\" all trust", NULL, "c\"d", "u", PLAIN, 1 },
	{ "local a\"b c\"d all trust", NULL, "ab cd", "u", PLAIN, 1 },
	{ "local \"all\" all trust", NULL, "d", "u", PLAIN, 0 },
	{ "local \"all\" all trust", NULL, "all", "u", PLAIN, 1 },
	{ "local sameuser all trust", NULL, "bob", "bob", PLAIN, 1 },
	{ "local sameuser all trust", NULL, "bob", "eve", PLAIN, 0 },
	{ "local \"sameuser\" all trust", NULL, "bob", "bob", PLAIN, 0 },
	{ "local \"samerole\" all trust", NULL, "samerole", "u", PLAIN, 1 },
	{ "local \"@d\" all trust", NULL, "@d", "u", PLAIN, 1 },
	{ "local replication all trust", NULL, "replication", "u", PLAIN, 0 },
	{ "local replication all trust", NULL, "d", "u", REPLICATION, 1 },
	{ "local all all trust", NULL, "d", "u", REPLICATION, 0 },
	{ "local \"replication\" all trust", NULL, "replication", "u", PLAIN, 1 },
	{ "local \"/^app[0-9]+$\" all trust", NULL, "app12", "u", PLAIN, 1 },
	{ "local /^app[0-9]+$ all trust", NULL, "app12\n", "u", PLAIN, 0 },
	{ "local /^app\\d$ all trust", NULL, "app7", "u", PLAIN, 1 },
	{ "local \"/^a{1,3}$\" all trust", NULL, "aaa", "u", PLAIN, 1 },
	{ "local /b all trust", NULL, "abc", "u", PLAIN, 1 },
	{ "local \"\" all trust", NULL, "d", "u", PLAIN, 0 },
	/* users */
	{ "local all u trust", NULL, "d", "u", PLAIN, 1 },
	{ "local all u trust", NULL, "d", "uu", PLAIN, 0 },
	{ "local all a,u trust", NULL, "d", "u", PLAIN, 1 },
	{ "local all \"+u\" trust", NULL, "d", "+u", PLAIN, 1 },
	{ "local all \"all\" trust", NULL, "d", "u", PLAIN, 0 },
	{ "local all /^u trust", NULL, "d", "u1", PLAIN, 1 },
	{ "local all \"/^\xc3.$\" trust", NULL, "d", "u", PLAIN, -1 },
	{ "local all \"/^.$\" trust", NULL, "d", "\xc3\xa4", PLAIN, 1 },
	{ "local all /^u trust", NULL, "d", "\xff", PLAIN, 0 },
	/* what can't be decided refuses, since the rule may have been there to reject */
	{ "local all /^(a+)+$ reject\nlocal all all trust", NULL, "d",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", PLAIN, 0 },
	{ "local all /x reject\nlocal all all trust", NULL, "d", "\xff", PLAIN, 0 },
	/* the first that fits decides */
	{ "local d all reject\nlocal all all trust", NULL, "d", "u", PLAIN, 1 },
	{ "local e all reject\nlocal all all trust", NULL, "d", "u", PLAIN, 2 },
	/* lines */
	{ "", NULL, "d", "u", PLAIN, 0 },
	{ "# nothing\n\n  \t\r\nlocal all all trust # all", NULL, "d", "u", PLAIN, 4 },
	{ "local \\\n all \\\r\n all trust\nlocal all all trust", NULL, "d", "u", PLAIN, 1 },
	{ "# local \\\n all all trust\nlocal all all trust", NULL, "d", "u", PLAIN, 3 },
	{ "local e all \\\ntrust\nlocal d all trust", NULL, "d", "u", PLAIN, 3 },
	{ "local all all trust#x", NULL, "d", "u", PLAIN, 1 },
	{ "local all \"#u\" trust", NULL, "d", "#u", PLAIN, 1 },
	{ "local all all ident", NULL, "d", "u", PLAIN, 1 },
};

START_TEST(the_first_line_that_fits_decides)
{
	struct address address = { .len = sizeof(sa_family_t) };
	struct hba_client c = { matches[_i].database, matches[_i].user, &address, matches[_i].how == TLS,
		matches[_i].how == REPLICATION };
	const struct hba_rule *rule;
	char error[512];
	struct hba *h = parse(matches[_i].text, error, sizeof(error));

	if (matches[_i].line < 0) { /* the file isn't UTF-8 */
		ck_assert_ptr_null(h);
		return;
	}
	ck_assert_msg(h != NULL, "%s", error);
	address.sa.sa_family = AF_UNIX;
	if (matches[_i].address)
		ck_assert(address_numeric(&address, matches[_i].address, 5123));
	rule = hba_match(h, &c);
	ck_assert_msg((rule ? rule->line : 0) == matches[_i].line, "%d: %s: %s as %s from %s: line %d", _i,
		matches[_i].text, matches[_i].database, matches[_i].user, matches[_i].address,
		rule ? rule->line : 0);
	hba_free(&h);
}
END_TEST

/* Errors. */

static const struct {
	const char *text, *error;
} mistakes[] = {
	{ "remote all all trust", "hba:1: invalid connection type \"remote\"" },
	{ "local,host all all trust", "hba:1: multiple values specified for connection type" },
	{ "local", "hba:1: end-of-line before database specification" },
	{ "local all", "hba:1: end-of-line before role specification" },
	{ "local all all", "hba:1: end-of-line before authentication method" },
	{ "host all all", "hba:1: end-of-line before IP address specification" },
	{ "host all all all", "hba:1: end-of-line before authentication method" },
	{ "host all all 1.2.3.4", "hba:1: end-of-line before netmask specification" },
	{ "host all all 1.2.3.4 trust", "hba:1: invalid IP mask \"trust\"" },
	{ "host all all 1.2.3.4 ffff:: trust", "hba:1: IP address and mask do not match" },
	{ "host all all 1.2.3.4/33 trust", "hba:1: invalid CIDR mask in address \"1.2.3.4/33\"" },
	{ "host all all 1.2.3.4/ trust", "hba:1: invalid CIDR mask in address \"1.2.3.4/\"" },
	{ "host all all 1.2.3.4/-1 trust", "hba:1: invalid CIDR mask in address \"1.2.3.4/-1\"" },
	{ "host all all 1.2.3.4/4294967297 trust", "hba:1: invalid CIDR mask in address \"1.2.3.4/4294967297\"" },
	{ "host all all ::/129 trust", "hba:1: invalid CIDR mask in address \"::/129\"" },
	{ "host all all 1.2.3 trust", "hba:1: invalid IP address \"1.2.3\"" },
	{ "host all all ::g trust", "hba:1: invalid IP address \"::g\"" },
	{ "host all all db.example.com trust",
		"hba:1: host names are not supported, only addresses: \"db.example.com\"" },
	{ "host all all .example.com trust", "hba:1: host names are not supported, only addresses: \".example.com\"" },
	{ "host all all 1.2.3.4/32,5.6.7.8/32 trust", "hba:1: multiple values specified for host address" },
	{ "local all all trust,md5", "hba:1: multiple values specified for authentication type" },
	{ "local all all magic", "hba:1: invalid authentication method \"magic\"" },
	{ "host all all all gss", "hba:1: authentication method \"gss\" is not supported" },
	{ "host all all all ident", "hba:1: authentication method \"ident\" is not supported" },
	{ "host all all all peer", "hba:1: peer authentication is only supported on local sockets" },
	{ "host all all all cert", "hba:1: cert authentication is only supported on hostssl connections" },
	{ "local all +admins trust", "hba:1: \"+admins\" needs PostgreSQL's roles, which are not known here" },
	{ "local samerole all trust", "hba:1: \"samerole\" needs PostgreSQL's roles, which are not known here" },
	{ "local x,samegroup all trust", "hba:1: \"samegroup\" needs PostgreSQL's roles, which are not known here" },
	{ "local all /( trust", "hba:1: invalid regular expression at byte 2: missing closing parenthesis" },
	{ "local all \"u trust", "hba:1: unterminated quoted string" },
	{ "local all all trust x", "hba:1: authentication option not in name=value format" },
	{ "local all all trust x=1", "hba:1: unrecognized authentication option name: \"x\"" },
	{ "local all all trust map=m",
		"hba:1: authentication option \"map\" is not valid for authentication method \"trust\"" },
	{ "host all all all md5 clientcert=verify-ca",
		"hba:1: clientcert can only be configured for \"hostssl\" rows" },
	{ "hostssl all all all md5 clientcert=1",
		"hba:1: invalid value for clientcert: it is verify-ca or verify-full" },
	{ "hostssl all all all cert clientcert=verify-ca",
		"hba:1: clientcert only accepts \"verify-full\" when using \"cert\" authentication" },
	{ "hostssl all all all cert clientname=OU", "hba:1: invalid value for clientname: it is CN or DN" },
	{ "host all all all pam pam_use_hostname=2", "hba:1: invalid value for pam_use_hostname: it is 0 or 1" },
	{ "host all all all ldap",
		"hba:1: authentication method \"ldap\" requires argument \"ldapserver\" to be set" },
	{ "host all all all ldap ldapserver=h",
		"hba:1: authentication method \"ldap\" requires argument \"ldapbasedn\", \"ldapprefix\", or "
		"\"ldapsuffix\" to be set" },
	{ "host all all all ldap ldapserver=h ldapprefix=cn= ldapbasedn=dc=x",
		"hba:1: cannot mix options for simple bind and search+bind modes" },
	{ "host all all all ldap ldapserver=h ldapbasedn=dc=x ldapsearchattribute=uid ldapsearchfilter=(uid=$username)",
		"hba:1: cannot use ldapsearchattribute together with ldapsearchfilter" },
	{ "host all all all ldap ldapport=0", "hba:1: invalid ldapport number" },
	{ "host all all all ldap ldapurl=http://h/dc=x", "hba:1: could not parse ldapurl" },
	{ "host all all all ldap ldapurl=ldapi://h/dc=x", "hba:1: unsupported scheme of ldapurl" },
	/* what may be a piece of a password isn't shown */
	{ "host all all all ldap ldapserver=h ldapbindpasswd=open sesame",
		"hba:1: authentication option not in name=value format" },
	{ "host all all all ldap ldapserver=h ldapbindpasswd=open se=same",
		"hba:1: unrecognized authentication option name" },
	/* lines and files */
	{ "local all all trust\n\nlocal all all \\\n magic", "hba:3: invalid authentication method \"magic\"" },
	{ "local \\\n all all trust\nx", "hba:3: invalid connection type \"x\"" },
	{ "local all @users trust", "hba:1: other files can't be read from here" },
	{ "include /etc/passwd", "hba:1: other files can't be read from here" },
	{ "include_dir /etc", "hba:1: other files can't be read from here" },
};

START_TEST(mistakes_are_told_with_their_line)
{
	char error[512];
	struct hba *h = parse(mistakes[_i].text, error, sizeof(error));

	ck_assert_msg(h == NULL, "%s", mistakes[_i].text);
	ck_assert_str_eq(error, mistakes[_i].error);
}
END_TEST

START_TEST(a_zero_byte_is_refused_in_its_line)
{
	char error[512];

	ck_assert_ptr_null(hba_parse("hba", "# a\nlocal\0 all", 14, NULL, 0, error, sizeof(error)));
	ck_assert_str_eq(error, "hba:2: there is a NUL byte in the line");
}
END_TEST

static const struct hba_rule *only_rule(const struct hba *h, bool is_tls)
{
	struct address a;
	struct hba_client c = { "d", "u", &a, is_tls, false };

	ck_assert(address_numeric(&a, "10.0.0.1", 1));
	return hba_match(h, &c);
}

START_TEST(options_of_ldap_are_read)
{
	struct hba *h = must_parse("host all all all ldap "
				   "ldapurl=\"ldaps://a.example:1636/dc=x?uid?one\" ldapbinddn=\"cn=r, dc=x\" "
				   "ldapbindpasswd=\"a b\" ldaptls=1");
	const struct ldap_options *l = &only_rule(h, false)->ldap;

	ck_assert_str_eq(l->scheme, "ldaps");
	ck_assert_str_eq(l->server, "a.example");
	ck_assert_int_eq(l->port, 1636);
	ck_assert_str_eq(l->basedn, "dc=x");
	ck_assert_str_eq(l->searchattribute, "uid");
	ck_assert_int_eq(l->scope, 1); /* LDAP_SCOPE_ONELEVEL */
	ck_assert_str_eq(l->binddn, "cn=r, dc=x");
	ck_assert_str_eq(l->bindpasswd, "a b");
	ck_assert(l->use_tls);
	hba_free(&h);
	h = must_parse("host all all all ldap ldapserver=\"a b\" ldapprefix=uid= ldapsuffix=\",dc=x\" ldapport=390");
	l = &only_rule(h, false)->ldap;
	ck_assert_str_eq(l->server, "a b");
	ck_assert_str_eq(l->prefix, "uid=");
	ck_assert_str_eq(l->suffix, ",dc=x");
	ck_assert_int_eq(l->port, 390);
	hba_free(&h);
}
END_TEST

START_TEST(options_of_certificates_and_pam_are_read)
{
	struct hba *h = must_parse("hostssl all all all cert map=m clientname=DN");
	const struct hba_rule *r = only_rule(h, true);

	ck_assert_int_eq(r->method, HBA_CERT);
	ck_assert_int_eq(r->clientcert, HBA_CLIENTCERT_FULL);
	ck_assert(r->is_clientname_dn);
	ck_assert_str_eq(r->map, "m");
	hba_free(&h);
	h = must_parse("hostssl all all all scram-sha-256 clientcert=verify-ca");
	ck_assert_int_eq(only_rule(h, true)->clientcert, HBA_CLIENTCERT_CA);
	hba_free(&h);
	h = must_parse("host all all all pam pamservice=s pam_use_hostname=1");
	r = only_rule(h, false);
	ck_assert_str_eq(r->pamservice, "s");
	ck_assert(r->pam_use_hostname);
	hba_free(&h);
}
END_TEST

/* Files. */

static char folder[64];

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static struct hba *load(char *error, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/hba", folder);
	error[0] = '\0';
	return hba_load(path, error, size);
}

static void make_folder(void)
{
	char path[128];

	snprintf(folder, sizeof(folder), "/tmp/pgweir-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/d", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void remove_folder(void)
{
	static const char *const names[] = { "hba", "users", "more", "d/10.conf", "d/20.conf", "d/.x.conf",
		"d/x.txt", "d", "" };
	char path[128];

	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		remove(path);
	}
}

static const struct rule_of_user {
	const char *user;
	const char *file;
	int line;
} rules_of_users[] = {
	{ "ann", "hba", 1 },
	{ "bob", "hba", 1 },
	{ "eve", "hba", 1 },
	{ "all", "hba", 1 }, /* quoted in the list */
	{ "ten", "d/10.conf", 1 },
	{ "twenty", "d/20.conf", 2 },
	{ "hidden", NULL, 0 },
	{ "last", "hba", 5 },
	{ "nobody", NULL, 0 },
};

START_TEST(files_are_included)
{
	struct address address = { .len = sizeof(sa_family_t) };
	char error[512], path[160];
	struct hba *h;

	make_folder();
	write_file("hba",
		"local all @users trust\n"
		"include_dir d\n"
		"include_if_exists missing\n"
		"# include missing\n"
		"local all last trust\n");
	write_file("users", "ann, bob # and\n\"all\"\n@more");
	write_file("more", "eve");
	write_file("d/10.conf", "local all ten trust");
	write_file("d/20.conf", "\nlocal all twenty trust");
	write_file("d/.x.conf", "local all hidden trust");
	write_file("d/x.txt", "nonsense");
	h = load(error, sizeof(error));
	ck_assert_msg(h != NULL, "%s", error);
	address.sa.sa_family = AF_UNIX;
	for (size_t i = 0; i < N_ELEMENTS(rules_of_users); i++) {
		const struct rule_of_user *want = &rules_of_users[i];
		struct hba_client c = { "d", want->user, &address, false, false };
		const struct hba_rule *r = hba_match(h, &c);

		ck_assert_msg((r != NULL) == (want->file != NULL), "%s", want->user);
		if (!r)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, want->file);
		ck_assert_str_eq(r->file, path);
		ck_assert_int_eq(r->line, want->line);
	}
	hba_free(&h);
	remove_folder();
}
END_TEST

static const struct {
	const char *hba, *users, *error; /* the error begins with the folder */
} bad_files[] = {
	{ "local all @missing trust", "", "/hba:1: cannot read \"%s/missing\": No such file or directory" },
	{ "include missing", "", "/hba:1: cannot read \"%s/missing\": No such file or directory" },
	{ "include_dir missing", "", "/hba:1: cannot read \"%s/missing\": No such file or directory" },
	{ "include d", "", "/hba:1: cannot read \"%s/d\": not a regular file" },
	{ "include users", "include hba", "/users:1: cannot read \"%s/hba\": files are nested too deeply" },
	{ "local all @users trust", "@users", "/users:1: cannot read \"%s/users\": files are nested too deeply" },
	{ "include users\ninclude users", "\nlocal all all", "/users:2: end-of-line before authentication method" },
	{ "local all @users trust", "\"a", "/users:1: unterminated quoted string" },
	{ "local all @/dev/null trust", "", "/hba:1: cannot read \"/dev/null\": not a regular file" },
	{ "", "", "/hba: contains no entries" },
	{ "# local all all trust\ninclude users\n", "# nor here", "/hba: contains no entries" },
};

START_TEST(bad_files_are_told_where_they_were_asked_for)
{
	char error[512], want[512], with_folder[400];

	make_folder();
	write_file("hba", bad_files[_i].hba);
	write_file("users", bad_files[_i].users);
	ck_assert_ptr_null(load(error, sizeof(error)));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(with_folder, sizeof(with_folder), bad_files[_i].error, folder);
#pragma GCC diagnostic pop
	snprintf(want, sizeof(want), "%s%s", folder, with_folder);
	ck_assert_str_eq(error, want);
	remove_folder();
}
END_TEST

START_TEST(files_that_multiply_are_bounded)
{
	char error[512];

	make_folder();
	write_file("hba", "local all @users,@users,@users,@users,@users,@users,@users,@users trust");
	write_file("users", "@more,@more,@more,@more,@more,@more,@more,@more,@more,@more,@more,@more");
	write_file("more",
		"@d/10.conf @d/10.conf @d/10.conf @d/10.conf @d/10.conf @d/10.conf @d/10.conf @d/10.conf "
		"@d/10.conf @d/10.conf @d/10.conf @d/10.conf @d/10.conf @d/10.conf @d/10.conf @d/10.conf");
	write_file("d/10.conf", "x");
	ck_assert_ptr_null(load(error, sizeof(error)));
	ck_assert_msg(strstr(error, "too many files are included") != NULL, "%s", error);
	remove_folder();
}
END_TEST

UNIT_MAIN("hba", {
	tcase_add_loop_test(tc, the_first_line_that_fits_decides, 0, N_ELEMENTS(matches));
	tcase_add_loop_test(tc, mistakes_are_told_with_their_line, 0, N_ELEMENTS(mistakes));
	tcase_add_test(tc, a_zero_byte_is_refused_in_its_line);
	tcase_add_test(tc, options_of_ldap_are_read);
	tcase_add_test(tc, options_of_certificates_and_pam_are_read);
	tcase_add_test(tc, files_are_included);
	tcase_add_loop_test(tc, bad_files_are_told_where_they_were_asked_for, 0, N_ELEMENTS(bad_files));
	tcase_add_test(tc, files_that_multiply_are_bounded);
})
