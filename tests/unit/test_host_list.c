#include "config/host_list.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *hosts, *ports, *want; /* the list as name:port, or why it is refused */
} lists[] = {
	{ NULL, NULL, ":5432 " },
	{ "", "", ":5432 " },
	{ "", "1", ":1 " },
	{ "h", NULL, "h:5432 " },
	{ "h,i", NULL, "h:5432 i:5432 " },
	{ "h,i", "1", "h:1 i:1 " },
	{ "h,i", "1,2", "h:1 i:2 " },
	{ " h , i ", "\t1 , 2", "h:1 i:2 " },
	{ "h,i", ",2", "h:5432 i:2 " }, /* a URI in which one of them has a port */
	{ "/run/a,::1,@b", "1,2,3", "/run/a:1 ::1:2 @b:3 " },
	{ "h", "65535", "h:65535 " },
	{ "h", "0", "port must be a number from 1 to 65535, not \"0\"" },
	{ "h", "-1", "port must be a number from 1 to 65535, not \"-1\"" },
	{ "h", "99999999999999999999", "port must be a number from 1 to 65535, not \"99999999999999999999\"" },
	{ "h", "1 2", "port must be a number from 1 to 65535, not \"1 2\"" },
	{ "h,i", "1,2,3", "port must be one number, or as many as there are hosts (2)" },
	{ "h", ",", "port must be one number, or as many as there are hosts (1)" },
	{ ",", NULL, "host has an empty name in its list" },
	{ "h,", NULL, "host has an empty name in its list" },
};

START_TEST(a_list_says_who_and_where)
{
	char got[256] = "", why[256];
	struct config_host *hosts;
	size_t n;

	if (!host_list_parse(lists[_i].hosts, lists[_i].ports, &hosts, &n, why, sizeof(why))) {
		ck_assert_str_eq(why, lists[_i].want);
		return;
	}
	for (size_t i = 0; i < n; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s:%d ", hosts[i].name, hosts[i].port);
	ck_assert_str_eq(got, lists[_i].want);
	host_list_free(&hosts, &n);
	ck_assert_ptr_null(hosts);
}
END_TEST

START_TEST(long_lists_and_names_are_refused)
{
	char text[2 * HOST_NAME_MAX_BYTES], why[256];
	struct config_host *hosts;
	size_t n;

	memset(text, 'h', sizeof(text));
	text[HOST_NAME_MAX_BYTES] = '\0';
	ck_assert(host_list_parse(text, NULL, &hosts, &n, why, sizeof(why)));
	host_list_free(&hosts, &n);
	text[HOST_NAME_MAX_BYTES] = 'h';
	text[HOST_NAME_MAX_BYTES + 1] = '\0';
	ck_assert(!host_list_parse(text, NULL, &hosts, &n, why, sizeof(why)));
	for (size_t i = 0; i < 2 * HOSTS_MAX; i++)
		memcpy(text + 2 * i, "h,", 2);
	text[2 * HOSTS_MAX - 1] = '\0';
	ck_assert(host_list_parse(text, NULL, &hosts, &n, why, sizeof(why)));
	ck_assert_uint_eq(n, HOSTS_MAX);
	host_list_free(&hosts, &n);
	text[2 * HOSTS_MAX - 1] = ',';
	text[2 * HOSTS_MAX + 1] = '\0';
	ck_assert(!host_list_parse(text, NULL, &hosts, &n, why, sizeof(why)));
	ck_assert_str_eq(why, "host lists more than 32 hosts");
}
END_TEST

UNIT_MAIN("host_list", {
	tcase_add_loop_test(tc, a_list_says_who_and_where, 0, N_ELEMENTS(lists));
	tcase_add_test(tc, long_lists_and_names_are_refused);
})
