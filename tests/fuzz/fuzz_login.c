/* Arbitrary bytes in each state of a login: nobody gets in without the secret, we say little, and where TCP cuts doesn't matter. */
#include "front/login.h"

#include "../unit/rig.h"
#include "wire/msg.h"

#include <string.h>
#include <sys/random.h>

#define OUTPUT_MAX 20000 /* the most that we repeat are the names of unknown protocol options */

static const char *const auth_types[] = { "plain", "md5", "scram-sha-256" };
static const char *const names[] = { "bob", "nobody", "hash" }; /* plain text, unknown, md5 */
static const char hba[] =					/* clients come by TCP from 127.0.0.1 */
	"local all all trust\nhostssl all all all cert\nhost all all 10.0.0.0/8 trust\n"
	"host app bob all password\nhost all /^x all reject\nhost app hash all md5\n"
	"host all /^[a-m]+$ all pam\nhost app,/^a nobody 127.0.0.0/8 scram-sha-256\n";
static struct snapshot *snapshots[N_ELEMENTS(auth_types)], *hba_snapshot;
static struct lookup *asked; /* what the login waits for */

static bool count_client(
	void *ctx, const struct config *c, const char *database, const char *user, struct limit_reached *why)
{
	(void)c;
	(void)ctx, (void)database, (void)user, (void)why;
	return true;
}

static void uncount_client(void *ctx, const char *database, const char *user)
{
	(void)ctx, (void)database, (void)user;
}

static bool count_origin(
	void *ctx, const struct config *c, const struct address_origin *o, struct limit_reached *why)
{
	(void)ctx, (void)c, (void)o, (void)why;
	return true;
}

static void uncount_origin(void *ctx, const struct address_origin *o)
{
	(void)ctx, (void)o;
}

static void ask(void *ctx, struct lookup *q)
{
	(void)ctx;
	ASSERT(!asked && q->kind == LOOKUP_PASSWORD && *q->password);
	asked = q;
}

static const struct login_env env = { NULL, count_client, uncount_client, ask, false, count_origin, uncount_origin };

/* Random secrets, or the fuzzer would learn them. */
static void make_snapshots(void)
{
	char users[256], setting[128];
	uint64_t secret[4];
	ssize_t n = getrandom(secret, sizeof(secret), 0);

	ASSERT(n == sizeof(secret));
	snprintf(users, sizeof(users), "\"bob\" \"%016lx%016lx\"\n\"hash\" \"md5%016lx%016lx\"\n", secret[0],
		secret[1], secret[2], secret[3]);
	for (size_t i = 0; i < N_ELEMENTS(auth_types); i++) {
		snprintf(setting, sizeof(setting),
			"auth_type = %s\nscram_iterations = 1\nclient_tls_sslmode = prefer", auth_types[i]);
		snapshots[i] = rig_tls_snapshot(setting, users);
	}
}

static void make_hba_snapshot(void)
{
	char path[] = "/tmp/pgweir-fuzz-XXXXXX", setting[256];
	int fd = mkstemp(path);

	ASSERT(fd >= 0 && write(fd, hba, sizeof(hba) - 1) == sizeof(hba) - 1);
	close(fd);
	snprintf(setting, sizeof(setting),
		"auth_type = hba\nauth_hba_file = %s\nscram_iterations = 1\nclient_tls_sslmode = prefer", path);
	hba_snapshot = rig_tls_snapshot(setting, "\"bob\" \"\"\n\"hash\" \"\"\n"); /* nobody has a password */
	unlink(path);
}

/* As a stream would: what isn't taken is fed again when PAM has said no. */
static size_t feed(struct login *l, const uint8_t *data, size_t size)
{
	size_t used = login_feed(l, data, size);

	ASSERT((l->state == LOGIN_LOOKUP) == (asked != NULL));
	if (!asked)
		return used;
	asked->answer = LOOKUP_REFUSED;
	login_answer(l, &asked);
	asked = NULL;
	ASSERT(l->state == LOGIN_FAILED);
	return used + login_feed(l, data + used, size - used);
}

static void feed_startup(struct login *l, const char *user)
{
	struct writer w = { 0 };

	msg_begin(&w, 0);
	write_u32(&w, PROTOCOL_3_0);
	write_cstring(&w, "user");
	write_cstring(&w, user);
	write_cstring(&w, "database");
	write_cstring(&w, "app");
	write_u8(&w, 0);
	msg_end(&w);
	ASSERT(login_feed(l, w.data, w.len) == w.len);
	writer_free(&w);
}

/* As after a handshake, whose bytes a login never sees. */
static void secure(struct login *l)
{
	struct tls_facts facts = { .is_on = true, .has_alpn = true, .binding_len = 32 };

	ASSERT(login_feed(l, (const uint8_t *)"\0\0\0\x08\x04\xd2\x16\x2f", 8) == 8);
	ASSERT(l->state == LOGIN_TLS && l->out.len == 1);
	l->out.len = 0;
	login_secured(l, &facts);
	ASSERT(l->state == LOGIN_STARTUP);
}

/* data[0] chooses rules, state and user. The bytes come in two pieces. */
static enum login_state run(uint8_t choice, const uint8_t *data, size_t size, size_t cut)
{
	struct address peer;
	struct login l;
	enum login_state state;
	size_t used;

	address_numeric(&peer, "127.0.0.1", 1);
	login_init(&l, &env, choice & 0x20 ? hba_snapshot : snapshots[choice % N_ELEMENTS(snapshots)], 1,
		&peer, false);
	if (choice & 0x40)
		secure(&l);
	if (choice & 0x80)
		feed_startup(&l, names[choice / 4 % N_ELEMENTS(names)]);
	used = feed(&l, data, cut);
	ASSERT(used <= cut);
	used += feed(&l, data + used, size - used);
	ASSERT(used <= size);
	ASSERT(l.state != LOGIN_DONE);
	ASSERT(l.out.len <= OUTPUT_MAX);
	if (!login_is_over(&l))
		ASSERT(size - used < LOGIN_PASSWORD_MAX + FRAME_HEADER_SIZE); /* what a caller has to keep */
	ASSERT(l.state != LOGIN_TLS || !l.tls.is_on);
	/* behind a request for TLS nothing is read in plain text: what came with it ends the login, what comes later isn't ours */
	state = l.state == LOGIN_TLS ? LOGIN_FAILED : l.state;
	login_free(&l);
	return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut;

	if (size < 3)
		return 0;
	if (!snapshots[0]) {
		make_snapshots();
		make_hba_snapshot();
	}
	cut = data[1] % (size - 1);
	ASSERT(run(data[0], data + 2, size - 2, cut) == run(data[0], data + 2, size - 2, size - 2));
	return 0;
}
