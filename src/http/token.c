#include "base/file.h"
#include "base/log.h"
#include "http/http_private.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void token_free(struct http *h)
{
	secure_free(&h->token);
	free(h->token_file);
	h->token_file = NULL;
}

/* A request's line can carry nothing else, so any other token would let nobody in. */
static bool is_sendable(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static bool keep(struct http *h, const char *token, const char *where, char *error, size_t size)
{
	if (strlen(token) > HTTP_TOKEN_MAX || !is_sendable(token)) {
		snprintf(error, size, "%s: a token has up to %d characters of ASCII, without blanks", where,
			HTTP_TOKEN_MAX);
		return false;
	}
	secure_free(&h->token);
	h->token = xstrdup(token);
	return true;
}

static void note_file(struct http *h, const char *path)
{
	struct stat st = { 0 };

	if (stat(path, &st) != 0)
		st.st_ino = 0;
	h->token_changed = st.st_ctim;
	h->token_inode = st.st_ino;
}

static bool load_file(struct http *h, const char *path, char *error, size_t size)
{
	const char *why = NULL;
	size_t len = 0;
	char *text = file_read(path, HTTP_TOKEN_MAX + 2, &len, &why), where[300];
	bool ok;

	if (!text) {
		snprintf(error, size, "could not read http_token_file \"%.200s\": %s", path, why);
		return false;
	}
	text[strcspn(text, "\r\n")] = '\0';
	snprintf(where, sizeof(where), "http_token_file \"%.200s\"", path);
	if (*text)
		ok = keep(h, text, where, error, size);
	else
		ok = !snprintf(error, size, "%s: its first line is empty", where);
	explicit_bzero(text, len);
	free(text);
	return ok;
}

bool token_load(struct http *h, const struct config *c, char *error, size_t size)
{
	free(h->token_file);
	h->token_file = *c->http_token_file ? xstrdup(c->http_token_file) : NULL;
	if (!h->token_file)
		return keep(h, c->http_token, "http_token", error, size);
	note_file(h, h->token_file); /* before reading, so that a change meanwhile is noticed */
	return load_file(h, h->token_file, error, size);
}

/* Kubernetes swaps a secret's file for another: its inode and its time tell. */
void token_watch(struct http *h)
{
	struct timespec had = h->token_changed;
	ino_t inode = h->token_inode;
	char error[512];

	if (!h->token_file)
		return;
	note_file(h, h->token_file);
	if (h->token_inode == inode && h->token_changed.tv_sec == had.tv_sec &&
		h->token_changed.tv_nsec == had.tv_nsec)
		return;
	if (load_file(h, h->token_file, error, sizeof(error)))
		log_info(NULL, "http_token_file has changed: its new token counts from now on");
	else
		log_warning(NULL, "%s; the old token stays", error);
}

/* Of two digests of the same length, so that neither content nor length shows in the time it takes. */
bool token_is(const struct http *h, const char *token, size_t len)
{
	uint8_t want[SHA256_DIGEST_LENGTH], got[SHA256_DIGEST_LENGTH];

	if (!h->token || !*h->token)
		return false;
	SHA256((const uint8_t *)h->token, strlen(h->token), want);
	SHA256((const uint8_t *)token, len, got);
	return CRYPTO_memcmp(want, got, sizeof(want)) == 0;
}
