/*
 * fuzz_storm_function.c - a function hears arbitrary bytes from its server: where they are cut doesn't matter, and what it
 * keeps of them is bounded.
 */
#include "storm/function.h"

#include <stdlib.h>

struct outcome {
	enum function_state state;
	size_t out_len, n_errors, skip;
	unsigned served, failed, lost;
};

static struct outcome hear(const uint8_t *data, size_t size, size_t cut, uint8_t choice)
{
	struct plan plan = { .user = "u",
		.database = "d",
		.password = choice & 1 ? "p" : NULL,
		.sql = "select 1",
		.work = choice & 2    ? WORK_QUERY
			: choice & 16 ? WORK_LOGIN
				      : WORK_TRANSACTION,
		.after = choice & 4   ? AFTER_IDLE
			: choice & 32 ? AFTER_FREEZE
				      : AFTER_CLOSE,
		.at = choice & 4      ? AT_END
			: choice & 32 ? AT_QUERY
				      : AT_END,
		.thaw = choice & 64 ? 100 : 0,
		.period = choice & 128 ? 10 : 0,
		.invocations = 1,
		.retries = choice & 8 ? 1 : 0,
		.backoff = 10,
		.timeout = 1000 };
	struct world *w = xcalloc(1, sizeof(*w));
	struct function f;
	struct outcome o;

	w->plan = &plan;
	w->random = 1;
	function_init(&f, 1);
	function_timer(&f, w, 1);
	function_connected(&f, w, 1);
	function_input(&f, w, 1, data, cut);
	function_input(&f, w, 1, data + cut, size - cut);
	ASSERT(f.partial.len <= 65536);
	ASSERT(w->stats.served + w->stats.failed <= 1);
	o = (struct outcome){ f.state, f.out.len, w->stats.n_errors, f.skip, w->stats.served, w->stats.failed,
		w->stats.lost };
	function_end(&f, w, 2);
	ASSERT(w->stats.served + w->stats.failed == 1 && f.state == FUNCTION_DONE);
	function_free(&f);
	stats_free(&w->stats);
	free(w);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t choice = size > 1 ? data[0] : 0;
	size_t cut;
	struct outcome whole, split;

	if (size < 2)
		return 0;
	cut = data[1] % (size - 1);
	whole = hear(data + 2, size - 2, 0, choice);
	split = hear(data + 2, size - 2, cut > size - 2 ? 0 : cut, choice);
	ASSERT(whole.state == split.state && whole.out_len == split.out_len && whole.skip == split.skip);
	ASSERT(whole.n_errors == split.n_errors && whole.served == split.served &&
		whole.failed == split.failed && whole.lost == split.lost);
	return 0;
}
