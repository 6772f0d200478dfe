/*
 * The options parameter, compared with what PostgreSQL uses: getopt() over the split words. And any name and value that
 * are escaped come back as they were, as one setting.
 */
#include "wire/startup.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Settings as one string each: name=value */
static void add(void *ctx, const char *name, const char *value)
{
	struct writer *w = ctx;

	write_bytes(w, name, strlen(name));
	write_u8(w, '=');
	write_cstring(w, value);
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* pg_split_opts(), naively; words are allocated. */
static int split(const char *s, char **argv)
{
	int argc = 0;

	argv[argc++] = xstrdup("postgres");
	while (*s) {
		char *word = xcalloc(1, strlen(s) + 1), *to = word;
		bool escaped = false;

		while (is_blank(*s))
			s++;
		if (!*s) {
			free(word);
			break;
		}
		for (; *s && (escaped || !is_blank(*s)); s++) {
			if (!escaped && *s == '\\')
				escaped = true;
			else
				escaped = false, *to++ = *s;
		}
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	return argc;
}

static const char *bad_planner_or_stats(int flag)
{
	if (flag == 'f')
		return *optarg && strchr("siobtnmh", *optarg) ? NULL : optarg;
	return *optarg == 'e' || !strncmp(optarg, "pa", 2) || !strncmp(optarg, "pl", 2) ? NULL : optarg;
}

/* The loop of process_postgres_switches(). NULL: no error; "": a value is missing; else the word that it names. */
static const char *reference(int argc, char **argv, struct writer *settings)
{
	int flag;

	optind = 0; /* glibc: start anew */
	opterr = 0;
	while ((flag = getopt(argc, argv, "B:bc:C:D:d:EeFf:h:ijk:lN:nOPp:r:S:sTt:v:W:-:")) != -1) {
		char *value;

		if (flag == '?' || ((flag == 'f' || flag == 't') && bad_planner_or_stats(flag)))
			return argv[optind - 1];
		if (flag != 'c' && flag != '-')
			continue;
		value = strchr(optarg, '=');
		if (!value)
			return "";
		for (char *p = optarg; p < value; p++)
			write_u8(settings, *p == '-' ? '_' : (uint8_t)*p);
		write_u8(settings, '=');
		write_cstring(settings, value + 1);
	}
	return optind < argc ? argv[optind] : NULL;
}

static void compare_with_getopt(const char *options)
{
	char **argv = xcalloc(strlen(options) + 3, sizeof(*argv)), **words, *buf;
	int argc = split(options, argv);
	struct writer want = { 0 }, got = { 0 };
	struct startup_error e = { .message = "" };
	const char *bad, *colon;
	enum result res;

	words = xcalloc((size_t)argc + 1, sizeof(*words)); /* getopt() moves the words of argv */
	memcpy(words, argv, ((size_t)argc + 1) * sizeof(*words));
	bad = reference(argc, argv, &want);
	res = options_parse(options, &buf, add, &got, &e);
	ASSERT(res == (bad ? RES_PROTOCOL : RES_OK));
	colon = strstr(e.message, "process: ");
	if (bad && *bad && strlen(bad) < 70)
		ASSERT(colon && !strcmp(colon + 9, bad));
	for (size_t g = 0, w = 0; w < want.len;
		g += strlen((char *)got.data + g) + 1) { /* ours has the letters' settings, too */
		ASSERT(g < got.len);
		if (!strcmp((char *)got.data + g, (char *)want.data + w))
			w += strlen((char *)want.data + w) + 1;
	}
	for (int i = 0; i < argc; i++)
		free(words[i]);
	free(words);
	free(argv);
	free(buf);
	writer_free(&want);
	writer_free(&got);
}

static void escape_and_return(const char *value)
{
	struct writer w = { 0 }, got = { 0 };
	struct startup_error e;
	char *buf;

	write_bytes(&w, "-c x.y=", 7);
	for (const char *p = value; *p; p++) {
		if (is_blank(*p) || *p == '\\')
			write_u8(&w, '\\');
		write_u8(&w, (uint8_t)*p);
	}
	write_u8(&w, 0);
	ASSERT(options_parse((char *)w.data, &buf, add, &got, &e) == RES_OK);
	ASSERT(got.len == strlen(value) + 5 && !strcmp((char *)got.data + 4, value));
	free(buf);
	writer_free(&w);
	writer_free(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);

	compare_with_getopt(text);
	escape_and_return(text);
	free(text);
	return 0;
}
