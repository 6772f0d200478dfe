#include "config/config.h"

#include "config/connstr.h"
#include "config/host_list.h"
#include "config/http_listen.h"
#include "config/ini.h"
#include "config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES 65536 /* databases, and users */
#define DATABASE_NAME_MAX 63
#define USER_NAME_MAX 127
#define WHY_SIZE 400

_Static_assert(offsetof(struct config_database, name) == 0 && offsetof(struct config_user, name) == 0,
	"struct config_names looks for the name there");

struct loader {
	struct config *c;
	struct config_database **last_database;
	struct config_user **last_user;
	bool has_section;     /* [pgbouncer] or [pgweir] */
	char http_where[400]; /* file:line of http_listen */
};

/* The position of name, or where it would go. */
static bool names_find(const struct config_names *t, const char *name, size_t *at)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, *(char *const *)t->items[middle]);

		if (order == 0) {
			*at = middle;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*at = low;
	return false;
}

static void names_insert(struct config_names *t, size_t at, void *item)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->items = xrealloc(t->items, t->cap * sizeof(*t->items));
	}
	memmove(t->items + at + 1, t->items + at, (t->count - at) * sizeof(*t->items));
	t->items[at] = item;
	t->count++;
}

static void free_texts(const struct settings *t, void *base)
{
	for (size_t i = 0; i < t->count; i++)
		if (setting_owns_text(&t->rows[i]))
			secure_free(setting_text_field(&t->rows[i], base));
}

static void database_clear(struct config_database *db)
{
	free_texts(&database_settings, db);
	host_list_free(&db->hosts, &db->n_hosts);
	db->load_balance_hosts = BALANCE_UNSET;
	db->target_session_attrs = ATTRS_ANY;
	db->pool_mode = POOL_MODE_UNSET;
	db->sslmode = TLS_UNSET;
	db->sslnegotiation = NEGOTIATE_UNSET;
	db->channel_binding = BINDING_PREFER;
	db->max_protocol_version = VERSION_3_0;
	db->pool_size = db->min_pool_size = db->reserve_pool_size = -1;
	db->max_db_connections = db->max_db_client_connections = db->max_pinned = -1;
	db->session_features = FEATURES_UNSET;
	db->server_lifetime = db->query_wait_timeout = db->password_ttl = -1;
}

static void user_clear(struct config_user *user)
{
	user->pool_mode = POOL_MODE_UNSET;
	user->pool_size = user->reserve_pool_size = -1;
	user->max_user_connections = user->max_user_client_connections = user->weight = -1;
	user->query_timeout = user->idle_transaction_timeout = user->transaction_timeout = -1;
	user->client_idle_timeout = user->query_wait_timeout = -1;
}

/* A name that's there already is defined anew, in its old place: of two lines the later one wins, as a whole. */
static struct config_database *define_database(struct loader *l, const char *name)
{
	struct config_names *t = &l->c->databases_by_name_;
	struct config_database *db;
	size_t at;

	if (names_find(t, name, &at)) {
		db = t->items[at];
	} else {
		db = xcalloc(1, sizeof(*db));
		db->name = xstrdup(name);
		names_insert(t, at, db);
		*l->last_database = db;
		l->last_database = &db->next;
	}
	database_clear(db);
	return db;
}

static struct config_user *define_user(struct loader *l, const char *name)
{
	struct config_names *t = &l->c->users_by_name_;
	struct config_user *user;
	size_t at;

	if (names_find(t, name, &at)) {
		user = t->items[at];
	} else {
		user = xcalloc(1, sizeof(*user));
		user->name = xstrdup(name);
		names_insert(t, at, user);
		*l->last_user = user;
		l->last_user = &user->next;
	}
	user_clear(user);
	return user;
}

#define PEER_ID_MAX 16383 /* what fits into a cancel key */
#define PEER_PORT 6432

/* As the others: the later line counts. They stay sorted. */
static struct config_peer *define_peer(struct config *c, int id)
{
	struct config_peer **at = &c->peers, *peer;

	while (*at && (*at)->id < id)
		at = &(*at)->next;
	peer = *at;
	if (!peer || peer->id != id) {
		peer = xcalloc(1, sizeof(*peer));
		peer->next = *at;
		*at = peer;
	}
	free(peer->host);
	peer->host = NULL;
	peer->id = id;
	peer->port = PEER_PORT;
	peer->pool_size = -1;
	return peer;
}

static void set_defaults(struct config *c, bool is_pgbouncer)
{
	char why[WHY_SIZE];

	c->is_pgbouncer = is_pgbouncer;
	for (size_t i = 0; i < global_settings.count; i++) {
		const struct setting *s = &global_settings.rows[i];
		const char *value = setting_default(s, is_pgbouncer);

		if (value)
			ASSERT(setting_parse(s, c, value, why, sizeof(why)));
		else if (setting_owns_text(s) && s->min == 0)
			*setting_text_field(s, c) = xstrdup("");
	}
}

static struct config *config_new(struct loader *l)
{
	struct config *c = xcalloc(1, sizeof(*c));

	c->refs_ = 1;
	*l = (struct loader){ .c = c, .last_database = &c->databases, .last_user = &c->users };
	return c;
}

static void config_free(struct config *c)
{
	struct config_database *db;
	struct config_user *user;
	struct config_peer *peer;

	while ((db = c->databases)) {
		c->databases = db->next;
		free_texts(&database_settings, db);
		host_list_free(&db->hosts, &db->n_hosts);
		free(db->name);
		free(db);
	}
	while ((user = c->users)) {
		c->users = user->next;
		free(user->name);
		free(user);
	}
	while ((peer = c->peers)) {
		c->peers = peer->next;
		free(peer->host);
		free(peer);
	}
	free(c->databases_by_name_.items);
	free(c->users_by_name_.items);
	free_texts(&global_settings, c);
	free(c);
}

struct config *config_ref(struct config *c)
{
	__atomic_fetch_add(&c->refs_, 1, __ATOMIC_RELAXED);
	return c;
}

void config_unref(struct config **c)
{
	if (*c && __atomic_sub_fetch(&(*c)->refs_, 1, __ATOMIC_ACQ_REL) == 0)
		config_free(*c);
	*c = NULL;
}

/* ---- the lines of a file ---- */

static bool start_pooler_section(struct loader *l, bool is_pgbouncer, char *why, size_t why_size)
{
	if (l->has_section && l->c->is_pgbouncer != is_pgbouncer) {
		snprintf(why, why_size, "a file has either a section [pgweir] or a section [pgbouncer], not both");
		return false;
	}
	if (!l->has_section)
		set_defaults(l->c, is_pgbouncer);
	l->has_section = true;
	return true;
}

static bool start_section(struct loader *l, const char *name, char *why, size_t why_size)
{
	static const char *const others[] = { "databases", "users", "peers" };
	static const char *const all[] = { "databases", "users", "peers", "pgbouncer", "pgweir" };

	if (strcmp(name, "pgbouncer") == 0 || strcmp(name, "pgweir") == 0)
		return start_pooler_section(l, strcmp(name, "pgbouncer") == 0, why, why_size);
	for (size_t i = 0; i < N_ELEMENTS(others); i++)
		if (strcmp(name, others[i]) == 0)
			return true;
	snprintf(why, why_size, "unknown section [%.80s]", name);
	for (size_t i = 0; i < N_ELEMENTS(all); i++) {
		if (word_is_near(name, all[i])) {
			snprintf(why, why_size, "unknown section [%.80s]; did you mean [%s]?", name, all[i]);
			break;
		}
	}
	return false;
}

static bool unknown_key(const char *key, const char *guess, const char *where, char *why, size_t why_size)
{
	snprintf(why, why_size, "unknown key \"%.80s\" in %s%s%s%s", key, where,
		guess ? "; did you mean \"" : "", guess ? guess : "", guess ? "\"?" : "");
	return false;
}

static bool global_line(struct loader *l, const struct ini_line *line, char *why, size_t why_size)
{
	const struct setting *s = setting_find(&global_settings, line->key);

	if (!s)
		return unknown_key(line->key, setting_guess(&global_settings, line->key),
			l->c->is_pgbouncer ? "section [pgbouncer]" : "section [pgweir]", why, why_size);
	if (strcmp(s->key, "http_listen") == 0)
		snprintf(l->http_where, sizeof(l->http_where), "%.380s:%d", line->file, line->number);
	return setting_parse(s, l->c, line->value, why, why_size);
}

/* One line of [databases] or [users] while its pairs come in. */
struct entry {
	const struct settings *settings;
	void *base;
	const char *what;
	bool had_password;
};

static bool entry_pair(void *ctx, const char *key, const char *value, size_t column, char *why, size_t why_size)
{
	struct entry *e = ctx;
	const struct setting *s = setting_find(e->settings, key);
	const char *guess;

	if (!s) {
		guess = setting_guess(e->settings, key);
		if (guess || !e->had_password)
			return unknown_key(key, guess, e->what, why, why_size);
		/* a password with blanks and without quotes would be shown here */
		snprintf(why, why_size,
			"unknown key at column %zu of the connection string, behind the password", column);
		return false;
	}
	e->had_password |= s->type == SETTING_SECRET;
	return setting_parse(s, e->base, value, why, why_size);
}

static bool fits(const char *name, size_t max, size_t count, const char *what, char *why, size_t why_size)
{
	if (strlen(name) > max) {
		snprintf(why, why_size, "the name of a %s has at most %zu bytes", what, max);
		return false;
	}
	if (count >= MAX_ENTRIES) {
		snprintf(why, why_size, "there are more than %d %ss", MAX_ENTRIES, what);
		return false;
	}
	return true;
}

static bool is_console(const char *name)
{
	return strcmp(name, "pgbouncer") == 0 || strcmp(name, "pgweir") == 0;
}

static bool check_password_source(const struct config_database *db, char *why, size_t why_size)
{
	int n = (db->password != NULL) + (db->password_file != NULL) + (db->password_command != NULL);

	if (n > 1)
		snprintf(why, why_size,
			"only one of password, password_file and password_command can be the source");
	else if (n == 1 && !db->password && !db->user)
		snprintf(why, why_size, "%s needs user: it is the password of that user",
			db->password_file ? "password_file" : "password_command");
	else
		return true;
	return false;
}

/* The pairs of a line or a URI are all there. Several hosts of a URI are tried in their order, as libpq does. */
static bool finish_database(struct config_database *db, bool is_uri, char *why, size_t why_size)
{
	if (is_uri && db->load_balance_hosts == BALANCE_UNSET)
		db->load_balance_hosts = BALANCE_DISABLE;
	return host_list_parse(db->host, db->port, &db->hosts, &db->n_hosts, why, why_size) &&
		check_password_source(db, why, why_size);
}

static bool database_line(struct loader *l, const struct ini_line *line, char *why, size_t why_size)
{
	struct entry e = { .settings = &database_settings, .what = "a connection string" };
	struct config_database *db;
	bool is_uri;

	if (is_console(line->key)) {
		snprintf(why, why_size, "the database name \"%s\" is reserved for the console", line->key);
		return false;
	}
	if (!fits(line->key, DATABASE_NAME_MAX, l->c->databases_by_name_.count, "database", why, why_size))
		return false;
	db = define_database(l, line->key);
	db->line = line->number;
	e.base = db;
	is_uri = connstr_is_uri(line->value);
	if (is_uri ? !connstr_uri_each(line->value, entry_pair, &e, why, why_size)
		   : !connstr_each(line->value, entry_pair, &e, why, why_size))
		return false;
	return finish_database(db, is_uri, why, why_size);
}

static bool user_line(struct loader *l, const struct ini_line *line, char *why, size_t why_size)
{
	struct entry e = { .settings = &user_settings, .what = "section [users]" };
	struct config_user *user;

	if (!fits(line->key, USER_NAME_MAX, l->c->users_by_name_.count, "user", why, why_size))
		return false;
	user = define_user(l, line->key);
	user->line = line->number;
	e.base = user;
	return connstr_each(line->value, entry_pair, &e, why, why_size);
}

static bool peer_line(struct loader *l, const struct ini_line *line, char *why, size_t why_size)
{
	struct entry e = { .settings = &peer_settings, .what = "section [peers]" };
	struct config_peer *peer;
	char *end;
	long id = strtol(line->key, &end, 10);

	if (*line->key < '0' || *line->key > '9' || *end || id < 1 || id > PEER_ID_MAX) {
		snprintf(why, why_size, "the name of a peer is its peer_id, a number from 1 to %d, not \"%.40s\"",
			PEER_ID_MAX, line->key);
		return false;
	}
	peer = define_peer(l->c, (int)id);
	peer->line = line->number;
	e.base = peer;
	if (!connstr_each(line->value, entry_pair, &e, why, why_size))
		return false;
	if (!peer->host)
		snprintf(why, why_size, "peer %d has no host", peer->id);
	return peer->host != NULL;
}

static bool config_line(void *ctx, const struct ini_line *line, char *why, size_t why_size)
{
	struct loader *l = ctx;

	if (!line->key)
		return start_section(l, line->section, why, why_size);
	if (strcmp(line->section, "pgbouncer") == 0 || strcmp(line->section, "pgweir") == 0)
		return global_line(l, line, why, why_size);
	if (strcmp(line->section, "databases") == 0)
		return database_line(l, line, why, why_size);
	if (strcmp(line->section, "users") == 0)
		return user_line(l, line, why, why_size);
	if (strcmp(line->section, "peers") == 0)
		return peer_line(l, line, why, why_size);
	snprintf(why, why_size, "there is no [section] before this line");
	return false;
}

/* An entry that isn't there would refuse every login. */
static bool check_auth_dbname(
	const struct config *c, const char *wanted, const char *where, struct config_error *error)
{
	if (!wanted || !*wanted || (!is_console(wanted) && config_database(c, wanted)))
		return true;
	snprintf(error->text, sizeof(error->text), "%.300s: auth_dbname = %.63s is not among the databases",
		where, wanted);
	return false;
}

static bool check_auth_dbnames(const struct config *c, const char *name, struct config_error *error)
{
	char where[400];

	for (const struct config_database *db = c->databases; db; db = db->next) {
		snprintf(where, sizeof(where), "%.300s:%d", name, db->line);
		if (!check_auth_dbname(c, db->auth_dbname, where, error))
			return false;
	}
	return check_auth_dbname(c, c->auth_dbname, name, error);
}

static bool check_http(const struct loader *l, struct config_error *error)
{
	char why[WHY_SIZE];

	if (http_settings_check(l->c, why, sizeof(why)))
		return true;
	snprintf(error->text, sizeof(error->text), "%.300s: %.200s", l->http_where, why);
	return false;
}

/* What no single line can tell. */
static bool check_whole(const struct loader *l, const char *name, struct config_error *error)
{
	const struct config *c = l->c;
	const char *what = NULL;

	if (!l->has_section)
		what = "there is no section [pgweir] or [pgbouncer]";
	else if (!*c->listen_addr && !*c->unix_socket_dir)
		what = "listen_addr and unix_socket_dir are both empty: nobody could connect";
	if (what)
		snprintf(error->text, sizeof(error->text), "%s: %s", name, what);
	return what == NULL && check_auth_dbnames(c, name, error) && check_http(l, error);
}

static struct config *finish(struct loader *l, const char *name, bool ok, struct config_error *error)
{
	if (!ok || !check_whole(l, name, error)) {
		config_unref(&l->c);
		return NULL;
	}
	if (!l->c->file) /* unless conffile named the next one */
		l->c->file = xstrdup(name);
	return l->c;
}

struct config *config_load(const char *path, struct config_error *error)
{
	struct loader l;

	config_new(&l);
	return finish(&l, path, ini_read_file(path, config_line, &l, error->text, sizeof(error->text)), error);
}

struct config *config_load_text(const char *name, const char *text, size_t len, struct config_error *error)
{
	struct loader l;

	config_new(&l);
	return finish(&l, name,
		ini_read_text(name, text, len, config_line, &l, error->text, sizeof(error->text)), error);
}

/* ---- no file at all ---- */

static void replace(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

static void copy_database(struct config_database *to, const struct config_database *from)
{
	char why[WHY_SIZE];

	to->line = from->line;
	for (size_t i = 0; i < database_settings.count; i++)
		setting_copy(&database_settings.rows[i], to, from);
	ASSERT(host_list_parse(to->host, to->port, &to->hosts, &to->n_hosts, why, sizeof(why)));
}

/* The URI's own database beside "*", so that SHOW DATABASES names it from the start. */
static bool add_uri_database(struct loader *l, const struct config_database *all, char *why, size_t why_size)
{
	struct config_database *db;

	if (is_console(all->dbname)) {
		snprintf(why, why_size, "the database name \"%s\" is reserved for the console", all->dbname);
		return false;
	}
	db = define_database(l, all->dbname);
	copy_database(db, all);
	return true;
}

static bool fill_from_uri(struct loader *l, const char *uri, char *why, size_t why_size)
{
	struct config_database *all = define_database(l, "*");
	struct entry e = { .settings = &database_settings, .base = all, .what = "the URI" };

	if (!connstr_is_uri(uri)) {
		snprintf(why, why_size, "a URI begins with postgresql:// or postgres://");
		return false;
	}
	if (!connstr_uri_each(uri, entry_pair, &e, why, why_size) || !finish_database(all, true, why, why_size))
		return false;
	if (!all->host || !*all->host || !all->user) {
		snprintf(why, why_size, "the URI names no %s", all->user ? "host" : "user");
		return false;
	}
	if (all->password && !*all->password)
		secure_free(&all->password);
	if (all->dbname && !add_uri_database(l, all, why, why_size))
		return false;
	secure_free(&all->dbname); /* "*" passes the client's database on, as a direct connection would */
	return true;
}

struct config *config_from_uri(const char *uri, struct config_error *error)
{
	struct loader l;
	struct config *c = config_new(&l);

	set_defaults(c, false);
	c->is_from_uri_ = true;
	if (!fill_from_uri(&l, uri, error->text, sizeof(error->text))) {
		config_unref(&c);
		return NULL;
	}
	c->auth_type = config_uri_password(c) ? AUTH_TYPE_SCRAM : AUTH_TYPE_TRUST;
	replace(&c->unix_socket_dir, "");
	replace(&c->stats_users, config_uri_user(c));
	return c;
}

const char *config_uri_user(const struct config *c)
{
	return c->is_from_uri_ ? config_database(c, "*")->user : NULL;
}

const char *config_uri_password(const struct config *c)
{
	return c->is_from_uri_ ? config_database(c, "*")->password : NULL;
}

/* ---- snapshots out of snapshots ---- */

static struct config *config_copy(const struct config *c)
{
	struct loader l;
	struct config *copy = config_new(&l);

	copy->is_pgbouncer = c->is_pgbouncer;
	copy->is_from_uri_ = c->is_from_uri_;
	for (size_t i = 0; i < global_settings.count; i++)
		setting_copy(&global_settings.rows[i], copy, c);
	for (const struct config_database *from = c->databases; from; from = from->next)
		copy_database(define_database(&l, from->name), from);
	for (const struct config_user *from = c->users; from; from = from->next) {
		struct config_user *to = define_user(&l, from->name);

		to->line = from->line;
		for (size_t i = 0; i < user_settings.count; i++)
			setting_copy(&user_settings.rows[i], to, from);
	}
	for (const struct config_peer *from = c->peers; from; from = from->next) {
		struct config_peer *to = define_peer(copy, from->id);

		to->line = from->line;
		for (size_t i = 0; i < peer_settings.count; i++)
			setting_copy(&peer_settings.rows[i], to, from);
	}
	return copy;
}

struct config *config_with(const struct config *c, const char *key, const char *value, struct config_error *error)
{
	const struct setting *s = setting_find(&global_settings, key);
	struct config *copy;

	if (!s) {
		unknown_key(key, setting_guess(&global_settings, key), "SET", error->text, sizeof(error->text));
		return NULL;
	}
	if (!s->changeable) {
		snprintf(error->text, sizeof(error->text), "%s can't be changed without a restart", s->key);
		return NULL;
	}
	copy = config_copy(c);
	if (!setting_parse(s, copy, value, error->text, sizeof(error->text)) ||
		!http_settings_check(copy, error->text, sizeof(error->text)))
		config_unref(&copy);
	return copy;
}

static bool is_same(const struct setting *s, const struct config *a, const struct config *b)
{
	char buf[2][32];

	return str_equal(setting_text(s, a, buf[0], sizeof(buf[0])), setting_text(s, b, buf[1], sizeof(buf[1])));
}

struct config *config_reload(
	const struct config *running, config_kept_fn *kept, void *ctx, struct config_error *error)
{
	struct config *c;

	if (!running->file) {
		snprintf(error->text, sizeof(error->text), "there is no file to reload: the configuration is a URI");
		return NULL;
	}
	c = config_load(running->file, error);
	for (size_t i = 0; c && i < global_settings.count; i++) {
		const struct setting *s = &global_settings.rows[i];

		if (s->changeable || is_same(s, running, c))
			continue;
		setting_copy(s, c, running);
		if (kept)
			kept(ctx, s->key);
	}
	/* the sockets stay where they are: the new file may only seem not to need a token */
	if (c && !http_settings_check(c, error->text, sizeof(error->text)))
		config_unref(&c);
	return c;
}

void config_show(const struct config *c, config_show_fn *fn, void *ctx)
{
	char buf[32];

	for (size_t i = 0; i < global_settings.count; i++) {
		const struct setting *s = &global_settings.rows[i];

		fn(ctx, s->key, setting_text(s, c, buf, sizeof(buf)), setting_default(s, c->is_pgbouncer),
			s->changeable);
	}
}

/* ---- lookups and precedence ---- */

const struct config_database *config_database(const struct config *c, const char *name)
{
	const struct config_names *t = &c->databases_by_name_;
	size_t at;

	return names_find(t, name, &at) || names_find(t, "*", &at) ? t->items[at] : NULL;
}

const struct config_user *config_user(const struct config *c, const char *name)
{
	size_t at;

	return names_find(&c->users_by_name_, name, &at) ? c->users_by_name_.items[at] : NULL;
}

const struct config_peer *config_peer(const struct config *c, int id)
{
	const struct config_peer *p = c->peers;

	while (p && p->id != id)
		p = p->next;
	return p;
}

bool config_list_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (*list) {
		size_t n, item;

		list += strspn(list, ", \t");
		n = item = strcspn(list, ",");
		while (item > 0 && (list[item - 1] == ' ' || list[item - 1] == '\t'))
			item--;
		if (item == len && len > 0 && memcmp(list, name, len) == 0)
			return true;
		list += n;
	}
	return false;
}

static int first_int(int user, int db, int global)
{
	return user >= 0 ? user : db >= 0 ? db : global;
}

static usec_t first_time(int64_t user, int64_t db, usec_t global)
{
	return user >= 0 ? (usec_t)user : db >= 0 ? (usec_t)db : global;
}

enum pool_mode config_pool_mode(
	const struct config *c, const struct config_database *db, const struct config_user *user)
{
	if (user && user->pool_mode != POOL_MODE_UNSET)
		return user->pool_mode;
	return db && db->pool_mode != POOL_MODE_UNSET ? db->pool_mode : c->pool_mode;
}

enum session_features config_session_features(const struct config *c, const struct config_database *db)
{
	return db && db->session_features != FEATURES_UNSET ? db->session_features : c->session_features;
}

int config_max_pinned(const struct config *c, const struct config_database *db, const struct config_user *user)
{
	int max = first_int(-1, db ? db->max_pinned : -1, c->max_pinned);

	return max > 0 ? max : MAX(config_pool_size(c, db, user) - 1, 1);
}

int config_pool_size(const struct config *c, const struct config_database *db, const struct config_user *user)
{
	return first_int(user ? user->pool_size : -1, db ? db->pool_size : -1, c->default_pool_size);
}

int config_min_pool_size(const struct config *c, const struct config_database *db)
{
	return MIN(first_int(-1, db ? db->min_pool_size : -1, c->min_pool_size), config_pool_size(c, db, NULL));
}

int config_reserve_pool_size(
	const struct config *c, const struct config_database *db, const struct config_user *user)
{
	return first_int(user ? user->reserve_pool_size : -1, db ? db->reserve_pool_size : -1, c->reserve_pool_size);
}

int config_max_db_connections(const struct config *c, const struct config_database *db)
{
	return first_int(-1, db ? db->max_db_connections : -1, c->max_db_connections);
}

int config_max_db_client_connections(const struct config *c, const struct config_database *db)
{
	return first_int(-1, db ? db->max_db_client_connections : -1, c->max_db_client_connections);
}

int config_max_user_connections(const struct config *c, const struct config_user *user)
{
	return first_int(user ? user->max_user_connections : -1, -1, c->max_user_connections);
}

int config_weight(const struct config_user *user)
{
	return user && user->weight > 0 ? user->weight : 1;
}

int config_max_user_client_connections(const struct config *c, const struct config_user *user)
{
	return first_int(user ? user->max_user_client_connections : -1, -1, c->max_user_client_connections);
}

usec_t config_query_timeout(const struct config *c, const struct config_user *user)
{
	return first_time(user ? user->query_timeout : -1, -1, c->query_timeout);
}

usec_t config_idle_transaction_timeout(const struct config *c, const struct config_user *user)
{
	return first_time(user ? user->idle_transaction_timeout : -1, -1, c->idle_transaction_timeout);
}

usec_t config_transaction_timeout(const struct config *c, const struct config_user *user)
{
	return first_time(user ? user->transaction_timeout : -1, -1, c->transaction_timeout);
}

usec_t config_client_idle_timeout(const struct config *c, const struct config_user *user)
{
	return first_time(user ? user->client_idle_timeout : -1, -1, c->client_idle_timeout);
}

usec_t config_query_wait_timeout(
	const struct config *c, const struct config_database *db, const struct config_user *user)
{
	return first_time(user ? user->query_wait_timeout : -1, db ? db->query_wait_timeout : -1,
		c->query_wait_timeout);
}

usec_t config_server_lifetime(const struct config *c, const struct config_database *db)
{
	return first_time(-1, db ? db->server_lifetime : -1, c->server_lifetime);
}

usec_t config_password_ttl(const struct config *c, const struct config_database *db)
{
	return first_time(-1, db ? db->password_ttl : -1, c->password_ttl);
}

const char *config_auth_user(const struct config *c, const struct config_database *db)
{
	return db && db->auth_user ? db->auth_user : c->auth_user;
}

const char *config_auth_query(const struct config *c, const struct config_database *db)
{
	return db && db->auth_query ? db->auth_query : c->auth_query;
}

const char *config_auth_dbname(const struct config *c, const struct config_database *db)
{
	const char *name = db && db->auth_dbname ? db->auth_dbname : c->auth_dbname;

	return *name ? name : NULL;
}
