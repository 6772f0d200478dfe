#include "session/flow.h"

#include <string.h>

static const char *application_of(const struct client *c)
{
	const char *name = settings_get(c->settings, "application_name");

	return name ? name : "";
}

static uint64_t key_of(const void *bytes, size_t len)
{
	return hash64(bytes, len) | 1; /* 0 is no flow */
}

static uint64_t address_key(const struct client *c)
{
	struct address_origin origin;
	struct address peer;

	address_restore(&c->peer, &peer);
	address_origin(&peer, &origin);
	return key_of(&origin, sizeof(origin));
}

static uint64_t flow_key(const struct client *c)
{
	switch (c->worker->config->queue_fairness) {
	case FAIRNESS_OFF: break;
	case FAIRNESS_USER: return key_of(c->user, strlen(c->user));
	case FAIRNESS_APPLICATION_NAME: return key_of(application_of(c), strlen(application_of(c)));
	case FAIRNESS_CLIENT_ADDR: return address_key(c);
	}
	return 0;
}

void flow_classify(struct client *c)
{
	const struct config *conf = c->worker->config;

	c->classified_for = c->worker->n_snapshots;
	c->waiter.is_priority = *conf->priority_users && config_list_has(conf->priority_users, c->user);
	c->waiter.flow_key = flow_key(c);
	c->waiter.weight = 1;
	if (conf->queue_fairness == FAIRNESS_USER)
		c->waiter.weight = (uint16_t)config_weight(config_user(conf, c->user));
}

const char *flow_text(const struct client *c, char buf[ADDRESS_TEXT_MAX])
{
	struct address peer;

	switch (c->worker->config->queue_fairness) {
	case FAIRNESS_OFF: break;
	case FAIRNESS_USER: return c->user;
	case FAIRNESS_APPLICATION_NAME: return application_of(c);
	case FAIRNESS_CLIENT_ADDR:
		address_restore(&c->peer, &peer);
		address_host(&peer, buf);
		return buf;
	}
	return "";
}
