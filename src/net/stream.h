/*
 * stream.h - a socket: how bytes come and go, with backpressure, in plain text or by TLS. The only code that calls recv and send.
 *
 * Input:    ops->data() gets what was read and says how much it took; the rest is kept and given again together with what
 *           follows, or at stream_resume(). A paused stream isn't read. An idle stream owns no buffer.
 * Output:   stream_send() hands the kernel what it takes and copies the rest; stream_backlog() says how much waits. The
 *           caller stops its source when that is too much and goes on when ops->drained() says that all is out.
 * End:      ops->closed() once, after the last byte was given to data(). A failed write first lets the peer have its last
 *           word (a server's FATAL). While paused, ops->hangup() tells that the peer will send no more.
 * TLS:      after stream_start_tls() the owner gives and gets plain text as before; backlog and errors are the socket's. Whatever
 *           it sends before the handshake is done is dropped. What was read with the last plain text but not taken by data()
 *           is the handshake's first part.
 * Events:   registered once, edge-triggered, for reading, writing and hang-up; pausing is a flag. A short read means drained.
 * Calls:    ops are called from the loop only, never from inside stream_send() and its sisters. In any of them the
 *           owner may call stream_close(); the struct must then live until the round ends (loop_doom()).
 * Threads:  those of its loop; between stream_detach() and stream_attach() it may move to another thread.
 *           A detached stream is posted from the loop's round_end, never from inside one of its own callbacks.
 * Source:   epoll(7) on EPOLLET; doc/ARCHITECTURE.md on the path of a query.
 */
#ifndef PGWEIR_STREAM_H
#define PGWEIR_STREAM_H

#include "net/loop.h"
#include "net/tls.h"

#include <sys/uio.h>

struct stream;

enum stream_end { STREAM_EOF, STREAM_RESET };

struct stream_ops {
	size_t (*data)(struct stream *s, const uint8_t *bytes, size_t len);
	void (*drained)(struct stream *s);
	void (*hangup)(struct stream *s);
	void (*closed)(struct stream *s, enum stream_end why);
	void (*connected)(struct stream *s); /* a connect in progress has come to its good end; this and hangup may be NULL */
	void (*handshake)(struct stream *s); /* TLS: a step was taken; tls_is_up() says if it was the last. May be NULL */
};

struct stream {
	const struct stream_ops *ops;
	struct loop *loop; /* NULL while detached */
	struct event event;
	struct list_node ready_node;
	uint8_t *held; /* input that data() didn't take */
	size_t held_len, held_cap;
	uint8_t *out; /* output that the kernel didn't take: out[out_pos .. out_len) */
	size_t out_pos, out_len, out_cap;
	usec_t stalled_since; /* since when the kernel has taken nothing of out; 0: nothing waits */
	struct tls *tls;      /* NULL: plain text. Then out holds what is sealed already */
	int fd;		      /* -1: closed */
	int error;	      /* errno of a STREAM_RESET, for the log */
	bool is_first : 1;    /* served before others: servers */
	bool is_readable : 1, is_paused : 1, is_retry : 1 /* held bytes are to be offered again */;
	bool is_peer_shut : 1, is_write_failed : 1, is_ended : 1, is_connecting : 1;
	bool is_turning : 1;   /* TLS began inside data(), which is still running */
	bool is_rechecked : 1; /* no edge said what is there: a short read proves nothing */
};

void stream_init(struct stream *s, const struct stream_ops *ops, int fd, bool is_first);
void stream_attach(struct stream *s, struct loop *l);
/*
 * In two steps, for a socket that most likely has bytes already and may soon move on: it is read in this round, and has cost epoll
 * nothing if it is detached before stream_watch(), which must come by the round's end, or nobody hears of it again.
 */
void stream_attach_unwatched(struct stream *s, struct loop *l);
void stream_watch(struct stream *s); /* no-op if it is watched */
void stream_detach(struct stream *s);
void stream_close(struct stream *s);  /* idempotent; closes the descriptor */
int stream_release(struct stream *s); /* as stream_close(), but the descriptor is the caller's from now on */
void stream_hold(struct stream *s, const void *bytes,
	size_t len); /* as if these had been read already; they're offered in the next round */

void stream_send(struct stream *s, const struct iovec *iov, int n);
void stream_send_bytes(struct stream *s, const void *bytes, size_t len);
static inline size_t stream_backlog(const struct stream *s)
{
	return s->out_len - s->out_pos;
}

/* No more output: says so by TLS, too. To be called again from drained() if there is a backlog. */
void stream_finish(struct stream *s);

/* Moves t. Inside data() or before the first byte came. */
void stream_start_tls(struct stream *s, struct tls **t);
/* To hand it over: sealed bytes that wait go with it. In front of stream_release(); NULL: none. */
struct tls *stream_take_tls(struct stream *s);
void stream_give_tls(struct stream *s, struct tls **t); /* between stream_init() and stream_attach() */
/* Closes what isn't a stream any longer; tells the peer so. */
void stream_hang_up(int fd, struct tls **t);

void stream_pause(struct stream *s);
void stream_resume(struct stream *s);
/*
 * Reads it in the next round, edge or not. libevent reports a reset as readable and writable, which is what it reports for any byte, too: data and a reset that arrive
 * together look like data alone, and no further edge comes. Whoever waits for a peer that owes something asks now and then.
 */
void stream_recheck(struct stream *s);
void stream_expect_silence(struct stream *s); /* the peer may shut its receive window for as long as it lives */
void stream_kick(struct stream *s);	      /* serve it in this round, or the next */

#endif
