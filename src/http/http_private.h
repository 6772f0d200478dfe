/*
 * http_private.h - what the files of src/http share. See http.h for who does what.
 */
#ifndef PGWEIR_HTTP_PRIVATE_H
#define PGWEIR_HTTP_PRIVATE_H

#include "admin/report.h"
#include "admin/show.h"
#include "config/http_listen.h"
#include "http/http.h"
#include "http/http_request.h"
#include "net/stream.h"
#include "pool/host.h"

#include <sys/types.h>
#include <time.h>

enum conn_state {
	CONN_READING,	/* waits for the rest of a request */
	CONN_ASKING,	/* workers have been asked; it isn't read meanwhile */
	CONN_ANSWERING, /* the kernel hasn't taken all of the answer yet */
	CONN_CLOSING,	/* its last answer is on its way, or it is freed when the round ends */
	CONN_STATES,
};

enum content { CONTENT_TEXT, CONTENT_JSON, CONTENT_HTML, CONTENT_METRICS, CONTENT_OPENMETRICS };

struct asking;
struct http_conn;

/* Makes the body of an answer for which the workers were asked. */
typedef void http_answer_fn(struct http_conn *c, const struct show *show);

struct http_conn {
	struct stream stream;
	struct doomed doomed;
	struct list_node node;
	struct http *http;
	enum conn_state state;
	usec_t since;	/* in this state; READING: since its first byte, once there is one */
	bool has_begun; /* READING: some bytes are there */
	bool is_head, is_keep_alive, wants_openmetrics;
	char path[HTTP_PATH_MAX + 1], query[HTTP_QUERY_MAX + 1];
	struct asking *asking; /* CONN_ASKING */
	http_answer_fn *answer;
};

struct http_socket {
	struct http *http;
	struct http_place place;
	struct event event;
	int fd;		  /* -1: not yet */
	bool is_logged;	  /* that it can't be listened on for now */
	bool is_assigned; /* the event */
};

struct http_counts { /* since the start */
	uint64_t connections, evicted, refused_tokens;
	uint64_t answers[6]; /* by the status's first digit */
};

struct http {
	struct http_host host;
	struct http_socket sockets[HTTP_PLACES_MAX];
	size_t n_sockets;
	struct list conns;
	struct list askings;
	uint64_t next_asking;
	struct http_counts counts;
	char *token, *token_file; /* token: "" none is needed, NULL: it couldn't be read, nobody gets in */
	struct timespec token_changed;
	ino_t token_inode;
	usec_t token_complained_at;
	usec_t away_since; /* PostgreSQL, as the last ticks have seen it; 0: it isn't */
	time_t started;
};

/* server.c */
void http_adopt(struct http *h, int fd); /* takes a connection that was accepted */
/* The one answer to the request in hand. */
void conn_answer(struct http_conn *c, int status, enum content type, const void *body, size_t len);
void conn_answer_text(struct http_conn *c, int status, const char *text);
void conn_wait(struct http_conn *c); /* the answer comes later */
const struct config *http_config(const struct http *h);

static inline bool host_is_up(const struct host *h)
{
	return h->state == HOST_UP || h->state == HOST_RAMP;
}

/* token.c */
bool token_load(struct http *h, const struct config *c, char *error, size_t size);
void token_watch(struct http *h); /* the file may have changed */
void token_free(struct http *h);
bool token_is(const struct http *h, const char *token, size_t len); /* in constant time */

/* route.c */
void route(struct http_conn *c, const struct http_request *r);

/* ask.c */
void http_ask_workers(struct http_conn *c, unsigned wants, http_answer_fn *answer);
void http_ask_forget(struct http_conn *c); /* it has left */
void http_ask_end(struct http *h);

/* True, or why not. */
bool http_is_ready(const struct http *h, char *why, size_t size);

#endif
