/* A spool in SQLite, as recorders in Python have it: the row as JSON, inserted under a lock, journal in WAL mode, not synced.
 * In C, so that what is measured is the design and not the interpreter. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"

static sqlite3 *db;
static sqlite3_stmt *insert;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char path[64];

static bool sqlite_open(int consumer_cpu)
{
    (void)consumer_cpu; /* nobody takes rows out while it is measured */
    snprintf(path, sizeof path, "/tmp/coldpath-peers-%d.sqlite3", (int)getpid());
    return sqlite3_open(path, &db) == SQLITE_OK &&
           sqlite3_exec(db,
                        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE queue (id INTEGER "
                        "PRIMARY KEY, "
                        "table_name TEXT, payload TEXT, created_ts_us INTEGER, attempts INTEGER DEFAULT 0)",
                        NULL, NULL, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(db,
                              "INSERT INTO queue (table_name, payload, created_ts_us) VALUES ('rows', ?, 0)",
                              -1, &insert, NULL) == SQLITE_OK;
}

/* 120 bytes of row are 11 columns: two strings and nine numbers. */
static bool sqlite_put(const void *row)
{
    char json[512];
    double numbers[9];
    memcpy(numbers, row, sizeof numbers);
    const int size =
        snprintf(json, sizeof json,
                 "{\"ts\":%.6f,\"symbol\":\"BTCUSDT\",\"venue\":\"binance\",\"a\":%.9g,\"b\":%.9g,\"c\":%.9g,"
                 "\"d\":%.9g,\"e\":%.9g,\"f\":%.9g,\"g\":%.9g,\"h\":%.9g}",
                 numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
                 numbers[7], numbers[8]);
    pthread_mutex_lock(&lock);
    sqlite3_bind_text(insert, 1, json, size, SQLITE_STATIC);
    const int rc = sqlite3_step(insert);
    sqlite3_reset(insert);
    pthread_mutex_unlock(&lock);
    return rc == SQLITE_DONE;
}

static void sqlite_settle(void)
{
    sqlite3_exec(db, "DELETE FROM queue", NULL, NULL, NULL);
}

static void sqlite_close(void)
{
    char beside[80];
    sqlite3_finalize(insert);
    sqlite3_close(db);
    unlink(path);
    snprintf(beside, sizeof beside, "%s-wal", path);
    unlink(beside);
    snprintf(beside, sizeof beside, "%s-shm", path);
    unlink(beside);
}

const peer peer_sqlite = {"SQLite spool",
                          "JSON text inserted under a lock, WAL journal (in C)",
                          16,
                          sqlite_open,
                          sqlite_put,
                          sqlite_settle,
                          sqlite_close};
