/*
 * A console command: either an error that quotes it, or a command which, written out again from what was understood, is understood
 * in the same way; case and blanks around it make no difference.
 */
#include "admin/commands.h"
#include "admin/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_quoted(FILE *f, const char *text, char quote)
{
	fputc(quote, f);
	for (; *text; text++) {
		if (*text == quote)
			fputc(quote, f);
		fputc(*text, f);
	}
	fputc(quote, f);
}

static char *written(const struct command *c)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ASSERT(f);
	fprintf(f, "  %s ", c->spec->word);
	if (*c->name)
		put_quoted(f, c->name, '"');
	if (command_is_select(c)) {
		fclose(f);
		free(text);
		return xstrdup(c->value);
	}
	if (c->spec->args == ARGS_NUMBER)
		fprintf(f, "%llu", (unsigned long long)c->number);
	if (c->spec->args == ARGS_ASSIGNMENT) {
		fputs(" TO ", f);
		put_quoted(f, c->value, '\'');
	}
	fputs(" ; ", f);
	fclose(f);
	return text;
}

static void check_same(const struct command *a, const struct command *b)
{
	ASSERT(a->spec == b->spec && a->view == b->view && a->fake == b->fake && a->number == b->number);
	ASSERT(strcmp(a->name, b->name) == 0 && strcmp(a->value, b->value) == 0);
}

static void check(const struct command *c)
{
	struct command_error error;
	char *text = written(c);
	struct command again;

	ASSERT(memchr(c->name, '\0', sizeof(c->name)) && memchr(c->value, '\0', sizeof(c->value)));
	ASSERT(c->spec->args != ARGS_VIEW || (c->view != NULL) != (c->fake != NULL));
	ASSERT(c->spec->args != ARGS_SELECT || (command_is_select(c) || c->is_of_catalogs) == !*c->name);
	if (c->is_of_catalogs) { /* it isn't kept */
		free(text);
		return;
	}
	ASSERT(command_parse(text, &again, &error) == RES_OK);
	check_same(c, &again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct command_error error;
	char *text = xstrndup((const char *)data, size);
	struct command c;

	if (command_parse(text, &c, &error) != RES_OK)
		ASSERT(*error.message && memchr(error.message, '\0', sizeof(error.message)) &&
			strlen(error.sqlstate) == 5);
	else if (c.spec)
		check(&c);
	free(text);
	return 0;
}
