/*
 * Clients and servers that say anything, in turns, to one worker: nothing asserts, nothing leaks, clients, servers and pools always
 * agree on who has whom. The input is a list of steps, each with its operands.
 */
#include "../unit/world.h"

#define STEPS_MAX 200

struct input {
	const uint8_t *pos, *end;
};

static uint8_t take(struct input *in)
{
	return in->pos < in->end ? *in->pos++ : 0;
}

/* A length byte and as many bytes, or what there is. */
static size_t take_bytes(struct input *in, const uint8_t **bytes)
{
	size_t n = take(in), left = (size_t)(in->end - in->pos);

	n = MIN(n, left);
	*bytes = in->pos;
	in->pos += n;
	return n;
}

static void send_raw(int fd, struct input *in)
{
	const uint8_t *bytes;
	size_t n = take_bytes(in, &bytes);

	if (fd >= 0)
		send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* In a frame whose length is right. */
static void send_framed(int fd, struct input *in, const char *types)
{
	uint8_t type = (uint8_t)types[take(in) % strlen(types)];
	const uint8_t *bytes;
	size_t n = take_bytes(in, &bytes);
	struct writer w = { 0 };

	msg_begin(&w, type);
	write_bytes(&w, bytes, n);
	msg_end(&w);
	if (fd >= 0)
		send(fd, w.data, w.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	writer_free(&w);
}

/* What drivers send, without operands that the fuzzer would have to find. */
static const struct {
	const char *bytes;
	size_t len;
} phrases[] = {
	{ "Q\0\0\0\x0d"
	  "select 1\0",
		14 },
	{ "Q\0\0\0\x0a"
	  "begin\0",
		11 },
	{ "Q\0\0\0\x0b"
	  "commit\0",
		12 },
	{ "Q\0\0\0\x09"
	  "copy\0",
		10 },
	{ "Q\0\0\0\x11"
	  "deallocate a\0",
		18 },
	{ "Q\0\0\0\x10"
	  "discard all\0",
		17 },
	{ "P\0\0\0\x11"
	  "a\0select 1\0\0\0",
		18 },
	{ "P\0\0\0\x11"
	  "b\0select 1\0\0\0",
		18 },
	{ "P\0\0\0\x10"
	  "\0select 2\0\0\0",
		17 },
	{ "P\0\0\0\x14"
	  "\0deallocate a\0\0\0",
		21 },
	{ "B\0\0\0\x0d"
	  "\0a\0\0\0\0\0\0\0",
		14 },
	{ "B\0\0\0\x0c"
	  "\0\0\0\0\0\0\0\0",
		13 },
	{ "D\0\0\0\x07"
	  "Sa\0",
		8 },
	{ "D\0\0\0\x06"
	  "P\0",
		7 },
	{ "E\0\0\0\x09"
	  "\0\0\0\0\0",
		10 },
	{ "C\0\0\0\x07"
	  "Sa\0",
		8 },
	{ "S\0\0\0\4", 5 },
	{ "H\0\0\0\4", 5 },
	{ "d\0\0\0\6x\n", 7 },
	{ "c\0\0\0\4", 5 },
	{ "f\0\0\0\5\0", 6 },
	{ "X\0\0\0\4", 5 },
};

static void send_phrases(int fd, struct input *in)
{
	for (int n = take(in) % 8; n >= 0; n--) {
		size_t i = take(in) % N_ELEMENTS(phrases);

		if (fd >= 0)
			send(fd, phrases[i].bytes, phrases[i].len, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

/* A driver reads what it gets. */
static void read_all(int fd)
{
	static uint8_t bytes[65536];

	while (fd >= 0 && recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

/* Time can't be waited for: it is made to have passed. */
static void skip_time(struct world *w)
{
	struct worker *worker = &w->worker;
	usec_t long_ago = 1;

	LIST_FOREACH(&worker->clients, n, next) {
		struct client *c = CONTAINER_OF(n, struct client, node);

		c->linger_until = MIN(c->linger_until, long_ago);
		c->peer_shut_at = MIN(c->peer_shut_at, long_ago);
		c->waiter.deadline = MIN(c->waiter.deadline, long_ago);
		c->idle_since = c->request_at = long_ago;
	}
	for (struct pool *p = worker->pools, *next = NULL; p; p = next) {
		next = p->hh.next;
		atomic_store(&p->shared->next_try, 0);
		LIST_FOREACH(&p->servers, n, after)
			CONTAINER_OF(n, struct server, node)->deadline = long_ago;
	}
	loop_tick_soon(&worker->loop);
}

static void step(struct world *w, struct input *in)
{
	static const char from_server[] = "12CDEGHIKNRSTVWZAcdnst3";
	uint8_t what = take(in);
	int *client = &w->clients[what / 16 % w->n_clients];
	int server = w->n_servers ? what / 16 % w->n_servers : -1, none = -1;
	int *server_fd = server >= 0 ? &w->servers[server].fd : &none;

	switch (what % 16) {
	case 0: send_raw(*client, in); break;
	case 1: send_framed(*client, in, "QPBDECSHdcfXF"); break;
	case 2: send_raw(*server_fd, in); break;
	case 3: send_framed(*server_fd, in, from_server); break;
	case 4: world_close(client); break;
	case 5: world_close(server_fd); break;
	case 6: skip_time(w); break;
	case 7:
		if (w->n_clients < WORLD_CLIENTS)
			world_client_named(w, what & 16 ? "third" : NULL);
		break;
	case 8:
		if (server >= 0)
			world_serve(w, server, take(in) % 16);
		break;
	case 9:
		if (*client >= 0)
			shutdown(*client, SHUT_WR);
		break;
	case 10:
	case 11:
	case 12:
		if (server >= 0)
			world_serve(w, server, -1);
		break;
	case 15: world_cancel(w, what / 16 % WORLD_CLIENTS); break;
	default: send_phrases(*client, in); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const settings[] = {
		"default_pool_size = 1\nmax_prepared_statements = 1\nserver_lifetime = 3600",
		"default_pool_size = 2\nserver_check_delay = 0",
		"default_pool_size = 1\npool_mode = session",
		"default_pool_size = 1\nmax_prepared_statements = 0\nquery_timeout = 1\nidle_transaction_timeout = 1",
		"default_pool_size = 1\npool_mode = statement\nmax_waiting_clients = 1",
	};
	struct input in = { data, data + size };
	static struct world w; /* with its arena too big for the stack's taste */

	world_start(&w, settings[take(&in) % N_ELEMENTS(settings)]);
	world_client(&w);
	world_client_named(&w, "second");
	world_rounds(&w, 2);
	for (int i = 0; i < STEPS_MAX && in.pos < in.end; i++) {
		step(&w, &in);
		world_rounds(&w, 2);
		world_check(&w);
		for (int c = 0; c < w.n_clients; c++)
			read_all(w.clients[c]);
	}
	world_end(&w);
	return 0;
}
