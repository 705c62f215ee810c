#include "tests/simulate/sink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "tests/simulate/host.h"

enum {
    WINDOW = 1000, /* tokens of a table: as the tables' DDL says */
    TOKEN = 512,
    BLOCK = 4 * 1024 * 1024,
    BLOCK_ROWS = 64 * 1024,
    NAME = 64
};

typedef struct tokens {
    char names[WINDOW][TOKEN];
    uint32_t hashes[WINDOW];
    uint32_t count; /* ever */
} tokens;

/* An insert, read. */
typedef struct block {
    uint32_t count;
    uint64_t numbers[BLOCK_ROWS];
    uint8_t poison[BLOCK_ROWS];
    uint64_t epochs[BLOCK_ROWS];
    uint16_t slots[BLOCK_ROWS];
    uint64_t positions[BLOCK_ROWS];
    bool provenance;
} block;

sim_trouble sim_server[SIM_SINKS];
uint32_t sim_replicas;
sim_sink_totals sim_sink_total;

static tokens seen[SIM_SINKS][SIM_TABLES]; /* of replicas: the first one's */
static block incoming;
static uint8_t plain[BLOCK];

void sim_sink_begin(void)
{
    memset(sim_server, 0, sizeof sim_server);
    memset(&sim_sink_total, 0, sizeof sim_sink_total);
    for (int i = 0; i < SIM_SINKS * SIM_TABLES; i++)
        seen[i / SIM_TABLES][i % SIM_TABLES].count = 0;
    sim_replicas = sim_luck(500) ? 0 : 2 + (uint32_t)sim_pick(SIM_SINKS - 1);
}

uint32_t sim_sink_host(const char *url)
{
    const uint32_t host = (uint32_t)(url[strlen("http://sim")] - '0');
    if (host >= SIM_SINKS)
        abort();
    return host;
}

static bool is_replica(uint32_t host)
{
    return host < sim_replicas;
}

/* Whose rows and tokens it has. */
static uint32_t store_of(uint32_t host)
{
    return is_replica(host) ? 0 : host;
}

/* What was sent may be told from what another insert brought: by a count that is final. Elsewhere a token is all there is. */
static bool is_countable(uint32_t host, uint32_t table)
{
    return sim_tables[table].countable && !is_replica(host);
}

/* ---- replies ---- */

static void reply_ok(sim_reply *reply, const char *body)
{
    reply->status = 200;
    snprintf(reply->heads, sizeof reply->heads, "Connection: Keep-Alive\r\n");
    snprintf(reply->body, sizeof reply->body, "%s", body);
}

static void reply_error(sim_reply *reply, int status, int code, const char *text)
{
    reply->status = status;
    snprintf(reply->heads, sizeof reply->heads, "X-ClickHouse-Exception-Code: %d\r\n", code);
    snprintf(reply->body, sizeof reply->body, "Code: %d. DB::Exception: %s. (SIMULATED)\n", code, text);
}

/* ---- tokens ---- */

static uint32_t hash_of(const char *text)
{
    uint32_t hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

static bool token_known(const tokens *table, const char *token)
{
    const uint32_t hash = hash_of(token);
    const uint32_t count = table->count < WINDOW ? table->count : WINDOW;
    for (uint32_t i = 0; i < count; i++) {
        if (table->hashes[i] == hash && strcmp(table->names[i], token) == 0)
            return true;
    }
    return false;
}

static void token_note(tokens *table, const char *token)
{
    const uint32_t at = table->count++ % WINDOW;
    snprintf(table->names[at], TOKEN, "%s", token);
    table->hashes[at] = hash_of(token);
}

/* The value of a parameter of the URL, decoded; "" when there is none. */
static void parameter(const char *url, const char *name, char *out, size_t room)
{
    char key[NAME];
    size_t used = 0;
    snprintf(key, sizeof key, "&%s=", name);
    const char *at = strstr(url, key);
    for (at = at ? at + strlen(key) : ""; *at && *at != '&' && used + 1 < room; at++) {
        unsigned byte = (uint8_t)*at;
        if (*at == '%' && sscanf(at + 1, "%2x", &byte) == 1)
            at += 2;
        out[used++] = (char)byte;
    }
    out[used] = '\0';
}

/* ---- reading a block ---- */

typedef struct input {
    const uint8_t *at;
    const uint8_t *end;
    bool short_;
} input;

static uint64_t number_read(input *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in->at == in->end) {
            in->short_ = true;
            return 0;
        }
        const uint8_t byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return value;
}

static const uint8_t *bytes_read(input *in, uint64_t size)
{
    const uint8_t *from = in->at;
    if (size > (uint64_t)(in->end - in->at)) {
        in->short_ = true;
        return NULL;
    }
    in->at += size;
    return from;
}

static void text_read(input *in, char out[NAME])
{
    const uint64_t size = number_read(in);
    const uint8_t *bytes = size < NAME ? bytes_read(in, size) : NULL;
    out[0] = '\0';
    if (!bytes) {
        in->short_ = true;
        return;
    }
    memcpy(out, bytes, size);
    out[size] = '\0';
}

static void column_take(input *in, void *into, size_t width, uint32_t rows)
{
    const uint8_t *bytes = bytes_read(in, (uint64_t)width * rows);
    if (bytes && into)
        memcpy(into, bytes, width * rows);
}

static void column_read(input *in, block *out)
{
    char name[NAME];
    char type[NAME];
    text_read(in, name);
    text_read(in, type);
    if (strcmp(name, "number") == 0)
        column_take(in, out->numbers, sizeof(uint64_t), out->count);
    else if (strcmp(name, "poison") == 0)
        column_take(in, out->poison, sizeof(uint8_t), out->count);
    else if (strcmp(name, "_cp_epoch") == 0)
        column_take(in, out->epochs, sizeof(uint64_t), out->count);
    else if (strcmp(name, "_cp_slot") == 0)
        column_take(in, out->slots, sizeof(uint16_t), out->count);
    else if (strcmp(name, "_cp_position") == 0)
        column_take(in, out->positions, sizeof(uint64_t), out->count);
    else if (strcmp(type, "UInt32") == 0)
        column_take(in, NULL, sizeof(uint32_t), out->count);
    else if (strcmp(type, "String") == 0)
        for (uint32_t i = 0; i < out->count && !in->short_; i++)
            bytes_read(in, number_read(in));
    else
        in->short_ = true;
    out->provenance |= strcmp(name, "_cp_position") == 0;
}

/* False when bytes are missing, or too many. */
static bool block_read(block *out, const uint8_t *body, size_t size)
{
    static const uint8_t zstd[4] = {0x28, 0xb5, 0x2f, 0xfd};
    input in = {body, body + size, false};
    if (size >= sizeof zstd && memcmp(body, zstd, sizeof zstd) == 0) {
        const size_t got = ZSTD_decompress(plain, sizeof plain, body, size);
        if (ZSTD_isError(got))
            return false;
        in = (input){plain, plain + got, false};
    }
    out->provenance = false;
    const uint64_t columns = number_read(&in);
    out->count = (uint32_t)number_read(&in);
    if (in.short_ || out->count == 0 || columns > NAME || out->count > BLOCK_ROWS)
        return false;
    for (uint64_t i = 0; i < columns && !in.short_; i++)
        column_read(&in, out);
    return !in.short_ && in.at == in.end;
}

/* ---- inserting ---- */

static int table_of(const char *query)
{
    for (int i = 0; i < SIM_TABLES; i++) {
        if (strstr(query, sim_tables[i].name))
            return i;
    }
    return -1;
}

static void rows_store(uint32_t host, uint32_t table, const block *in)
{
    for (uint32_t i = 0; i < in->count; i++) {
        const sim_row *row = sim_row_of(in->numbers[i]);
        sim_row_stored(table, in->numbers[i], store_of(host), host);
        if (!row || !in->provenance)
            continue;
        const sim_ring *ring = sim_ring_of(row->ring);
        if (ring->epoch != in->epochs[i] || ring->slot != in->slots[i] || row->position != in->positions[i])
            sim_fail("row %llu of %s says that it comes from another place than it does",
                     (unsigned long long)in->numbers[i], sim_tables[table].name);
    }
    sim_sink_total.stored++;
}

/* Refused for a row. Some messages name it. */
static bool constraint_refuses(uint32_t host, const block *in, sim_reply *reply)
{
    char text[128] = "Constraint `sound` for table is violated";
    for (uint32_t i = 0; sim_server[host].constrained && i < in->count; i++) {
        if (!in->poison[i])
            continue;
        if (sim_luck(500))
            snprintf(text, sizeof text, "Constraint `sound` for table is violated at row %u", i + 1);
        reply_error(reply, 500, 469, text);
        sim_sink_total.refused++;
        return true;
    }
    return false;
}

static const int error_codes[] = {252, 241, 159, 202, 209, 210, 243, 242, 425, 999, 516, 164, 1002};

/* True: the insert is answered with an error. What a late message could still bring is not refused for its size. */
static bool trouble(uint32_t host, uint32_t table, const block *in, sim_reply *reply)
{
    const bool countable = is_countable(host, table);
    if (sim_luck(sim_server[host].error)) {
        reply_error(reply, 500, error_codes[sim_pick(sizeof error_codes / sizeof error_codes[0])],
                    "in trouble");
        sim_sink_total.failed++;
        return true;
    }
    if (countable && in->count > 1 && sim_luck(sim_server[host].too_big) &&
        sim_network_under_way(sim_tables[table].name) == 0) {
        reply_error(reply, 500, 307, "too many bytes");
        sim_sink_total.refused++;
        return true;
    }
    return false;
}

/* The server is killed between noting the token and storing the part. */
static void die(uint32_t host, uint32_t table, const char *token, sim_reply *reply)
{
    token_note(&seen[store_of(host)][table], token);
    reply->reset = true;
    sim_sink_total.deaths++;
    sim_trace("sink: dies with token %s noted", token);
}

static void insert(uint32_t table, const char *url, const uint8_t *body, size_t size, sim_reply *reply)
{
    static char token[TOKEN];
    const uint32_t host = sim_sink_host(url);
    block *in = &incoming;
    sim_sink_total.inserts++;
    reply->think_ns = sim_span(sim_server[host].think_ns);
    parameter(url, "insert_deduplication_token", token, sizeof token);
    if (sim_server[host].missing[table]) {
        reply_error(reply, 404, 60, "Table does not exist");
        return;
    }
    if (!block_read(in, body, size)) {
        reply_error(reply, 500, 33, "Cannot read all data");
        /* as below: a batch that goes in pieces for this could come twice */
        reply->reset = !is_countable(host, table);
        return;
    }
    sim_trace("sink %u: insert into %s, %u rows (%llu … %llu), token %s", host, sim_tables[table].name,
              in->count, (unsigned long long)in->numbers[0], (unsigned long long)in->numbers[in->count - 1],
              token);
    if (trouble(host, table, in, reply))
        return;
    /* A retry of what is stored already may be refused all the same. Where rows cannot be told apart that is beyond the
     * recorder's means (docs/architecture.md, Delivery): there the token is looked at first. */
    if (is_countable(host, table) && constraint_refuses(host, in, reply))
        return;
    if (token[0] && !sim_server[host].forgets && token_known(&seen[store_of(host)][table], token)) {
        sim_trace("sink: the token is known, the rows are dropped");
        sim_sink_total.repeated++;
        reply_ok(reply, "");
        return;
    }
    if (constraint_refuses(host, in, reply))
        return;
    const bool unsure = sim_luck(sim_server[host].unsure);
    if (is_countable(host, table) && sim_luck(sim_server[host].dies)) {
        die(host, table, token, reply);
        return;
    }
    if (!unsure || sim_luck(500)) {
        token_note(&seen[store_of(host)][table], token);
        rows_store(host, table, in);
    }
    if (unsure)
        reply_error(reply, 500, 319, "Unknown status of the insert");
    else
        reply_ok(reply, "");
}

/* ---- questions ---- */

static void tell_server(sim_reply *reply)
{
    reply_ok(reply, "26.7.1.1\ninsert_deduplication_token\nasync_insert\ninsert_deduplicate\n"
                    "max_insert_block_size\nmax_insert_threads\n");
}

/* The table's place in the list of those that a question is about. */
static unsigned place_of(const char *sql, uint32_t table)
{
    const char *name = strstr(sql, sim_tables[table].name);
    unsigned place = name ? 1 : 0;
    for (const char *at = sql; name && at < name; at++)
        place += *at == ',';
    return place;
}

static void tell_tables(uint32_t host, const char *sql, sim_reply *reply)
{
    char lines[SIM_REPLY_BODY] = "";
    size_t used = 0;
    for (unsigned i = 0; i < SIM_TABLES; i++) {
        if (!sim_server[host].missing[i])
            used += (size_t)snprintf(lines + used, sizeof lines - used, "%u\t%sMergeTree\t%d\n",
                                     place_of(sql, i), is_replica(host) ? "Replicated" : "", WINDOW);
    }
    reply_ok(reply, lines);
}

/* Which path in Keeper each table has. */
static void tell_groups(uint32_t host, const char *sql, sim_reply *reply)
{
    char lines[SIM_REPLY_BODY] = "";
    size_t used = 0;
    for (unsigned i = 0; i < SIM_TABLES; i++) {
        if (!sim_server[host].missing[i] && is_replica(host))
            used +=
                (size_t)snprintf(lines + used, sizeof lines - used, "%u\t%u\n", place_of(sql, i), 1000 + i);
    }
    reply_ok(reply, lines);
}

static void tell_count(uint32_t host, const char *sql, sim_reply *reply)
{
    const int table = table_of(sql);
    uint64_t held = 0;
    char line[64];
    sim_sink_total.counts++;
    if (table < 0 || sim_server[host].missing[table]) {
        reply_error(reply, 404, 60, "Table does not exist");
        return;
    }
    if (sim_luck(sim_server[host].cannot_count)) {
        reply_error(reply, 500, 241, "Memory limit exceeded");
        return;
    }
    for (const char *at = strstr(sql, "(_cp_epoch = "); at; at = strstr(at + 1, "(_cp_epoch = ")) {
        uint64_t epoch, begin, end;
        unsigned slot;
        if (sscanf(at,
                   "(_cp_epoch = %" SCNu64 " AND _cp_slot = %u AND _cp_position >= %" SCNu64
                   " AND _cp_position < %" SCNu64 ")",
                   &epoch, &slot, &begin, &end) == 4) {
            const sim_stretch of = {(uint32_t)table, slot, epoch, begin, end};
            held += sim_rows_seen(&of, store_of(host), host, sim_server[host].lag_ns);
        } else
            sim_fail("a question that ClickHouse would not understand: %.200s", sql);
    }
    snprintf(line, sizeof line, "%" PRIu64 "\t%" PRIu64 "\n", held, held);
    sim_trace("sink %u: counts %s: %" PRIu64, host, sim_tables[table].name, held);
    reply_ok(reply, line);
}

void sim_sink_take(const char *url, const uint8_t *body, size_t size, sim_reply *reply)
{
    static char query[4096];
    const char *sql = (const char *)body;
    const uint32_t host = sim_sink_host(url);
    parameter(url, "query", query, sizeof query);
    if (strncmp(query, "INSERT INTO ", 12) == 0 && table_of(query) >= 0)
        insert((uint32_t)table_of(query), url, body, size, reply);
    else if (strncmp(sql, "SELECT version()", 16) == 0)
        tell_server(reply);
    else if (strstr(sql, "system.merge_tree_settings"))
        reply_ok(reply, "0\n");
    else if (strncmp(sql, "SELECT indexOf(", 15) == 0 && strstr(sql, "system.replicas"))
        tell_groups(host, sql, reply);
    else if (strncmp(sql, "SELECT indexOf(", 15) == 0)
        tell_tables(host, sql, reply);
    else if (strncmp(sql, "SELECT count(), uniqExact", 25) == 0)
        tell_count(host, sql, reply);
    else
        reply_error(reply, 400, 62, "Syntax error");
}
