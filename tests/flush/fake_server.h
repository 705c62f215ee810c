/* A tiny HTTP server that answers by script, for what a real ClickHouse cannot be made to do at will: errors of every
 * kind at a chosen request. It answers the flusher's probes like a current server; every INSERT takes the next unused step of
 * the script that is for its table, and is taken when none is left. */
#ifndef CP_TESTS_FLUSH_FAKE_SERVER_H
#define CP_TESTS_FLUSH_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fake_act {
    FAKE_OK,
    FAKE_REPLY,  /* status, headers, body as given */
    FAKE_RESET,  /* takes the request, then resets the connection */
    FAKE_SILENT, /* takes the request and never answers */
    FAKE_HELD, /* takes the request, and answers as FAKE_OK when it is let go, or not at all when it is away then */
    FAKE_DRIP,  /* answers a byte per 50 ms, without ever ending */
    FAKE_DIES,  /* as FAKE_RESET, and then is away */
    FAKE_KILLED /* likewise, and nobody listens any more: connections are refused */
} fake_act;

typedef struct fake_step {
    const char *table; /* only for this table's inserts, or NULL: for any */
    fake_act act;
    int status;
    const char *headers; /* "Name: value\r\n", or NULL */
    const char *body;
} fake_step;

/* How often to answer a count of rows with the given body; then the next, and after the last one, it again. */
typedef struct fake_count {
    unsigned times;
    const char *body;
} fake_count;

enum { FAKE_SEEN = 256, FAKE_TEXT = 4096 };

/* An INSERT as it came. */
typedef struct fake_insert {
    char target[FAKE_TEXT]; /* path and query of the URL */
    char token[512];        /* still percent-encoded */
    char user[64];
    char key[64];
    bool zstd;
    uint64_t body_hash;
    size_t body_size;
} fake_insert;

typedef struct fake_server fake_server;

/* Starts on a free loopback port. settings: what system.settings knows, lines; NULL: everything asked for. */
fake_server *fake_server_start(const fake_step *steps, unsigned count, const char *version,
                               const char *settings);

/* "http://127.0.0.1:port" */
const char *fake_server_url(const fake_server *server);

/* How many INSERTs came, and the index-th. */
unsigned fake_server_inserts(fake_server *server);
fake_insert fake_server_insert(fake_server *server, unsigned index);

/* Counts of rows (SELECT count() …) are answered by these; before the first request. And how many came. */
void fake_server_set_counts(fake_server *server, const fake_count *counts, unsigned count);
unsigned fake_server_counted(fake_server *server);

/* Away: every request is reset without an answer. Not away: also listens again after FAKE_KILLED. */
void fake_server_set_away(fake_server *server, bool away);

/* Lets one held insert go. */
void fake_server_let_go(fake_server *server);

/* The table is a ReplicatedMergeTree with this path's hash; 0, as at first: a MergeTree. */
void fake_server_set_group(fake_server *server, unsigned long group);

void fake_server_stop(fake_server *server);

#endif
