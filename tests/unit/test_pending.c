#include "state/pending.h"

#include "unit.h"
#include "wire/msg.h"

#include <string.h>

/*
 * A script is a list of words:
 *	>P     a request is sent; >>P one of our own; >P!cba it isn't, or it is, and these are dropped, newest first
 *	<1=cP  the server says 1: it belongs to the client (c), to us (o), to no request (a), to the session's end (f), or
 *	       we are out of step (d); it answers P for good, or nothing for good (-). <ZI is ReadyForQuery with its status
 *	*L     an answer of our own is due, and given; -L: none is due
 *	?word  see claims[]
 * Requests: Query, Function, Parse, Bind, Describe, Execute, Close, X (made to fail), Sync, d (CopyData), e (its end), Local.
 * Each request but those that carry none (S, d, e) has a ref, by the order of sending: a, b, c ..
 */
static const char letters[] = "-QFPBDECXSdeL"; /* enum pending_type */

static bool is_copying(struct pending *p)
{
	return p->copy == COPY_IN && pending_swallows_sync(p);
}
static bool is_ending(struct pending *p)
{
	return p->copy == COPY_IN_ENDING && !pending_swallows_sync(p);
}
static bool is_skipping(struct pending *p)
{
	return p->is_skipping;
}
static bool is_ambiguous(struct pending *p)
{
	return p->is_ambiguous;
}
static bool is_certain(struct pending *p)
{
	return !p->is_ambiguous;
}
static bool is_busy(struct pending *p)
{
	return !pending_is_idle(p);
}
static bool is_not_between(struct pending *p)
{
	return !pending_is_between(p);
}
static bool awaits(struct pending *p)
{
	return pending_awaits_ready(p);
}
static bool awaits_not(struct pending *p)
{
	return !pending_awaits_ready(p);
}
static bool is_nobodys_turn(struct pending *p)
{
	return !pending_head(p);
}

static const struct {
	const char *word;
	bool (*holds)(struct pending *p);
} claims[] = {
	{ "idle", pending_is_idle },
	{ "busy", is_busy },
	{ "skipping", is_skipping },
	{ "copying", is_copying },
	{ "ending", is_ending },
	{ "ambiguous", is_ambiguous },
	{ "certain", is_certain },
	{ "between", pending_is_between },
	{ "not-between", is_not_between },
	{ "awaits", awaits },
	{ "clients-turn", awaits_not },
	{ "nothing", is_nobodys_turn },
};

struct script {
	struct pending p;
	const char *name;
	char refs[64]; /* what a ref points at: its letter */
	int n_refs, back[64];
	char dropped[64];
	size_t n_dropped;
};

static void take_back(struct script *s, const char *ref)
{
	if (ref)
		s->back[ref - s->refs]++;
}

static void on_drop(void *ctx, const struct pending_entry *e)
{
	struct script *s = ctx;
	const char *ref = e->ref;

	take_back(s, ref);
	if (ref)
		s->dropped[s->n_dropped++] = *ref;
}

static uint8_t type_of(char letter)
{
	return (uint8_t)(strchr(letters, letter) - letters);
}

static void do_send(struct script *s, const char *word)
{
	bool is_ours = word[0] == '>';
	char letter = word[is_ours];
	const char *drops = strchr(word, '!');
	bool has_ref = !strchr("Sde", letter), is_sent;
	char *ref = has_ref ? &s->refs[s->n_refs] : NULL;

	if (ref)
		*ref = (char)('a' + s->n_refs++);
	s->n_dropped = 0;
	is_sent = pending_sent(&s->p, type_of(letter), is_ours, 7, ref);
	s->dropped[s->n_dropped] = '\0';
	ck_assert_msg(is_sent == !drops, "%s: %s: sent %d", s->name, word, is_sent);
	ck_assert_msg(strcmp(s->dropped, drops ? drops + 1 : "") == 0, "%s: %s: dropped %s", s->name, word,
		s->dropped);
}

static void do_answer(struct script *s, const char *word)
{
	static const char verdicts[] = "coafd";
	const char *want = strchr(word, '='), *drops = strchr(want, '!');
	struct pending_entry popped = { 0 };
	enum pending_verdict v;

	s->n_dropped = 0;
	v = pending_answer(&s->p, (uint8_t)word[0], (uint8_t)(word[1] == '=' ? 'x' : word[1]), &popped);
	s->dropped[s->n_dropped] = '\0';
	ck_assert_msg(verdicts[v] == want[1], "%s: <%s: verdict %c", s->name, word, verdicts[v]);
	if (want[1] != 'd')
		ck_assert_msg(letters[popped.type] == want[2], "%s: <%s: popped %c", s->name, word,
			letters[popped.type]);
	ck_assert_msg(strcmp(s->dropped, drops ? drops + 1 : "") == 0, "%s: <%s: dropped %s", s->name, word,
		s->dropped);
	if (popped.type != PEND_NONE)
		take_back(s, popped.ref);
}

static void do_local(struct script *s, const char *word, bool want)
{
	struct pending_entry e;
	bool is_due = pending_pop_local(&s->p, &e);

	ck_assert_msg(is_due == want, "%s: %s: due %d", s->name, word, is_due);
	if (!is_due)
		return;
	ck_assert_int_eq(e.type, PEND_LOCAL);
	ck_assert_int_eq(e.detail, 7);
	take_back(s, e.ref);
}

static void do_claim(struct script *s, const char *word)
{
	for (size_t i = 0; i < N_ELEMENTS(claims); i++) {
		if (strcmp(claims[i].word, word) == 0) {
			ck_assert_msg(claims[i].holds(&s->p), "%s: not %s", s->name, word);
			return;
		}
	}
	ck_abort_msg("%s: unknown claim %s", s->name, word);
}

static void run(const char *name, const char *text)
{
	struct script s = { .name = name };
	char *copy = strdup(text), *rest = copy, *word;

	pending_init(&s.p, on_drop, &s);
	ck_assert(pending_is_idle(&s.p));
	while ((word = strsep(&rest, " "))) {
		switch (*word) {
		case '>': do_send(&s, word + 1); break;
		case '<': do_answer(&s, word + 1); break;
		case '?': do_claim(&s, word + 1); break;
		case '*': do_local(&s, word, true); break;
		case '-': do_local(&s, word, false); break;
		default: ck_abort_msg("%s: unknown word %s", name, word);
		}
	}
	pending_clear(&s.p);
	for (int i = 0; i < s.n_refs; i++)
		ck_assert_msg(s.back[i] == 1, "%s: ref %c came back %d times", name, s.refs[i], s.back[i]);
	ck_assert(pending_is_idle(&s.p));
	free(copy);
}

static const struct {
	const char *name, *text;
} scripts[] = {
	/* simple query */
	{ "a query", ">Q ?busy ?awaits <T=c- <D=c- <D=c- <C=c- ?busy <ZI=cQ ?idle" },
	{ "an empty query", ">Q <I=c- <ZI=cQ ?idle" },
	{ "several statements", ">Q <T=c- <C=c- <C=c- <I=c- <ZI=cQ ?idle" },
	{ "a failed query", ">Q <T=c- <D=c- <E=c- ?awaits <ZI=cQ ?idle" },
	{ "a query in a block", ">Q <C=c- <ZT=cQ ?busy >Q <E=c- <ZE=cQ ?busy >Q <C=c- <ZI=cQ ?idle" },
	{ "pipelined queries", ">Q >Q <C=c- <ZI=cQ ?busy <C=c- <ZI=cQ ?idle" },
	{ "an error of a query drops nothing behind it", ">Q >Q <E=c- <ZI=cQ <C=c- <ZI=cQ ?idle" },
	{ "copy out", ">Q <H=c- <d=c- <d=c- <c=c- <C=c- <ZI=cQ ?idle" },
	{ "a function call", ">F ?awaits <V=c- <ZI=cF ?idle" },
	{ "a failed function call", ">F <E=c- <ZI=cF ?idle" },
	{ "what comes at any time", "<N=a- <S=a- <A=a- ?idle >Q <N=a- <S=a- <C=c- <A=a- <ZI=cQ ?idle" },
	{ "our own query", ">>Q <T=o- <D=o- <E=o- <ZI=oQ ?idle" },
	{ "ours, then the client's", ">>Q >Q <C=o- <ZI=oQ <C=c- <ZI=cQ ?idle" },

	/* extended query */
	{ "a batch", ">P >B >D >E ?busy ?clients-turn >S ?awaits <1=cP <2=cB <T=cD <D=c- <C=cE ?busy <ZI=cS ?idle" },
	{ "a batch without its Sync", ">P <1=cP ?busy ?nothing >S <ZI=cS ?idle" },
	{ "prepared and described, all is answered",
		">P >D ?not-between <1=cP <n=cD ?between >C <3=cC ?between >>S ?not-between <ZI=oS ?idle" },
	{ "what has a portal isn't quiet", ">P >B <1=cP <2=cB ?not-between >S <ZI=cS ?not-between >P <1=cP ?between" },
	{ "nor what has failed, or is in a block",
		">P <E=cP ?not-between >S <ZI=cS >X <E=cX ?not-between >S <ZI=cS >Q <ZT=cQ >P <1=cP ?not-between" },
	{ "a Sync alone", ">S ?busy <ZI=cS ?idle" },
	{ "describing a statement", ">P >D >S <1=cP <t=c- <T=cD <ZI=cS ?idle" },
	{ "describing what has no rows", ">P >D >S <1=cP <t=c- <n=cD <ZI=cS ?idle" },
	{ "a suspended portal", ">B >E >E >S <2=cB <D=c- <s=cE <C=cE <ZI=cS ?idle" },
	{ "an empty statement executed", ">P >B >E >S <1=cP <2=cB <I=cE <ZI=cS ?idle" },
	{ "closing", ">C >S <3=cC <ZI=cS ?idle" },
	{ "two batches", ">P >S >P >S <1=cP <ZI=cS <1=cP <ZI=cS ?idle" },
	{ "a transaction of batches", ">B >E >S <2=cB <C=cE <ZT=cS ?busy >B >E >S <2=cB <C=cE <ZI=cS ?idle" },
	{ "copy out by Execute", ">B >E >S <2=cB <H=c- <d=c- <c=c- <C=cE <ZI=cS ?idle" },
	{ "ours among the client's", ">>P >B >E >S <1=oP <2=cB <C=cE <ZI=cS ?idle" },

	/* errors */
	{ "an error drops to the Sync", ">P >B >E >S <E=cP!cb ?busy ?awaits <ZI=cS ?idle" },
	{ "an error in the middle", ">P >B >D >E >S <1=cP <E=cB!dc <ZI=cS ?idle" },
	{ "an error drops nothing behind the Sync", ">P >B >S >P >S <E=cP!b <ZI=cS <1=cP <ZI=cS ?idle" },
	{ "an error before the Sync is sent", ">P >B <E=cP!b ?skipping ?busy >E!c >C!d >S <ZI=cS ?idle" },
	{ "an error of the last before the Sync", ">P <E=cP ?skipping ?nothing >S <ZI=cS ?idle" },
	{ "an error of ours", ">>P >B >E >S <E=oP!cb <ZI=cS ?idle" },
	{ "an error that we had made", ">>X >E >S <E=oX!b <ZI=cS ?idle" },
	{ "an error of the Sync itself", ">B >E >S <2=cB <C=cE <E=c- <ZI=cS ?idle" },
	{ "a query skipped (EX-04)", ">P <E=cP ?skipping >Q!b ?skipping ?clients-turn >S <ZI=cS ?idle" },
	{ "a query and a call skipped that were sent already", ">P >Q >F >S <E=cP!cb ?awaits <ZI=cS ?idle" },
	{ "a query skipped that was sent already, no Sync", ">P >Q <E=cP!b ?skipping ?clients-turn >S <ZI=cS ?idle" },
	{ "a batch ended by a query", ">P >B >E >Q ?awaits <1=cP <2=cB <C=cE <C=c- <ZI=cQ ?idle" },
	{ "a function call ends a batch, too", ">P >F <1=cP <V=c- <ZI=cF ?idle" },
	{ "nothing was asked", "<E=f- ?idle" },
	{ "nothing was asked since", ">Q <ZI=cQ <E=f-" },
	{ "skipping, and then its last word", ">P <E=cP <E=f-" },

	/* answers of our own */
	{ "local alone", ">L ?busy *L -L >S <ZI=cS ?idle" },
	{ "local behind a request", ">P >L >B -L <1=cP *L -L <2=cB" },
	{ "two in a row", ">L >L >B *L *L -L" },
	{ "local in front of the Sync", ">B >L >S -L <2=cB *L -L <ZI=cS ?idle" },
	{ "local behind the Sync", ">S >L -L <ZI=cS *L -L" },
	{ "local is dropped as the server would drop it", ">P >L >S <E=cP!b -L <ZI=cS ?idle" },
	{ "local while skipping", ">P <E=cP >L!b -L >S <ZI=cS ?idle" },
	{ "local behind late CopyData", ">d >L *L -L" },
	{ "its turn, but the server speaks", ">L <1=d-" },

	/* COPY by Query */
	{ "copy in", ">Q <G=c- ?copying ?clients-turn >d >d >e ?ending ?awaits <C=c- <ZI=cQ ?idle" },
	{ "copy in, all sent at once", ">Q >d >d >e <G=c- ?ending <C=c- <ZI=cQ ?idle" },
	{ "copy in, half sent at once", ">Q >d <G=c- ?copying >d >e ?ending <C=c- <ZI=cQ ?idle" },
	{ "two copies in one query", ">Q <G=c- >d >e <C=c- <G=c- ?copying >d >e ?ending <C=c- <ZI=cQ ?idle" },
	{ "a copy that the client ends", ">Q <G=c- >d >e ?ending <E=c- <ZI=cQ ?idle" },
	{ "a copy that fails halfway", ">Q <G=c- >d <E=c- ?awaits <ZI=cQ ?idle" },
	{ "late CopyData", ">Q <G=c- >d <E=c- <ZI=cQ ?idle >d >d >e ?nothing ?idle >Q <C=c- <ZI=cQ ?idle" },
	{ "CopyData between the error and its ReadyForQuery", ">Q <G=c- <E=c- >d >e <ZI=cQ ?idle" },
	{ "CopyData that nobody wants", ">d >e ?idle >Q <C=c- <ZI=cQ ?idle" },
	{ "CopyData behind a query that is no copy", ">Q >d >e >Q <C=c- <ZI=cQ <C=c- <ZI=cQ ?idle" },
	{ "our own copy", ">>Q <G=o- ?copying >>e ?ending <E=o- <ZI=oQ ?idle" },

	/* Replication copies both ways; either side may end it first */
	{ "copy both, the client ends it",
		">Q <W=c- ?copying <d=c- >d <d=c- >e ?ending <d=c- <c=c- <C=c- ?busy <C=c- <ZI=cQ ?idle" },
	{ "copy both, the server ends it", ">Q <W=c- <d=c- <c=c- ?copying >e <T=c- <D=c- <C=c- <C=c- <ZI=cQ ?idle" },
	{ "copy both, the server fails", ">Q <W=c- >d <d=c- <E=c- <ZI=cQ ?idle >d >e ?nothing" },

	/* COPY by Execute: it swallows Sync */
	{ "copy by Execute", ">B >E <2=cB <G=c- ?copying >d >e >S ?ending <C=cE <ZI=cS ?idle" },
	{ "a Sync before the copy began", ">B >E >S <2=cB <G=c- ?copying ?busy >d >e >S <C=cE ?certain <ZI=cS ?idle" },
	{ "several Syncs", ">B >E >S >S <2=cB <G=c- >d >e >S <C=cE ?certain <ZI=cS ?idle" },
	{ "a Sync before, everything sent at once", ">B >E >S >d >e >S <2=cB <G=c- ?ending <C=cE <ZI=cS ?idle" },
	{ "a Sync behind CopyData", ">E >d >S >d >e >S <G=c- ?ambiguous <C=cE ?certain <ZI=cS ?idle" },
	{ "a Sync behind CopyData, and it fails", ">E >d >S >d >e >S <G=c- ?ambiguous <E=cE ?ambiguous <ZI=cS" },
	{ "a copy that fails before it reads the Sync", ">E >S <G=c- <E=cE ?skipping ?ambiguous <ZI=cS ?idle <ZI=d-" },
	{ "a copy that fails when it has read the Sync", ">E >S <G=c- <E=cE ?skipping ?ambiguous >S <ZI=cS ?idle" },
	{ "a copy that fails before it reads either Sync",
		">E >S <G=c- <E=cE >S ?ambiguous <ZI=cS <ZI=cS ?idle <ZI=d-" },
	{ "a query's copy knows no such doubt", ">Q <G=c- <E=c- ?certain <ZI=cQ ?idle <ZI=d-" },
	{ "a copy by Execute that fails", ">E <G=c- >d <E=cE ?skipping ?certain >d! >e! >S <ZI=cS ?idle" },
	{ "a copy that the client ends by Execute", ">E <G=c- >d >e >S <E=cE <ZI=cS ?idle" },
	{ "Execute fails before it copies", ">B >E >S >d >e >S <2=cB <E=cE <ZI=cS ?busy <ZI=cS ?idle" },
	{ "no copy after all", ">B >E >S >d >e >S <2=cB <C=cE <ZI=cS ?busy <ZI=cS ?idle" },
	{ "a request during the copy", ">E >Q <G=c- <E=cE!b ?skipping >S <ZI=cS ?idle" },

	/* out of step */
	{ "an answer to nothing", "<Z=d-" },
	{ "CommandComplete to nothing", "<C=d-" },
	{ "a row to nothing", "<D=d-" },
	{ "ParseComplete for a Bind", ">B <1=d-" },
	{ "BindComplete for a Parse", ">P <2=d-" },
	{ "BindComplete for a query", ">Q <2=d-" },
	{ "CloseComplete for an Execute", ">E <3=d-" },
	{ "ReadyForQuery for a Parse", ">P >S <ZI=d-" },
	{ "CommandComplete for a Sync", ">S <C=d-" },
	{ "a row for a Describe", ">D <D=d-" },
	{ "NoData for a query", ">Q <n=d-" },
	{ "RowDescription for an Execute", ">E <T=d-" },
	{ "PortalSuspended for a query", ">Q <s=d-" },
	{ "a function's result for a query", ">Q <V=d-" },
	{ "a query's end for a function", ">F <C=d-" },
	{ "ParameterDescription for a Parse", ">P <t=d-" },
	{ "CopyInResponse to nothing", "<G=d-" },
	{ "CopyInResponse for a Bind", ">B <G=d-" },
	{ "CopyData to nothing", "<d=d-" },
	{ "a copy suspended", ">E <G=c- <s=d-" },
	{ "a copy that ends well in spite of a request in its middle", ">E >d >P >e >S <G=c- <C=cE <ZI=d-" },
	{ "a request for a password", ">Q <R=d-" },
	{ "a cancel key", ">Q <K=d-" },
	{ "an unknown message", ">Q <?=d-" },
	{ "an unknown status", ">Q <Zx=d-" },
	{ "a status of zero", ">Q <Z=d-" },
	{ "skipping, and a ReadyForQuery that nobody asked for", ">P <E=cP <ZI=d-" },
};

START_TEST(the_queue_follows_postgresql)
{
	run(scripts[_i].name, scripts[_i].text);
}
END_TEST

static void ignore_drop(void *ctx, const struct pending_entry *e)
{
	int *n = ctx;

	ck_assert_int_ne(e->type, PEND_NONE);
	++*n;
}

START_TEST(the_ring_keeps_its_order_when_it_grows_and_wraps)
{
	struct pending p;
	struct pending_entry e;
	int dropped = 0;
	uintptr_t in = 1, out = 1;

	pending_init(&p, ignore_drop, &dropped);
	for (int round = 1; round < 200; round++) { /* three in, two out: the head goes round while it grows */
		for (int i = 0; i < 3; i++)
			ck_assert(pending_sent(&p, PEND_BIND, i == 1, (uint16_t)in, (void *)in)), in++;
		for (int i = 0; i < 2; i++, out++) {
			enum pending_verdict v = pending_answer(&p, MSG_BIND_COMPLETE, 0, &e);

			ck_assert_int_eq(v, e.is_ours ? PENDING_OURS : PENDING_CLIENT);
			ck_assert_uint_eq((uintptr_t)e.ref, out);
			ck_assert_uint_eq(e.detail, out & 0xffff);
			ck_assert_int_eq(e.is_ours, out % 3 == 2);
		}
		ck_assert_uint_eq(p.count, in - out);
	}
	pending_clear(&p);
	ck_assert_int_eq(dropped, (int)(in - out));
}
END_TEST

struct order {
	uintptr_t seen[64];
	int n;
};

static void note_drop(void *ctx, const struct pending_entry *e)
{
	struct order *o = ctx;

	o->seen[o->n++] = (uintptr_t)e->ref;
}

static void note_each(void *ctx, struct pending_entry *e)
{
	note_drop(ctx, e);
}

START_TEST(each_goes_oldest_first_and_clear_newest_first)
{
	struct order drops = { .n = 0 }, all = { .n = 0 };
	struct pending p;
	struct pending_entry e;

	pending_init(&p, note_drop, &drops);
	for (uintptr_t i = 1; i <= 14; i++)
		pending_sent(&p, PEND_PARSE, false, 0, (void *)i);
	for (int i = 0; i < 10; i++)
		pending_answer(&p, MSG_PARSE_COMPLETE, 0, &e);
	for (uintptr_t i = 15; i <= 24; i++) /* beyond the ring's end */
		pending_sent(&p, PEND_PARSE, false, 0, (void *)i);
	pending_each(&p, note_each, &all);
	pending_clear(&p);
	ck_assert_int_eq(all.n, 14);
	ck_assert_int_eq(drops.n, 14);
	for (uintptr_t i = 0; i < 14; i++) {
		ck_assert_uint_eq(all.seen[i], 11 + i);
		ck_assert_uint_eq(drops.seen[i], 24 - i);
	}
}
END_TEST

START_TEST(it_is_full_at_its_limit)
{
	struct pending p;
	struct pending_entry e;
	int dropped = 0;

	pending_init(&p, ignore_drop, &dropped);
	for (int i = 0; i < PENDING_FULL; i++) {
		ck_assert(!pending_is_full(&p));
		pending_sent(&p, PEND_BIND, false, 0, NULL);
	}
	ck_assert(pending_is_full(&p));
	pending_answer(&p, MSG_BIND_COMPLETE, 0, &e);
	ck_assert(!pending_is_full(&p));
	pending_clear(&p);
	ck_assert_int_eq(dropped, PENDING_FULL - 1);
}
END_TEST

START_TEST(a_flood_of_copy_data_is_one_entry)
{
	struct pending p;
	int dropped = 0;

	pending_init(&p, ignore_drop, &dropped);
	pending_sent(&p, PEND_QUERY, false, 0, NULL);
	for (int i = 0; i < 3 * PENDING_FULL; i++)
		pending_sent(&p, PEND_COPY_DATA, false, 0, NULL);
	ck_assert_uint_eq(p.count, 2);
	pending_clear(&p);
}
END_TEST

UNIT_MAIN("pending", {
	tcase_add_loop_test(tc, the_queue_follows_postgresql, 0, N_ELEMENTS(scripts));
	tcase_add_test(tc, the_ring_keeps_its_order_when_it_grows_and_wraps);
	tcase_add_test(tc, each_goes_oldest_first_and_clear_newest_first);
	tcase_add_test(tc, it_is_full_at_its_limit);
	tcase_add_test(tc, a_flood_of_copy_data_is_one_entry);
})
