#include "flush/flusher.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "flush/flusher_private.h"
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

/* ---- for the other files -------------------------------------------------------------------------------------- */

void cp_flusher_poll_reset_(cp_flusher *flusher)
{
    flusher->poll_ms = POLL_LONGEST_MS;
}

void cp_flusher_poll_shorten_(cp_flusher *flusher, const cp_batch_policy *policy)
{
    const uint64_t half_ms = policy->interval_ns / 2 / CP_NS_PER_MS;
    if (half_ms < flusher->poll_ms)
        flusher->poll_ms = half_ms > POLL_SHORTEST_MS ? (uint32_t)half_ms : POLL_SHORTEST_MS;
}

bool cp_flusher_may_send_(const cp_flusher *flusher, uint32_t table)
{
    return !flusher->events.may_send || flusher->events.may_send(flusher->events.ctx, table);
}

bool cp_flusher_any_may_send_(const cp_flusher *flusher)
{
    bool may = flusher->table_count == 0;
    for (uint32_t i = 0; i < flusher->table_count && !may; i++)
        may = cp_flusher_may_send_(flusher, i);
    return may;
}

/* ---- creating ------------------------------------------------------------------------------------------------- */

int cp_flusher_create(cp_flusher **out, const cp_sink_config *config, const cp_flush_events *events,
                      cp_error *err)
{
    *out = NULL;
    cp_flusher *flusher = calloc(1, sizeof *flusher);
    if (!flusher)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the flusher");
    flusher->events = *events;
    cp_flusher_poll_reset_(flusher);
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
    cp_flusher_poll_shorten_(flusher, policy);
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

/* As cp_delivery_due, of a table that may send or may not. */
static uint64_t delivery_due(const cp_flusher *flusher, uint32_t table, uint64_t now_ns, bool cut,
                             bool urgent)
{
    const bool may = cp_flusher_may_send_(flusher, table);
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

/* An endpoint takes no more for now: its tables are asked again when an answer has made room. All of them at once, since to go through
 * the schedule for each of them is tables times tables. */
static void endpoint_is_full(cp_flusher *flusher, const cp_endpoint *endpoint)
{
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        if (cp_delivery_at(flusher->deliveries[i]) == endpoint)
            cp_schedule_want(&flusher->schedule, i, false);
    }
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
            endpoint_is_full(flusher, at);
            continue;
        }
        if (cp_flusher_may_send_(flusher, (uint32_t)table)) /* still: what others sent counts, too */
            at->in_flight += cp_delivery_step(delivery, now_ns);
        cp_schedule_served(schedule, (uint32_t)table, cp_delivery_cost(delivery));
        const uint64_t due_ns = delivery_due(flusher, (uint32_t)table, now_ns, cut, urgent);
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next_ns;
}

/* Something is under way to an endpoint that is to leave, or waits for it. */
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
    return busy || (held && cp_delivery_at(held) == endpoint) ||
           (flusher->held && cp_held_sender_waits_for(flusher->held, endpoint->id));
}

static bool may_end(const cp_flusher *flusher, uint64_t now_ns, uint64_t stop_at)
{
    bool hope = false;
    if (stop_at == 0)
        return false;
    for (uint32_t i = 0; i < flusher->table_count && !hope; i++)
        hope = (cp_delivery_is_sending(flusher->deliveries[i]) || cp_flusher_may_send_(flusher, i)) &&
               cp_delivery_hopes(flusher->deliveries[i], stop_at);
    return !hope || now_ns >= stop_at;
}

static void *flusher_main(void *arg)
{
    cp_flusher *flusher = arg;
    signals_block();
    for (;;) {
        const uint64_t now_ns = cp_boottime_ns();
        const uint64_t stop_at = atomic_load_explicit(&flusher->stop_at, memory_order_acquire);
        const bool urgent = atomic_load_explicit(&flusher->urgent, memory_order_relaxed);
        cp_flusher_update *update = atomic_exchange_explicit(&flusher->update, NULL, memory_order_acquire);
        if (update)
            cp_flusher_update_take_(flusher, update);
        if (update || (urgent && !flusher->was_urgent))
            parked_ask(flusher);
        flusher->was_urgent = urgent;
        const uint64_t probe_ns =
            cp_flusher_any_may_send_(flusher) ? cp_endpoints_step(&flusher->endpoints, now_ns) : UINT64_MAX;
        (void)cp_endpoints_choose(&flusher->endpoints, now_ns);
        const uint64_t step_ns = deliveries_step(flusher, now_ns, stop_at == 0, urgent);
        const bool sends_held =
            stop_at == 0 && flusher->held && cp_flusher_any_may_send_(flusher); /* a stop does not wait */
        const uint64_t held_ns = sends_held ? cp_held_sender_step(flusher->held, now_ns) : UINT64_MAX;
        if (may_end(flusher, now_ns, stop_at))
            break;
        cp_endpoints_leave(&flusher->endpoints, endpoint_is_busy, flusher);
        cp_flusher_health_show_(flusher, now_ns);
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
