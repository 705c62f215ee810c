#include "flush/flusher.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "flush/ahead.h"
#include "flush/arena.h"
#include "flush/compress.h"
#include "flush/delivery.h"
#include "flush/endpoints.h"
#include "flush/error_class.h"
#include "flush/held_sender.h"
#include "flush/http.h"
#include "flush/schedule.h"
#include "flush/sink_config.h"

enum {
    TEXT_ROOM = 512,
    TRANSFERS_MOST = 64, /* at a time: as many connections are kept; a table has one at most */
    POLL_LONGEST_MS =
        100, /* chunks are submitted without a wake-up: this is how often their queues are looked at, */
    POLL_SHORTEST_MS = 5, /*   or twice per the shortest interval of a table, within these bounds */
    TRIM_AFTER_MS = 2000,
    ARENA_KEEP = 1024 * 1024
};

/* A changed configuration on its way to the thread, complete, so that taking it cannot fail; and what it replaced on its
 * way back. */
typedef struct flusher_update {
    cp_sink_config config;
    cp_endpoints_plan *endpoints;
    cp_http_headers *headers;
    cp_compressor *compressor;
    const cp_batch_policy *policies;
    bool renewed; /* credentials are */
    bool refused; /* by the thread; refusal says why */
    cp_error refusal;
} flusher_update;

struct cp_flusher {
    cp_sink_config config; /* strings are our copies */
    cp_flush_events events;
    cp_http *http;
    cp_endpoints endpoints;
    cp_compressor *compressor;
    cp_schedule schedule;
    cp_endpoint_health health; /* of the chosen endpoint, as last told */
    uint32_t told_count;       /* of endpoints */
    bool was_urgent;
    cp_arena arena;
    size_t arena_bytes;
    cp_delivery_env env;
    cp_ahead ahead;
    cp_chunk *pointers[CP_BATCH_CHUNKS];
    cp_held_sender *held; /* NULL: nothing is set aside */
    uint32_t table_count;
    cp_delivery *deliveries[CP_MAX_SINK_TABLES];
    uint32_t poll_ms;
    uint64_t idle_since; /* 0: not idle */
    bool trimmed;
    bool running;
    pthread_t thread;
    _Atomic bool urgent;
    _Atomic uint64_t stop_at;               /* deadline; 0: not stopping */
    uint64_t max_bytes[CP_MAX_SINK_TABLES]; /* of each table when it was added: there is room for no more */
    flusher_update *_Atomic update;         /* for the thread to take; NULL: none */
    sem_t updated;
};

/* ---- creating ------------------------------------------------------------------------------------------------- */

int cp_flusher_create(cp_flusher **out, const cp_sink_config *config, const cp_flush_events *events,
                      cp_error *err)
{
    *out = NULL;
    cp_flusher *flusher = calloc(1, sizeof *flusher);
    if (!flusher)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the flusher");
    flusher->events = *events;
    flusher->poll_ms = POLL_LONGEST_MS;
    sem_init(&flusher->updated, 0, 0);
    int rc = CP_OK;
    if (!cp_sink_config_copy(&flusher->config, config))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for the flusher");
    else
        rc = cp_http_create(&flusher->http, &flusher->config, err);
    if (rc == CP_OK)
        rc = cp_endpoints_create(&flusher->endpoints, &flusher->config, flusher->http, err);
    if (rc == CP_OK && config->compression != CP_COMPRESS_NONE)
        rc = cp_compressor_create(&flusher->compressor, config->compression_level,
                                  config->compression == CP_COMPRESS_AUTO, err);
    if (rc < 0) {
        cp_flusher_free(flusher);
        return rc;
    }
    flusher->env = (cp_delivery_env){
        .config = &flusher->config,
        .events = &flusher->events,
        .endpoints = &flusher->endpoints,
        .http = flusher->http,
        .compressor = flusher->compressor,
        .arena = &flusher->arena,
        .pointers = flusher->pointers,
        .ahead = &flusher->ahead,
    };
    if (events->unheld && config->quarantine_dir) {
        rc = cp_held_sender_create(&flusher->held, &flusher->env, err);
        flusher->env.held = flusher->held;
    }
    if (rc < 0) {
        cp_flusher_free(flusher);
        return rc;
    }
    *out = flusher;
    return CP_OK;
}

static void poll_shorten(cp_flusher *flusher, const cp_batch_policy *policy)
{
    const uint64_t half_ms = policy->interval_ns / 2 / CP_NS_PER_MS;
    if (half_ms < flusher->poll_ms)
        flusher->poll_ms = half_ms > POLL_SHORTEST_MS ? (uint32_t)half_ms : POLL_SHORTEST_MS;
}

int cp_flusher_add_table(cp_flusher *flusher, const cp_table *table, const cp_batch_policy *policy,
                         uint32_t queue_capacity, cp_error *err)
{
    if (flusher->running)
        return cp_error_set(err, CP_E_INVAL, "table %s: the flusher runs already", table->name);
    if (flusher->table_count == CP_MAX_SINK_TABLES)
        return cp_error_set(err, CP_E_TOO_BIG, "table %s: more than %d tables", table->name,
                            CP_MAX_SINK_TABLES);
    cp_delivery *delivery = NULL;
    const int rc = cp_delivery_create(&delivery, &flusher->env, flusher->table_count, table, policy,
                                      queue_capacity, err);
    if (rc < 0)
        return rc;
    const char *database = table->database ? table->database : flusher->config.database;
    if (cp_endpoints_add_table(&flusher->endpoints, database ? database : "default", cp_table_target(table)) <
        0) {
        cp_delivery_free(delivery);
        return cp_error_set(err, CP_E_NOMEM, "table %s: out of memory", table->name);
    }
    const uint32_t index = flusher->table_count++;
    flusher->deliveries[index] = delivery;
    const size_t arena = cp_delivery_arena_bytes(policy, table);
    if (arena > flusher->arena_bytes)
        flusher->arena_bytes = arena;
    flusher->max_bytes[index] = policy->max_bytes;
    poll_shorten(flusher, policy);
    return CP_OK;
}

void cp_flusher_memory(const cp_batch_policy *policy, const cp_table *table, uint64_t *own, uint64_t *shared)
{
    *own = cp_delivery_body_bytes(policy);
    *shared = cp_delivery_arena_bytes(policy, table);
}

void cp_flusher_free(cp_flusher *flusher)
{
    if (!flusher)
        return;
    cp_held_sender_free(flusher->held);
    for (uint32_t i = 0; i < flusher->table_count; i++)
        cp_delivery_free(flusher->deliveries[i]);
    cp_endpoints_destroy(&flusher->endpoints);
    cp_http_free(flusher->http);
    cp_compressor_free(flusher->compressor);
    cp_ahead_unmap(&flusher->ahead);
    cp_arena_unmap(&flusher->arena);
    cp_sink_config_drop(&flusher->config);
    sem_destroy(&flusher->updated);
    free(flusher);
}

/* ---- a changed configuration ---------------------------------------------------------------------------------- */

static int update_make(flusher_update *update, cp_flusher *flusher, const cp_sink_config *sink,
                       const cp_batch_policy *policies, cp_error *err)
{
    cp_sink_config config = *sink;
    config.database = flusher->config.database;
    config.instance = flusher->config.instance;
    update->policies = policies;
    update->renewed = cp_sink_credentials_differ(sink, &flusher->config);
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        if (policies[i].max_rows < 1 || policies[i].max_rows > CP_MAX_BATCH_ROWS ||
            policies[i].max_bytes < 1 || policies[i].max_bytes > flusher->max_bytes[i])
            return cp_error_set(err, CP_E_INVAL, "table %u: max_rows or max_bytes is out of range", i);
    }
    if (!cp_sink_config_copy(&update->config, &config))
        return cp_error_set(err, CP_E_NOMEM, "no memory for another configuration");
    update->endpoints = calloc(1, sizeof *update->endpoints);
    if (!update->endpoints)
        return cp_error_set(err, CP_E_NOMEM, "no memory for another configuration");
    int rc = cp_endpoints_plan_make(update->endpoints, &flusher->endpoints, sink, err);
    if (rc == CP_OK)
        rc = cp_http_headers_create(&update->headers, &update->config, err);
    if (rc == CP_OK && sink->compression != CP_COMPRESS_NONE)
        rc = cp_compressor_create(&update->compressor, sink->compression_level,
                                  sink->compression == CP_COMPRESS_AUTO, err);
    return rc;
}

static void refusal_say(flusher_update *update, const cp_endpoint *at, const cp_table *table)
{
    cp_error_set(&update->refusal, CP_E_CONFIG,
                 "clickhouse.url does not name %s any more, where a batch of table %s may have been stored: "
                 "keep it, if only as the last of the list, until the batch is delivered; or, when it will "
                 "not come back, name it under clickhouse.abandoned",
                 at->base, table->name);
}

/* What may have been stored at an endpoint is waited for there: it cannot be forgotten by leaving it out. */
static bool update_refuse(const cp_flusher *flusher, flusher_update *update)
{
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        const cp_endpoint *at = cp_delivery_endpoint(flusher->deliveries[i]);
        if (!at || !cp_delivery_holds_on(flusher->deliveries[i]) ||
            cp_endpoints_plan_has(update->endpoints, at))
            continue;
        refusal_say(update, at, cp_delivery_table(flusher->deliveries[i]));
        return true;
    }
    for (uint32_t i = 0; flusher->held && i < CP_ENDPOINT_PLACES; i++) {
        const cp_endpoint *at = &flusher->endpoints.places[i];
        const cp_table *table = at->base[0] ? cp_held_sender_waits_for(flusher->held, at->id) : NULL;
        if (table && !cp_endpoints_plan_has(update->endpoints, at)) {
            refusal_say(update, at, table);
            return true;
        }
    }
    if (!cp_endpoints_plan_fits(update->endpoints, &flusher->endpoints)) {
        cp_error_set(&update->refusal, CP_E_CONFIG,
                     "more than %d ClickHouse endpoints are used, with those that are leaving: reload again "
                     "when these are gone",
                     CP_ENDPOINT_PLACES);
        return true;
    }
    return false;
}

/* The thread, between two steps: everything changes here, and nothing can fail. */
static void update_take(cp_flusher *flusher, flusher_update *update)
{
    update->refused = update_refuse(flusher, update);
    if (update->refused) {
        sem_post(&flusher->updated);
        return;
    }
    const cp_endpoint *chosen = cp_endpoints_chosen(&flusher->endpoints);
    const cp_sink_config config = flusher->config;
    cp_compressor *compressor = flusher->compressor;
    flusher->config = update->config;
    flusher->compressor = flusher->env.compressor = update->compressor;
    cp_http_configure(flusher->http, update->headers);
    cp_endpoints_plan_take(&flusher->endpoints, update->endpoints, update->renewed);
    const bool changed = update->renewed || cp_endpoints_chosen(&flusher->endpoints) != chosen;
    flusher->poll_ms = POLL_LONGEST_MS;
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        cp_delivery_configure(flusher->deliveries[i], &update->policies[i], changed);
        poll_shorten(flusher, &update->policies[i]);
    }
    update->config = config;
    update->compressor = compressor;
    update->headers = NULL;
    sem_post(&flusher->updated);
}

int cp_flusher_configure(cp_flusher *flusher, const cp_sink_config *sink, const cp_batch_policy *policies,
                         cp_error *err)
{
    flusher_update update = {.headers = NULL};
    if (!flusher->running)
        return cp_error_set(err, CP_E_INVAL, "the flusher does not run");
    int rc = update_make(&update, flusher, sink, policies, err);
    if (rc == CP_OK) {
        atomic_store_explicit(&flusher->update, &update, memory_order_release);
        cp_http_wake(flusher->http);
        while (sem_wait(&flusher->updated) < 0 && errno == EINTR)
            ;
    }
    if (update.refused) {
        *err = update.refusal;
        rc = update.refusal.code;
    }
    if (update.endpoints)
        cp_endpoints_plan_clear(update.endpoints);
    free(update.endpoints);
    cp_http_headers_free(update.headers);
    cp_compressor_free(update.compressor);
    cp_sink_config_drop(&update.config);
    return rc;
}

/* ---- the thread ----------------------------------------------------------------------------------------------- */

static void server_show(const cp_flusher *flusher, bool up, const cp_http_reply *reply)
{
    char text[TEXT_ROOM] = "";
    if (!up)
        cp_http_reply_text(reply, text, sizeof text);
    if (flusher->events.server)
        flusher->events.server(flusher->events.ctx, up, text);
}

/* A probe ended: tell those who wait for it. */
static void on_probe(cp_flusher *flusher, cp_endpoint *at, const cp_http_reply *reply, uint64_t now_ns)
{
    const bool was_known = cp_abilities_known(at->abilities);
    const cp_probe_result result = cp_abilities_reply(at->abilities, reply, now_ns);
    const bool back = cp_endpoint_probed(at, result, was_known, reply, now_ns);
    if (result != CP_PROBE_GOING_ON && at == cp_endpoints_chosen(&flusher->endpoints))
        server_show(flusher, result == CP_PROBE_DONE, reply);
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        cp_delivery *delivery = flusher->deliveries[i];
        const cp_endpoint *of = cp_delivery_endpoint(delivery);
        if ((of ? of : cp_endpoints_chosen(&flusher->endpoints)) != at)
            continue;
        if (back)
            cp_delivery_hurry(delivery, now_ns);
        else if (result == CP_PROBE_FAILED)
            cp_delivery_report_waiting(delivery, reply, cp_abilities_retry_ns(at->abilities) - now_ns);
    }
}

static void on_done(void *ctx, cp_http_exchange *exchange, const cp_http_reply *reply)
{
    cp_flusher *flusher = ctx;
    const uint64_t now_ns = cp_boottime_ns();
    cp_endpoint *probed = cp_endpoints_of_probe(&flusher->endpoints, exchange);
    if (probed) {
        on_probe(flusher, probed, reply, now_ns);
        return;
    }
    cp_delivery *delivery = cp_http_exchange_owner(exchange);
    cp_endpoint_learn(cp_delivery_at(delivery), &flusher->config, reply, now_ns);
    cp_delivery_reply(delivery, reply, now_ns);
}

/* After TRIM_AFTER_MS without any work gives back what a burst took. */
static void idle_trim(cp_flusher *flusher, uint64_t now_ns, bool idle)
{
    if (!idle) {
        flusher->idle_since = 0;
        flusher->trimmed = false;
    } else if (flusher->idle_since == 0) {
        flusher->idle_since = now_ns;
    } else if (!flusher->trimmed && now_ns - flusher->idle_since > TRIM_AFTER_MS * (uint64_t)CP_NS_PER_MS) {
        cp_arena_reset(&flusher->arena);
        cp_arena_trim(&flusher->arena, ARENA_KEEP);
        for (uint32_t i = 0; i < flusher->table_count; i++)
            cp_delivery_trim(flusher->deliveries[i]);
        cp_batch_trim(&flusher->ahead.batch, 0);
        flusher->trimmed = true;
    }
}

static int poll_timeout(const cp_flusher *flusher, uint64_t now_ns, uint64_t next_ns)
{
    if (next_ns <= now_ns)
        return 0;
    const uint64_t wait_ms = (next_ns - now_ns + CP_NS_PER_MS - 1) / CP_NS_PER_MS;
    return (int)(wait_ms < flusher->poll_ms ? wait_ms : flusher->poll_ms);
}

/* Signals are the owner's business; and OpenSSL writes to sockets without MSG_NOSIGNAL, so SIGPIPE must not arrive. What
 * the thread's own faults raise stays open. */
static void signals_block(void)
{
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGBUS);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

/* Somebody asks to ship, or has changed the configuration: what is parked is tried at once. */
static void parked_ask(cp_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->table_count; i++)
        cp_delivery_ask_now(flusher->deliveries[i]);
    if (flusher->held)
        cp_held_sender_ask_now(flusher->held);
    cp_endpoints_ask_now(&flusher->endpoints);
}

static bool may_send(const cp_flusher *flusher, uint32_t table)
{
    return !flusher->events.may_send || flusher->events.may_send(flusher->events.ctx, table);
}

static bool any_may_send(const cp_flusher *flusher)
{
    bool may = flusher->table_count == 0;
    for (uint32_t i = 0; i < flusher->table_count && !may; i++)
        may = may_send(flusher, i);
    return may;
}

/* As cp_delivery_due, of a table that may send or may not. */
static uint64_t delivery_due(const cp_flusher *flusher, uint32_t table, uint64_t now_ns, bool cut,
                             bool urgent)
{
    const bool may = may_send(flusher, table);
    const uint64_t at = cp_delivery_due(flusher->deliveries[table], now_ns, cut && may, urgent);
    return may ? at : UINT64_MAX;
}

/* The requests under way at each endpoint leave this much room. */
static uint32_t room_of(const cp_endpoint *at)
{
    return cp_breaker_room(&at->breaker, at->in_flight, TRANSFERS_MOST);
}

static void in_flight_count(cp_flusher *flusher)
{
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++)
        flusher->endpoints.places[i].in_flight = 0;
    for (uint32_t i = 0; i < flusher->table_count; i++)
        cp_delivery_at(flusher->deliveries[i])->in_flight += cp_delivery_is_sending(flusher->deliveries[i]);
    const cp_delivery *held = flusher->held ? cp_held_sender_delivery(flusher->held) : NULL;
    if (held)
        cp_delivery_at(held)->in_flight += cp_delivery_is_sending(held);
}

/* Does what is due, in the order of the schedule and as far as transfers are left. Returns when to call again. */
static uint64_t deliveries_step(cp_flusher *flusher, uint64_t now_ns, bool cut, bool urgent)
{
    cp_schedule *schedule = &flusher->schedule;
    uint64_t next_ns = UINT64_MAX;
    schedule->count = flusher->table_count;
    in_flight_count(flusher);
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        const uint64_t at = delivery_due(flusher, i, now_ns, cut, urgent);
        cp_schedule_want(schedule, i, at <= now_ns);
        next_ns = at > now_ns && at < next_ns ? at : next_ns;
        schedule->critical[i] = cp_delivery_is_critical(flusher->deliveries[i]);
    }
    for (int table = cp_schedule_next(schedule); table >= 0; table = cp_schedule_next(schedule)) {
        cp_delivery *delivery = flusher->deliveries[table];
        cp_endpoint *at = cp_delivery_at(delivery);
        if (room_of(at) == 0) {
            cp_schedule_want(schedule, (uint32_t)table, false);
            continue;
        }
        if (may_send(flusher, (uint32_t)table)) /* still: what others sent counts, too */
            at->in_flight += cp_delivery_step(delivery, now_ns);
        cp_schedule_served(schedule, (uint32_t)table, cp_delivery_cost(delivery));
        const uint64_t due_ns = delivery_due(flusher, (uint32_t)table, now_ns, cut, urgent);
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next_ns;
}

static cp_endpoint_health health_judge(cp_flusher *flusher, const cp_endpoint *at, uint64_t now_ns)
{
    if (!any_may_send(flusher)) /* nobody asks it */
        return CP_ENDPOINT_UNKNOWN;
    if (cp_endpoint_is_down(at, now_ns))
        return CP_ENDPOINT_DOWN;
    if (!cp_abilities_known(at->abilities)) /* a probe is under way: it says */
        return at->health;
    /* Half open with nothing to try is no trouble. */
    bool trouble = at->breaker.state != CP_BREAKER_CLOSED && !cp_flusher_idle(flusher) &&
                   at == cp_endpoints_chosen(&flusher->endpoints);
    for (uint32_t i = 0; i < flusher->table_count; i++)
        trouble = trouble || (cp_delivery_at(flusher->deliveries[i]) == at &&
                              cp_delivery_in_trouble(flusher->deliveries[i]));
    return trouble ? CP_ENDPOINT_DEGRADED : CP_ENDPOINT_HEALTHY;
}

/* One endpoint's view, if the place is not free. True: it says something new. */
static bool view_make(cp_flusher *flusher, cp_endpoint *at, cp_endpoint_view *view, uint64_t now_ns)
{
    const bool chosen = at == cp_endpoints_chosen(&flusher->endpoints);
    const cp_endpoint_health health = health_judge(flusher, at, now_ns);
    const char *reason = health == CP_ENDPOINT_DOWN ? at->reason : "";
    const bool news = health != at->health || chosen != at->told_chosen || at->leaving != at->told_leaving ||
                      !at->told || strcmp(reason, at->told_reason) != 0;
    *view = (cp_endpoint_view){.url = at->base,
                               .id = at->id,
                               .health = health,
                               .chosen = chosen,
                               .leaving = at->leaving,
                               .reason = at->told_reason};
    if (flusher->held)
        cp_held_sender_count(flusher->held, at->id, &view->held_batches, &view->held_rows);
    const bool held_news = view->held_rows != at->told_held;
    at->told_held = view->held_rows;
    at->health = health;
    at->told_chosen = chosen;
    at->told_leaving = at->leaving;
    at->told = true;
    snprintf(at->told_reason, sizeof at->told_reason, "%s", reason);
    return news || held_news;
}

static void health_show(cp_flusher *flusher, uint64_t now_ns)
{
    cp_endpoints *endpoints = &flusher->endpoints;
    cp_endpoint_view views[CP_ENDPOINT_PLACES];
    uint32_t count = 0;
    bool news = false;
    for (uint32_t i = 0; i < endpoints->count; i++)
        news |= view_make(flusher, &endpoints->places[endpoints->order[i]], &views[count++], now_ns);
    for (uint32_t i = 0; i < CP_ENDPOINT_PLACES; i++) {
        if (endpoints->places[i].leaving)
            news |= view_make(flusher, &endpoints->places[i], &views[count++], now_ns);
    }
    news |= count != flusher->told_count;
    flusher->told_count = count;
    const cp_endpoint_health health = cp_endpoints_chosen(endpoints)->health;
    if (news && flusher->events.endpoints)
        flusher->events.endpoints(flusher->events.ctx, views, count);
    if (health != flusher->health && flusher->events.health)
        flusher->events.health(flusher->events.ctx, health);
    flusher->health = health;
}

/* Something is under way to an endpoint that is to leave. */
static bool endpoint_is_busy(const void *ctx, const cp_endpoint *endpoint)
{
    const cp_flusher *flusher = ctx;
    bool busy = false;
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        if (!cp_delivery_endpoint(flusher->deliveries[i]))
            cp_delivery_turn(flusher->deliveries[i]);
        busy = busy || cp_delivery_at(flusher->deliveries[i]) == endpoint;
    }
    const cp_delivery *held = flusher->held ? cp_held_sender_delivery(flusher->held) : NULL;
    busy = busy || (held && cp_delivery_at(held) == endpoint);
    return busy;
}

static bool may_end(const cp_flusher *flusher, uint64_t now_ns, uint64_t stop_at)
{
    bool hope = false;
    for (uint32_t i = 0; i < flusher->table_count; i++)
        hope = hope || ((cp_delivery_is_sending(flusher->deliveries[i]) || may_send(flusher, i)) &&
                        cp_delivery_hopes(flusher->deliveries[i], stop_at));
    return stop_at && (!hope || now_ns >= stop_at);
}

static void *flusher_main(void *arg)
{
    cp_flusher *flusher = arg;
    signals_block();
    for (;;) {
        const uint64_t now_ns = cp_boottime_ns();
        const uint64_t stop_at = atomic_load_explicit(&flusher->stop_at, memory_order_acquire);
        const bool urgent = atomic_load_explicit(&flusher->urgent, memory_order_relaxed);
        flusher_update *update = atomic_exchange_explicit(&flusher->update, NULL, memory_order_acquire);
        if (update)
            update_take(flusher, update);
        if (update || (urgent && !flusher->was_urgent))
            parked_ask(flusher);
        flusher->was_urgent = urgent;
        const uint64_t probe_ns =
            any_may_send(flusher) ? cp_endpoints_step(&flusher->endpoints, now_ns) : UINT64_MAX;
        (void)cp_endpoints_choose(&flusher->endpoints, now_ns);
        const uint64_t step_ns = deliveries_step(flusher, now_ns, stop_at == 0, urgent);
        const bool sends_held =
            stop_at == 0 && flusher->held && any_may_send(flusher); /* a stop does not wait */
        const uint64_t held_ns = sends_held ? cp_held_sender_step(flusher->held, now_ns) : UINT64_MAX;
        if (may_end(flusher, now_ns, stop_at))
            break;
        cp_endpoints_leave(&flusher->endpoints, endpoint_is_busy, flusher);
        health_show(flusher, now_ns);
        idle_trim(flusher, now_ns, cp_flusher_idle(flusher));
        uint64_t next_ns = probe_ns < step_ns ? probe_ns : step_ns;
        next_ns = held_ns < next_ns ? held_ns : next_ns;
        if (next_ns > now_ns && stop_at == 0) /* nothing else is to be done now */
            next_ns =
                cp_ahead_step(&flusher->ahead, flusher->deliveries, flusher->table_count, now_ns, next_ns);
        cp_http_poll(flusher->http, poll_timeout(flusher, now_ns, next_ns), on_done, flusher);
    }
    for (uint32_t i = 0; i < flusher->table_count; i++)
        cp_delivery_abandon(flusher->deliveries[i]);
    return NULL;
}

/* For the largest table; its pages cost nothing until they are used. */
static int flusher_map(cp_flusher *flusher, cp_error *err)
{
    cp_arena_unmap(&flusher->arena);
    if (flusher->arena_bytes && cp_arena_map(&flusher->arena, flusher->arena_bytes) < 0)
        return cp_error_set(err, CP_E_NOMEM, "no %zu bytes of address space for encoding: lower max_bytes",
                            flusher->arena_bytes);
    return cp_ahead_map(&flusher->ahead, flusher->deliveries, flusher->table_count, err);
}

int cp_flusher_resume(cp_flusher *flusher, uint32_t table, cp_chunk *const *chunks, uint32_t count,
                      const cp_batch_left *left, cp_error *err)
{
    if (flusher->running || table >= flusher->table_count)
        return cp_error_set(err, CP_E_INVAL, "table %u cannot take up a batch now", table);
    const int rc = flusher_map(flusher, err);
    return rc < 0 ? rc : cp_delivery_resume(flusher->deliveries[table], chunks, count, left, err);
}

void cp_flusher_set_source(cp_flusher *flusher, uint32_t table, const cp_batch_source *source)
{
    cp_delivery_set_source(flusher->deliveries[table], source);
}

void cp_flusher_held_counted(cp_flusher *flusher, uint32_t table)
{
    if (flusher->held)
        cp_held_sender_counted(flusher->deliveries[table]);
}

int cp_flusher_held(cp_flusher *flusher, uint32_t table, cp_held_visit *visit, void *ctx, cp_error *err)
{
    const cp_held_load load = {visit, ctx, err};
    if (!flusher->held)
        return cp_error_set(err, CP_E_ABSENT, "quarantine.dir is not configured");
    return cp_held_sender_load(flusher->held, table, flusher->deliveries[table], &load);
}

int cp_flusher_start(cp_flusher *flusher, int cpu, cp_error *err)
{
    if (flusher->running)
        return cp_error_set(err, CP_E_INVAL, "the flusher runs already");
    if (cpu >= CPU_SETSIZE)
        return cp_error_set(err, CP_E_INVAL, "flush CPU %d is beyond %d", cpu, CPU_SETSIZE - 1);
    int rc = flusher_map(flusher, err);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&flusher->stop_at, 0, memory_order_relaxed);
    pthread_attr_t attr;
    rc = pthread_attr_init(&attr);
    if (rc != 0)
        return cp_error_errno(err, CP_E_NOMEM, rc, "flusher thread");
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)(cpu >= 0 ? cpu : 0), &set);
    if (cpu >= 0)
        rc = pthread_attr_setaffinity_np(&attr, sizeof set, &set);
    if (rc == 0)
        rc = pthread_create(&flusher->thread, &attr, flusher_main, flusher);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        return cp_error_errno(err, rc == EINVAL ? CP_E_INVAL : CP_E_NOMEM, rc, "flusher thread on CPU %d",
                              cpu);
    flusher->running = true;
    pthread_setname_np(flusher->thread, "cp-flush");
    return CP_OK;
}

/* ---- other threads -------------------------------------------------------------------------------------------- */

bool cp_flusher_submit(cp_flusher *flusher, uint32_t table, cp_chunk *chunk)
{
    return table < flusher->table_count && cp_delivery_submit(flusher->deliveries[table], chunk);
}

void cp_flusher_wake(cp_flusher *flusher)
{
    cp_http_wake(flusher->http);
}

void cp_flusher_set_urgent(cp_flusher *flusher, bool urgent)
{
    atomic_store_explicit(&flusher->urgent, urgent, memory_order_relaxed);
    cp_http_wake(flusher->http);
}

bool cp_flusher_idle(cp_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        if (!cp_delivery_idle(flusher->deliveries[i]))
            return false;
    }
    return true;
}

cp_guarantee cp_flusher_guarantee(const cp_flusher *flusher, uint32_t table)
{
    const cp_endpoint *at = &flusher->endpoints.places[atomic_load(&flusher->endpoints.chosen)];
    return cp_abilities_guarantee(at->abilities, table);
}

void cp_flusher_stop(cp_flusher *flusher, uint64_t deadline_ns)
{
    if (!flusher->running)
        return;
    atomic_store_explicit(&flusher->stop_at, deadline_ns ? deadline_ns : 1, memory_order_release);
    cp_http_wake(flusher->http);
    pthread_join(flusher->thread, NULL);
    flusher->running = false;
}
