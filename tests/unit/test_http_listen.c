#include "unit.h"

#include "config/http_listen.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *text;
	enum result want;
	const char *places; /* host port, ! where it isn't loopback, ? where it may be absent */
} lists[] = {
	{ "", RES_OK, "" },
	{ "  ", RES_OK, "" },
	{ "9187", RES_OK, "127.0.0.1 9187;" },
	{ ":9187", RES_OK, "127.0.0.1 9187;" },
	{ "127.0.0.1:1", RES_OK, "127.0.0.1 1;" },
	{ "127.9.9.9:65535", RES_OK, "127.9.9.9 65535;" },
	{ "[::1]:80", RES_OK, "::1 80;" },
	{ "[2001:db8::1]:80", RES_OK, "2001:db8::1 80!;" },
	{ "10.0.0.5:80", RES_OK, "10.0.0.5 80!;" },
	{ "0.0.0.0:80", RES_OK, "0.0.0.0 80!;" },
	{ "*:80", RES_OK, "0.0.0.0 80!;:: 80!?;" },
	{ " :1 ,\t[::1]:2 ", RES_OK, "127.0.0.1 1;::1 2;" },
	{ "[::ffff:127.0.0.1]:80", RES_OK, "::ffff:127.0.0.1 80!;" },
	{ "localhost:80", RES_PROTOCOL, NULL },
	{ "::1:80", RES_PROTOCOL, NULL },
	{ "[127.0.0.1]:80", RES_PROTOCOL, NULL },
	{ "[::1]", RES_PROTOCOL, NULL },
	{ "[::1:80", RES_PROTOCOL, NULL },
	{ "127.0.0.1", RES_PROTOCOL, NULL },
	{ "127.0.0.1:", RES_PROTOCOL, NULL },
	{ ":0", RES_PROTOCOL, NULL },
	{ ":65536", RES_PROTOCOL, NULL },
	{ ":-1", RES_PROTOCOL, NULL },
	{ ":+1", RES_PROTOCOL, NULL },
	{ ":080000", RES_PROTOCOL, NULL },
	{ ":1,", RES_PROTOCOL, NULL },
	{ ",:1", RES_PROTOCOL, NULL },
	{ ":1 :2", RES_PROTOCOL, NULL },
	{ "http://127.0.0.1:80", RES_PROTOCOL, NULL },
	{ ":1,:2,:3,:4,:5,:6,:7,:8,:9,:10,:11,:12,:13,:14,:15,:16,:17", RES_LIMIT, NULL },
};

START_TEST(http_listen_is_read)
{
	struct http_place places[HTTP_PLACES_MAX];
	char why[200] = "", got[200] = "";
	size_t n, len = 0;

	ck_assert_msg(http_listen_parse(lists[_i].text, places, &n, why, sizeof(why)) == lists[_i].want,
		"\"%s\": %s", lists[_i].text, why);
	if (lists[_i].want != RES_OK) {
		ck_assert_msg(strncmp(why, "http_listen: ", 13) == 0, "%s", why);
		return;
	}
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(got + len, sizeof(got) - len, "%s %d%s%s;", places[i].host,
			places[i].port, places[i].is_loopback ? "" : "!", places[i].may_be_absent ? "?" : "");
	ck_assert_str_eq(got, lists[_i].places);
}
END_TEST

#define LOAD(text) config_load_text("f.ini", text, strlen(text), &error)

static const struct {
	const char *lines, *error; /* NULL: accepted */
} files[] = {
	{ "[pgweir]\nhttp_listen = :9187\n", NULL },
	{ "[pgweir]\nhttp_listen = *:9187\nhttp_token = a long one\n", NULL },
	{ "[pgweir]\nhttp_token_file = /run/token\nhttp_listen = 10.0.0.1:9187\n", NULL },
	{ "[pgweir]\n\nhttp_listen = :9187, *:9188\n",
		"f.ini:3: http_listen: others than this machine can reach 0.0.0.0: set http_token or http_token_file" },
	{ "[pgweir]\nhttp_listen = x\n", "f.ini:2: http_listen: no [address]:port in \"x\"" },
	{ "[pgweir]\nhttp_listen = db.example:9187\n",
		"f.ini:2: http_listen: the address must be numeric (IPv6 in brackets) or *, not \"db.example\"" },
};

START_TEST(whoever_can_be_reached_needs_a_token)
{
	struct config_error error = { "" };
	struct config *c = LOAD(files[_i].lines);

	ck_assert_msg((c != NULL) == (files[_i].error == NULL), "%s", error.text);
	if (files[_i].error)
		ck_assert_str_eq(error.text, files[_i].error);
	config_unref(&c);
}
END_TEST

static void find_token(void *ctx, const char *key, const char *value, const char *default_value, bool changeable)
{
	(void)default_value, (void)changeable;
	if (strcmp(key, "http_token") == 0)
		ck_assert_str_eq(value, "");
	if (value && strstr(value, "tok-secret"))
		*(int *)ctx += 1;
}

START_TEST(the_token_cannot_be_taken_away_and_is_not_shown)
{
	struct config_error error = { "" };
	struct config *c = LOAD("[pgweir]\nhttp_listen = *:9187\nhttp_token = tok-secret\n"), *d;
	int shown = 0;

	ck_assert_ptr_nonnull(c);
	config_show(c, find_token, &shown);
	ck_assert_int_eq(shown, 0);
	ck_assert_ptr_null(config_with(c, "http_token", "", &error));
	ck_assert_ptr_nonnull(strstr(error.text, "set http_token"));
	d = config_with(c, "http_token", "another", &error);
	ck_assert_ptr_nonnull(d);
	ck_assert_str_eq(d->http_token, "another");
	config_unref(&d);
	config_unref(&c);
}
END_TEST

/* http_listen waits for a restart, the token doesn't. */
START_TEST(a_reload_cannot_take_the_token_from_open_sockets)
{
	struct config_error error = { "" };
	char path[] = "/tmp/pgweir-test-XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	struct config *c;

	fputs("[pgweir]\nhttp_listen = *:9187\nhttp_token = x\n", f);
	fflush(f);
	c = config_load(path, &error);
	ck_assert_ptr_nonnull(c);
	rewind(f);
	fputs("[pgweir]\nhttp_listen = :9187\n;;;;;;;;;;;;;;;;;;\n", f);
	fclose(f);
	ck_assert_ptr_null(config_reload(c, NULL, NULL, &error));
	ck_assert_ptr_nonnull(strstr(error.text, "set http_token"));
	unlink(path);
	config_unref(&c);
}
END_TEST

UNIT_MAIN("http_listen", {
	tcase_add_loop_test(tc, http_listen_is_read, 0, N_ELEMENTS(lists));
	tcase_add_loop_test(tc, whoever_can_be_reached_needs_a_token, 0, N_ELEMENTS(files));
	tcase_add_test(tc, the_token_cannot_be_taken_away_and_is_not_shown);
	tcase_add_test(tc, a_reload_cannot_take_the_token_from_open_sockets);
})
