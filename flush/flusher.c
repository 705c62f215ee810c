#include "flush/flusher.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "flush/abilities.h"
#include "flush/arena.h"
#include "flush/breaker.h"
#include "flush/compress.h"
#include "flush/delivery.h"
#include "flush/error_class.h"
#include "flush/http.h"
#include "flush/schedule.h"

enum {
    BASE_ROOM = 1024,
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
    char base[BASE_ROOM];
    cp_http_headers *headers;
    cp_compressor *compressor;
    const cp_batch_policy *policies;
    bool server_changed;
} flusher_update;

struct cp_flusher {
    cp_sink_config config; /* strings are our copies */
    cp_flush_events events;
    char base[BASE_ROOM];
    cp_http *http;
    cp_abilities *abilities;
    cp_compressor *compressor;
    cp_breaker breaker;
    cp_schedule schedule;
    cp_endpoint_health health; /* as last told */
    bool was_urgent;
    cp_arena arena;
    size_t arena_bytes;
    cp_delivery_env env;
    cp_chunk *pointers[CP_BATCH_CHUNKS];
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

static char *copy_text(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;
    *failed |= text && !copy;
    return copy;
}

/* Wipes and frees a string that config owns. */
static void drop_text(const char *text)
{
    if (!text)
        return;
    void *bytes = (void *)(uintptr_t)text;
    explicit_bzero(bytes, strlen(text));
    free(bytes);
}

static bool config_copy(cp_sink_config *to, const cp_sink_config *from)
{
    bool failed = false;
    *to = *from;
    to->url = copy_text(from->url, &failed);
    to->user = copy_text(from->user, &failed);
    to->password = copy_text(from->password, &failed);
    to->database = copy_text(from->database, &failed);
    to->ca_file = copy_text(from->ca_file, &failed);
    to->instance = copy_text(from->instance ? from->instance : "", &failed);
    to->stamp_source = copy_text(from->stamp_source, &failed);
    to->stamp_environment = copy_text(from->stamp_environment, &failed);
    to->quarantine_dir = copy_text(from->quarantine_dir, &failed);
    return !failed;
}

static void config_drop(cp_sink_config *config)
{
    drop_text(config->url);
    drop_text(config->user);
    drop_text(config->password);
    drop_text(config->database);
    drop_text(config->ca_file);
    drop_text(config->instance);
    drop_text(config->stamp_source);
    drop_text(config->stamp_environment);
    drop_text(config->quarantine_dir);
}

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
    if (!config->url)
        rc = cp_error_set(err, CP_E_INVAL, "no ClickHouse URL is given");
    else if (!config_copy(&flusher->config, config))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for the flusher");
    else
        rc = cp_http_check_url(config->url, flusher->base, sizeof flusher->base, err);
    if (rc == CP_OK)
        rc = cp_http_create(&flusher->http, &flusher->config, err);
    if (rc == CP_OK &&
        cp_abilities_create(&flusher->abilities, flusher->http, &flusher->config, flusher->base) < 0)
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for the flusher");
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
        .base = flusher->base,
        .http = flusher->http,
        .abilities = flusher->abilities,
        .compressor = flusher->compressor,
        .arena = &flusher->arena,
        .pointers = flusher->pointers,
    };
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
    if (cp_abilities_add_table(flusher->abilities, database ? database : "default", cp_table_target(table)) <
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
    for (uint32_t i = 0; i < flusher->table_count; i++)
        cp_delivery_free(flusher->deliveries[i]);
    cp_abilities_free(flusher->abilities);
    cp_http_free(flusher->http);
    cp_compressor_free(flusher->compressor);
    cp_arena_unmap(&flusher->arena);
    config_drop(&flusher->config);
    sem_destroy(&flusher->updated);
    free(flusher);
}

/* ---- a changed configuration ---------------------------------------------------------------------------------- */

static bool text_differs(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) != 0 : a != b;
}

static bool server_differs(const cp_sink_config *a, const cp_sink_config *b)
{
    return text_differs(a->url, b->url) || text_differs(a->user, b->user) ||
           text_differs(a->password, b->password) || text_differs(a->ca_file, b->ca_file);
}

static int update_make(flusher_update *update, const cp_flusher *flusher, const cp_sink_config *sink,
                       const cp_batch_policy *policies, cp_error *err)
{
    cp_sink_config config = *sink;
    config.database = flusher->config.database;
    config.instance = flusher->config.instance;
    update->policies = policies;
    update->server_changed = server_differs(sink, &flusher->config);
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        if (policies[i].max_rows < 1 || policies[i].max_rows > CP_MAX_BATCH_ROWS ||
            policies[i].max_bytes < 1 || policies[i].max_bytes > flusher->max_bytes[i])
            return cp_error_set(err, CP_E_INVAL, "table %u: max_rows or max_bytes is out of range", i);
    }
    if (!config_copy(&update->config, &config))
        return cp_error_set(err, CP_E_NOMEM, "no memory for another configuration");
    int rc = cp_http_check_url(sink->url, update->base, sizeof update->base, err);
    if (rc == CP_OK)
        rc = cp_http_headers_create(&update->headers, &update->config, err);
    if (rc == CP_OK && sink->compression != CP_COMPRESS_NONE)
        rc = cp_compressor_create(&update->compressor, sink->compression_level,
                                  sink->compression == CP_COMPRESS_AUTO, err);
    return rc;
}

/* The thread, between two steps: everything changes here, and nothing can fail. */
static void update_take(cp_flusher *flusher, flusher_update *update)
{
    const cp_sink_config config = flusher->config;
    cp_compressor *compressor = flusher->compressor;
    flusher->config = update->config;
    flusher->compressor = flusher->env.compressor = update->compressor;
    memcpy(flusher->base, update->base, sizeof flusher->base);
    cp_http_configure(flusher->http, update->headers);
    if (update->server_changed)
        cp_abilities_configure(flusher->abilities, flusher->base);
    flusher->poll_ms = POLL_LONGEST_MS;
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        cp_delivery_configure(flusher->deliveries[i], &update->policies[i], update->server_changed);
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
    const int rc = update_make(&update, flusher, sink, policies, err);
    if (rc == CP_OK) {
        atomic_store_explicit(&flusher->update, &update, memory_order_release);
        cp_http_wake(flusher->http);
        while (sem_wait(&flusher->updated) < 0 && errno == EINTR)
            ;
    }
    cp_http_headers_free(update.headers);
    cp_compressor_free(update.compressor);
    config_drop(&update.config);
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
static void on_probe(cp_flusher *flusher, const cp_http_reply *reply, uint64_t now_ns)
{
    const bool was_known = cp_abilities_known(flusher->abilities);
    const cp_probe_result result = cp_abilities_reply(flusher->abilities, reply, now_ns);
    if (result != CP_PROBE_GOING_ON)
        cp_breaker_probed(&flusher->breaker, result == CP_PROBE_DONE);
    if (result != CP_PROBE_GOING_ON)
        server_show(flusher, result == CP_PROBE_DONE, reply);
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        if (result == CP_PROBE_DONE && !was_known)
            cp_delivery_hurry(flusher->deliveries[i], now_ns);
        else if (result == CP_PROBE_FAILED)
            cp_delivery_report_waiting(flusher->deliveries[i], reply,
                                       cp_abilities_retry_ns(flusher->abilities) - now_ns);
    }
}

/* What an insert's end says about the server: nothing came back, or only from a gateway before it, or an answer. */
static void breaker_learn(cp_flusher *flusher, const cp_http_reply *reply)
{
    const bool gateway = reply->exception_code == 0 && reply->status >= 502 && reply->status <= 504;
    const bool reached = cp_error_classify(reply) != CP_CLASS_TRANSIENT || reply->net == 0;
    if (reply->net == 0 && !gateway)
        cp_breaker_answered(&flusher->breaker);
    else if (cp_breaker_failed(&flusher->breaker, reached))
        cp_abilities_suspect(flusher->abilities);
}

static void on_done(void *ctx, cp_http_exchange *exchange, const cp_http_reply *reply)
{
    cp_flusher *flusher = ctx;
    const uint64_t now_ns = cp_boottime_ns();
    if (cp_abilities_owns(flusher->abilities, exchange)) {
        on_probe(flusher, reply, now_ns);
        return;
    }
    breaker_learn(flusher, reply);
    cp_delivery_reply(cp_http_exchange_owner(exchange), reply, now_ns);
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
    cp_abilities_ask_now(flusher->abilities);
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

/* Does what is due, in the order of the schedule and as far as transfers are left. Returns when to call again. */
static uint64_t deliveries_step(cp_flusher *flusher, uint64_t now_ns, bool cut, bool urgent)
{
    cp_schedule *schedule = &flusher->schedule;
    uint64_t next_ns = UINT64_MAX;
    uint32_t in_flight = 0;
    schedule->count = flusher->table_count;
    for (uint32_t i = 0; i < flusher->table_count; i++) {
        const uint64_t at = delivery_due(flusher, i, now_ns, cut, urgent);
        cp_schedule_want(schedule, i, at <= now_ns);
        next_ns = at > now_ns && at < next_ns ? at : next_ns;
        in_flight += cp_delivery_is_sending(flusher->deliveries[i]);
        schedule->critical[i] = cp_delivery_is_critical(flusher->deliveries[i]);
    }
    uint32_t room = cp_breaker_room(&flusher->breaker, in_flight, TRANSFERS_MOST);
    int table = room > 0 ? cp_schedule_next(schedule) : -1;
    while (table >= 0) {
        cp_delivery *delivery = flusher->deliveries[table];
        if (may_send(flusher, (uint32_t)table)) /* still: what others sent counts, too */
            room -= cp_delivery_step(delivery, now_ns);
        cp_schedule_served(schedule, (uint32_t)table, cp_delivery_cost(delivery));
        const uint64_t at = delivery_due(flusher, (uint32_t)table, now_ns, cut, urgent);
        next_ns = at < next_ns ? at : next_ns;
        table = room > 0 ? cp_schedule_next(schedule) : -1;
    }
    return next_ns;
}

static cp_endpoint_health health_judge(cp_flusher *flusher)
{
    if (!any_may_send(flusher)) /* nobody asks it */
        return CP_ENDPOINT_UNKNOWN;
    const bool known = cp_abilities_known(flusher->abilities);
    if (flusher->breaker.state == CP_BREAKER_OPEN || cp_abilities_failures(flusher->abilities) > 0)
        return CP_ENDPOINT_DOWN;
    if (!known) /* a probe is under way: it says */
        return flusher->health;
    /* Half open with nothing to try is no trouble. */
    bool trouble = flusher->breaker.state != CP_BREAKER_CLOSED && !cp_flusher_idle(flusher);
    for (uint32_t i = 0; i < flusher->table_count; i++)
        trouble = trouble || cp_delivery_in_trouble(flusher->deliveries[i]);
    return trouble ? CP_ENDPOINT_DEGRADED : CP_ENDPOINT_HEALTHY;
}

static void health_show(cp_flusher *flusher)
{
    const cp_endpoint_health health = health_judge(flusher);
    if (health != flusher->health && flusher->events.health)
        flusher->events.health(flusher->events.ctx, health);
    flusher->health = health;
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
            any_may_send(flusher) ? cp_abilities_step(flusher->abilities, now_ns) : UINT64_MAX;
        const uint64_t step_ns = deliveries_step(flusher, now_ns, stop_at == 0, urgent);
        if (may_end(flusher, now_ns, stop_at))
            break;
        health_show(flusher);
        idle_trim(flusher, now_ns, cp_flusher_idle(flusher));
        cp_http_poll(flusher->http, poll_timeout(flusher, now_ns, probe_ns < step_ns ? probe_ns : step_ns),
                     on_done, flusher);
    }
    for (uint32_t i = 0; i < flusher->table_count; i++)
        cp_delivery_abandon(flusher->deliveries[i]);
    return NULL;
}

/* For the largest table; its pages cost nothing until they are used. */
static int flusher_map_arena(cp_flusher *flusher, cp_error *err)
{
    cp_arena_unmap(&flusher->arena);
    if (flusher->arena_bytes && cp_arena_map(&flusher->arena, flusher->arena_bytes) < 0)
        return cp_error_set(err, CP_E_NOMEM,
                            "no %zu bytes of address space for encoding: lower the batches' max_bytes",
                            flusher->arena_bytes);
    return CP_OK;
}

int cp_flusher_resume(cp_flusher *flusher, uint32_t table, cp_chunk *const *chunks, uint32_t count,
                      const cp_batch_left *left, cp_error *err)
{
    if (flusher->running || table >= flusher->table_count)
        return cp_error_set(err, CP_E_INVAL, "table %u cannot take up a batch now", table);
    const int rc = flusher_map_arena(flusher, err);
    return rc < 0 ? rc : cp_delivery_resume(flusher->deliveries[table], chunks, count, left, err);
}

void cp_flusher_set_source(cp_flusher *flusher, uint32_t table, const cp_batch_source *source)
{
    cp_delivery_set_source(flusher->deliveries[table], source);
}

static int thread_pin(pthread_attr_t *attr, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return pthread_attr_setaffinity_np(attr, sizeof set, &set);
}

int cp_flusher_start(cp_flusher *flusher, int cpu, cp_error *err)
{
    if (flusher->running)
        return cp_error_set(err, CP_E_INVAL, "the flusher runs already");
    if (cpu >= CPU_SETSIZE)
        return cp_error_set(err, CP_E_INVAL, "flush CPU %d is beyond %d", cpu, CPU_SETSIZE - 1);
    int rc = flusher_map_arena(flusher, err);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&flusher->stop_at, 0, memory_order_relaxed);
    pthread_attr_t attr;
    rc = pthread_attr_init(&attr);
    if (rc != 0)
        return cp_error_errno(err, CP_E_NOMEM, rc, "flusher thread");
    if (cpu >= 0)
        rc = thread_pin(&attr, cpu);
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
    return cp_abilities_guarantee(flusher->abilities, table);
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
