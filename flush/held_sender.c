#include "flush/held_sender.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "flush/quarantine.h"

enum {
    TRY_AGAIN_MS = 1000,
    QUEUE = 2,
    YIELDS_MOST = 6 /* doublings of TRY_AGAIN_MS for one that others had to wait for */
};

typedef struct held_entry {
    char path[CP_HELD_PATH];
    cp_delivery *of; /* the table's own delivery */
    uint32_t table;
    uint32_t rows;
    uint64_t size; /* of the file */
    uint64_t endpoint;
    uint64_t retry_at;
    uint32_t yields; /* so often it made way for another */
} held_entry;

struct cp_held_sender {
    const cp_delivery_env *outer;
    cp_flush_events events;
    cp_delivery_env env;
    uint32_t count;
    held_entry entries[CP_HELD_MOST];
    held_entry *current; /* NULL: nothing is being sent */
    cp_held held;
    cp_delivery *delivery;
    bool settled; /* the current one: it is to be taken down */
};

/* ---- what its delivery tells ------------------------------------------------------------------------------------- */

static bool on_prepare(void *ctx, uint32_t table, const cp_batch_intent *intent)
{
    const cp_held_sender *sender = ctx;
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    (void)table;
    if (cp_held_set_piece(sender->current->path, intent->piece, &err) == CP_OK)
        return true;
    cp_log(CP_LOG_ERROR, "a batch that was set aside cannot be sent", "error=%s",
           cp_log_quote(quoted, sizeof quoted, err.text));
    return false;
}

static void on_release(void *ctx, cp_chunk *chunk)
{
    (void)ctx;
    (void)chunk;
}

static void on_attempt(void *ctx, uint32_t table, const cp_attempt *attempt)
{
    (void)ctx;
    (void)table;
    (void)attempt;
}

static void on_progress(void *ctx, uint32_t table, uint32_t in_flight, uint64_t queued,
                        uint64_t oldest_seen_ns)
{
    (void)ctx;
    (void)table;
    (void)in_flight;
    (void)queued;
    (void)oldest_seen_ns;
}

static void on_sent(void *ctx, uint32_t table, uint64_t bytes)
{
    const cp_held_sender *sender = ctx;
    const cp_flush_events *outer = sender->outer->events;
    if (outer->sent)
        outer->sent(outer->ctx, table, bytes);
}

/* First the file's name says so, then the account: a recorder killed in between leaves what its successor needs to count (lane.c). */
static void on_delivered(void *ctx, uint32_t table, const cp_batch_intent *batch)
{
    cp_held_sender *sender = ctx;
    const cp_flush_events *outer = sender->outer->events;
    char dir[CP_HELD_PATH];
    char settled[CP_HELD_PATH];
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    cp_delivery_held_dir(sender->current->of, dir);
    cp_held_settled_path(settled, sender->current->path);
    if (cp_held_settle(sender->current->path, dir, &err) < 0)
        cp_log(CP_LOG_ERROR, "a batch that was set aside is settled, but cannot be removed", "error=%s",
               cp_log_quote(quoted, sizeof quoted, err.text));
    cp_failpoint(CP_FP_HELD_SETTLED);
    cp_log(CP_LOG_INFO, "a batch that was set aside is settled", "table=%s rows=%u",
           cp_delivery_table(sender->current->of)->name, batch->rows);
    outer->unheld(outer->ctx, table, batch);
    unlink(settled); /* if it stays, the next start finds that it is counted */
    sender->settled = true;
}

/* ---- creating ---------------------------------------------------------------------------------------------------- */

int cp_held_sender_create(cp_held_sender **out, const cp_delivery_env *outer, cp_error *err)
{
    cp_held_sender *sender = calloc(1, sizeof *sender);
    *out = sender;
    if (!sender)
        return cp_error_set(err, CP_E_NOMEM, "no memory for batches that are set aside");
    sender->outer = outer;
    sender->events = (cp_flush_events){.ctx = sender,
                                       .prepare = on_prepare,
                                       .release = on_release,
                                       .attempt = on_attempt,
                                       .sent = on_sent,
                                       .delivered = on_delivered,
                                       .progress = on_progress};
    return CP_OK;
}

static void current_end(cp_held_sender *sender)
{
    cp_delivery_free(sender->delivery);
    cp_held_close(&sender->held);
    sender->delivery = NULL;
    sender->current = NULL;
    sender->settled = false;
}

void cp_held_sender_free(cp_held_sender *sender)
{
    if (!sender)
        return;
    current_end(sender);
    free(sender);
}

int cp_held_sender_room(const cp_held_sender *sender, uint32_t table, uint64_t size, uint64_t limit,
                        cp_error *err)
{
    uint64_t taken = 0;
    for (uint32_t i = 0; i < sender->count; i++)
        taken += sender->entries[i].table == table ? sender->entries[i].size : 0;
    if (sender->count == CP_HELD_MOST)
        return cp_error_set(err, CP_E_TOO_BIG, "%d batches are set aside, which is the most", CP_HELD_MOST);
    if (taken > limit || size > limit - taken)
        return cp_error_set(err, CP_E_TOO_BIG,
                            "it takes %llu bytes, and %llu of quarantine.limit, %llu, are taken by others",
                            (unsigned long long)size, (unsigned long long)taken, (unsigned long long)limit);
    return CP_OK;
}

void cp_held_sender_add(cp_held_sender *sender, uint32_t table, cp_delivery *of, const char *path,
                        const cp_held_header *header)
{
    held_entry *entry = &sender->entries[sender->count++];
    *entry = (held_entry){
        .of = of, .table = table, .rows = header->rows, .size = header->size, .endpoint = header->endpoint};
    snprintf(entry->path, sizeof entry->path, "%s", path);
}

/* "<table>.<16 digits>.held" and what follows that. */
static bool name_is_of(const char *name, const char *table, const char *end)
{
    const size_t length = strlen(table);
    return strncmp(name, table, length) == 0 && name[length] == '.' &&
           strlen(name) > length + strlen(".0123456789abcdef") && !memchr(name + length + 1, '.', 16) &&
           strcmp(name + length + strlen(".0123456789abcdef"), end) == 0;
}

static void spans_visit(const cp_held *held, const cp_quarantine_list *refused, bool settled,
                        const cp_held_load *load)
{
    for (uint32_t i = 0; i < held->header->chunk_count; i++) {
        const cp_chunk *chunk = &held->chunks[i];
        cp_span span = {.slot = chunk->slot,
                        .epoch = chunk->epoch,
                        .begin = chunk->begin,
                        .end = chunk->end,
                        .rows = chunk->row_count};
        for (uint32_t at = 0; settled && at < chunk->row_count; at++)
            span.quarantined +=
                cp_quarantine_list_has(refused, chunk->epoch, chunk->slot, cp_chunk_row_position(chunk, at));
        load->visit(load->ctx, &span, settled);
    }
}

/* Reads one that is of the table as it is now. */
static int held_open(cp_held *held, const cp_table *table, const char *path, cp_error *err)
{
    const int rc = cp_held_open(held, path, err);
    if (rc == CP_OK && held->header->schema_hash != table->schema_hash)
        return cp_error_set(err, CP_E_CORRUPT, "%s is of another form of its table: configure it as it was",
                            path);
    return rc;
}

/* As cp_flusher_resume: among several endpoints nobody can say which one it is now. */
static int endpoint_check(const cp_held_sender *sender, const cp_table *table, const cp_held_header *header,
                          cp_error *err)
{
    cp_endpoints *endpoints = sender->outer->endpoints;
    if (endpoints->count == 1 || cp_endpoints_find(endpoints, header->endpoint) ||
        cp_endpoints_is_abandoned(endpoints, header->endpoint))
        return CP_OK;
    return cp_error_set(err, CP_E_CONFIG,
                        "table %s: a batch of %u rows that is set aside may have been stored at a ClickHouse "
                        "endpoint that clickhouse.url does not name any more: name it again, if only as the "
                        "last of the list, until the batch is delivered; or, when it will not come back, "
                        "under clickhouse.abandoned",
                        table->name, header->rows);
}

/* CP_E_CORRUPT: it stays where it is, and the log says so. */
static int file_load(cp_held_sender *sender, uint32_t index, cp_delivery *of, const char *path, bool settled,
                     const cp_held_load *load)
{
    const cp_table *table = cp_delivery_table(of);
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    cp_held held = {.header = NULL};
    cp_quarantine_list refused = {.entries = NULL}; /* of what is settled */
    const unsigned anywhere = CP_QUARANTINE_ROWS | CP_QUARANTINE_RETRYING | CP_QUARANTINE_TRASH;
    int rc = held_open(&held, table, path, &err);
    if (rc == CP_OK && settled)
        rc = cp_quarantine_load(&refused, sender->outer->config->quarantine_dir, table->name, anywhere, &err);
    if (rc == CP_OK && !settled && sender->count == CP_HELD_MOST)
        rc = cp_error_set(&err, CP_E_TOO_BIG, "%s is one more than %d", path, CP_HELD_MOST);
    if (rc < 0) {
        cp_log(CP_LOG_ERROR, "a batch that was set aside cannot be read, and stays where it is",
               "table=%s error=%s consequence=\"its rows stay counted as set aside\"", table->name,
               cp_log_quote(quoted, sizeof quoted, err.text));
        cp_held_close(&held);
        return CP_E_CORRUPT;
    }
    if (!settled)
        rc = endpoint_check(sender, table, held.header, load->err);
    if (rc == CP_OK)
        spans_visit(&held, &refused, settled, load);
    if (rc == CP_OK && !settled)
        cp_held_sender_add(sender, index, of, path, held.header);
    cp_quarantine_list_free(&refused);
    cp_held_close(&held);
    return rc;
}

int cp_held_sender_load(cp_held_sender *sender, uint32_t table, cp_delivery *of, const cp_held_load *load)
{
    char dir[CP_HELD_PATH];
    if (!cp_delivery_held_dir(of, dir))
        return cp_error_set(load->err, CP_E_ABSENT, "quarantine.dir is not configured, or its path too long");
    DIR *stream = opendir(dir);
    if (!stream)
        return cp_error_errno(load->err, cp_error_code_of_errno(errno), errno, "open %s", dir);
    const char *name = cp_delivery_table(of)->name;
    int rc = CP_OK;
    const struct dirent *entry;
    while (rc != CP_E_CONFIG && (entry = readdir(stream)) != NULL) {
        char path[CP_HELD_PATH];
        const bool settled = name_is_of(entry->d_name, name, ".held.settled");
        if (snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) >= (int)sizeof path)
            continue;
        if (name_is_of(entry->d_name, name, ".held.new"))
            unlink(path); /* it stood for nothing yet */
        if (!settled && !name_is_of(entry->d_name, name, ".held"))
            continue;
        const int loaded = file_load(sender, table, of, path, settled, load);
        rc = loaded < 0 ? loaded : rc;
    }
    closedir(stream);
    return rc;
}

void cp_held_sender_counted(const cp_delivery *of)
{
    char dir[CP_HELD_PATH];
    char path[CP_HELD_PATH];
    const cp_table *table = cp_delivery_table(of);
    DIR *stream = cp_delivery_held_dir(of, dir) ? opendir(dir) : NULL;
    const struct dirent *entry;
    while (stream && (entry = readdir(stream)) != NULL) {
        cp_held held = {.header = NULL};
        if (!name_is_of(entry->d_name, table->name, ".held.settled") ||
            snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) >= (int)sizeof path)
            continue;
        if (held_open(&held, table, path, NULL) == CP_OK) /* else nobody counted it: it stays */
            unlink(path);
        cp_held_close(&held);
    }
    if (stream)
        closedir(stream);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static bool may_send(const cp_held_sender *sender, const held_entry *entry)
{
    const cp_flush_events *outer = sender->outer->events;
    return !outer->may_send || outer->may_send(outer->ctx, entry->table);
}

/* Where a batch can go now; NULL: it waits. */
static const cp_endpoint *way_of(const cp_held_sender *sender, const held_entry *entry, uint64_t now_ns)
{
    if (!may_send(sender, entry))
        return NULL;
    cp_endpoints *endpoints = sender->outer->endpoints;
    const cp_endpoint *at = cp_endpoints_find(endpoints, entry->endpoint);
    const bool anywhere = cp_endpoints_is_abandoned(endpoints, entry->endpoint) || endpoints->count == 1;
    if ((!at || at->abandoned) && anywhere)
        at = cp_endpoints_chosen(endpoints);
    return at && cp_abilities_known(at->abilities) && !cp_endpoint_is_down(at, now_ns) ? at : NULL;
}

static int current_begin(cp_held_sender *sender, held_entry *entry, cp_error *err)
{
    int rc = cp_held_open(&sender->held, entry->path, err);
    if (rc < 0)
        return rc;
    const cp_held_header *header = sender->held.header;
    sender->env = *sender->outer;
    sender->env.events = &sender->events;
    sender->env.held = NULL;
    rc = cp_delivery_create(&sender->delivery, &sender->env, entry->table, cp_delivery_table(entry->of),
                            cp_delivery_policy(entry->of), QUEUE, err);
    const cp_batch_left left = {.token = header->token,
                                .endpoint = entry->endpoint,
                                .piece = {header->piece_first, header->piece_rows},
                                .base = header->base};
    if (rc == CP_OK)
        rc = cp_delivery_resume(sender->delivery, sender->held.pointers, header->chunk_count, &left, err);
    return rc;
}

static void next_begin(cp_held_sender *sender, uint64_t now_ns)
{
    for (uint32_t i = 0; i < sender->count && !sender->current; i++) {
        held_entry *entry = &sender->entries[i];
        cp_error err = {0};
        char quoted[CP_ERROR_TEXT + 64];
        if (now_ns < entry->retry_at || !way_of(sender, entry, now_ns))
            continue;
        sender->current = entry;
        if (current_begin(sender, entry, &err) == CP_OK)
            continue;
        cp_log(CP_LOG_ERROR, "a batch that was set aside cannot be sent", "table=%s error=%s",
               cp_delivery_table(entry->of)->name, cp_log_quote(quoted, sizeof quoted, err.text));
        current_end(sender);
        entry->retry_at = now_ns + 60 * (uint64_t)TRY_AGAIN_MS * CP_NS_PER_MS;
    }
}

static bool another_can_go(const cp_held_sender *sender, uint64_t now_ns)
{
    for (uint32_t i = 0; i < sender->count; i++) {
        const held_entry *entry = &sender->entries[i];
        if (entry != sender->current && now_ns >= entry->retry_at && way_of(sender, entry, now_ns))
            return true;
    }
    return false;
}

/* The current batch waits until `at`, for its endpoint or its table, and another one need not wait with it. How far the current one
 * is stands in its file: it is taken up again as after a restart. */
static void current_yield(cp_held_sender *sender, uint64_t at, uint64_t now_ns)
{
    held_entry *entry = sender->current;
    const uint64_t pause_ns = (TRY_AGAIN_MS * (uint64_t)CP_NS_PER_MS) << entry->yields;
    entry->yields += entry->yields < YIELDS_MOST;
    entry->retry_at = now_ns + pause_ns;
    if (at != UINT64_MAX && at > entry->retry_at)
        entry->retry_at = at;
    current_end(sender);
}

/* The current one's turn. Returns when to call again. */
static uint64_t current_step(cp_held_sender *sender, uint64_t now_ns)
{
    const bool may = may_send(sender, sender->current);
    const uint64_t due = cp_delivery_due(sender->delivery, now_ns, false, false);
    const uint64_t at = may ? due : UINT64_MAX;
    if (at > now_ns && !cp_delivery_is_sending(sender->delivery) && another_can_go(sender, now_ns)) {
        current_yield(sender, at, now_ns);
        return now_ns;
    }
    const cp_endpoint *to = cp_delivery_at(sender->delivery);
    if (at <= now_ns && cp_breaker_room(&to->breaker, to->in_flight, UINT32_MAX) > 0)
        (void)cp_delivery_step(sender->delivery, now_ns);
    return at <= now_ns ? now_ns + CP_NS_PER_MS : at;
}

uint64_t cp_held_sender_step(cp_held_sender *sender, uint64_t now_ns)
{
    sender->env.compressor = sender->outer->compressor; /* a reload makes another one */
    if (sender->current && sender->settled) {
        *sender->current = sender->entries[--sender->count];
        current_end(sender);
    }
    if (sender->count == 0)
        return UINT64_MAX;
    if (!sender->current)
        next_begin(sender, now_ns);
    if (!sender->current)
        return now_ns + TRY_AGAIN_MS * (uint64_t)CP_NS_PER_MS;
    return current_step(sender, now_ns);
}

void cp_held_sender_ask_now(cp_held_sender *sender)
{
    for (uint32_t i = 0; i < sender->count; i++)
        sender->entries[i].retry_at = 0;
    if (sender->delivery)
        cp_delivery_ask_now(sender->delivery);
}

cp_delivery *cp_held_sender_delivery(const cp_held_sender *sender)
{
    return sender->delivery;
}

void cp_held_sender_count(const cp_held_sender *sender, uint64_t endpoint, uint32_t *batches, uint64_t *rows)
{
    *batches = 0;
    *rows = 0;
    for (uint32_t i = 0; i < sender->count; i++) {
        const bool is = sender->entries[i].endpoint == endpoint;
        *batches += is;
        *rows += is ? sender->entries[i].rows : 0;
    }
}

const cp_table *cp_held_sender_waits_for(const cp_held_sender *sender, uint64_t endpoint)
{
    for (uint32_t i = 0; i < sender->count; i++) {
        if (sender->entries[i].endpoint == endpoint)
            return cp_delivery_table(sender->entries[i].of);
    }
    return NULL;
}
