#include "auth/auth_row.h"

#include "auth/credential.h"

#define IS_NULL UINT32_MAX

struct column {
	const uint8_t *bytes; /* NULL: the value is */
	uint32_t len;
};

static struct column read_column(struct reader *r)
{
	struct column c = { .len = read_u32(r) };

	if (c.len == IS_NULL)
		c.len = 0;
	else
		c.bytes = read_bytes(r, c.len);
	return c;
}

static bool is_user(struct column name, const char *user)
{
	return name.bytes && name.len == strlen(user) && memcmp(name.bytes, user, name.len) == 0;
}

enum result auth_row_parse(struct reader body, const char *user, char **secret, const char **why)
{
	uint16_t columns = read_u16(&body);
	struct column name, value;

	*secret = NULL;
	*why = "auth_query did not return two columns";
	if (body.bad || columns != 2)
		return RES_REFUSED;
	name = read_column(&body);
	value = read_column(&body);
	*why = "auth_query returned a broken row";
	if (body.bad || reader_left(&body) > 0)
		return RES_REFUSED;
	*why = "auth_query returned another user";
	if (!is_user(name, user))
		return RES_REFUSED;
	*why = "the user has no password, or it has expired, says auth_query";
	if (!value.bytes || !value.len)
		return RES_REFUSED;
	*why = "auth_query returned a secret that is too long or not text";
	if (value.len > CREDENTIAL_SECRET_MAX || memchr(value.bytes, 0, value.len))
		return RES_REFUSED;
	*secret = xstrndup((const char *)value.bytes, value.len);
	return RES_OK;
}
