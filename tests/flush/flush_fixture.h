/* A flusher of one table under test: random rows go in, and what its events say is counted. A test's own fixture begins with one, so
 * that its callbacks find it by the events' ctx. */
#ifndef CP_TESTS_FLUSH_FIXTURE_H
#define CP_TESTS_FLUSH_FIXTURE_H

#include <stdatomic.h>

#include "base/clock.h"
#include "flush/flusher.h"

enum { FLUSH_WAIT_S = 20 };

typedef struct flush_fixture {
    cp_flusher *flusher;
    cp_table *table;
    cp_sink_config config;
    void (*endpoints)(void *ctx, const cp_endpoint_view *views, uint32_t count); /* of the test, or NULL */
    cp_held_visit *visit; /* for what is set aside at the start, or NULL */
    uint64_t position;
    uint64_t made;
    atomic_ullong delivered; /* rows that arrived, as far as on_delivered says */
    atomic_ullong quarantined;
    atomic_ullong held;   /* set aside, */
    atomic_ullong unheld; /*   and settled since */
    atomic_uint batches;  /* settled, or set aside */
    atomic_uint attempts;
    atomic_uint parked;    /* attempts that ended so */
    atomic_ulong endpoint; /* of the last intent */
    atomic_ulong group;
} flush_fixture;

/* A batch as soon as there is a row. */
extern const cp_batch_policy flush_eager;

/* Makes a flusher of f->table from config, and starts it; an error, and nothing, when it cannot. */
int flush_fixture_try(flush_fixture *f, cp_error *err);

/* Makes table and flusher from config, and starts it. */
void flush_fixture_start(flush_fixture *f, const char *ddl);

/* Stops it and frees both. */
void flush_fixture_stop(flush_fixture *f);

/* A chunk of random rows, of slot 3, behind those before it; and handing it over. */
cp_chunk *flush_fixture_chunk(flush_fixture *f, uint32_t rows);
void flush_fixture_give(flush_fixture *f, cp_chunk *chunk);

/* Both. */
void flush_fixture_submit(flush_fixture *f, uint32_t rows);

cp_table *flush_table_parse(const char *ddl);

/* Removes the directory and all in it. */
void flush_remove_all(const char *dir);

#define FLUSH_WAIT_FOR(condition)                                                                            \
    do {                                                                                                     \
        const uint64_t deadline_ns_ = cp_boottime_ns() + FLUSH_WAIT_S * (uint64_t)CP_NS_PER_S;               \
        while (!(condition) && cp_boottime_ns() < deadline_ns_)                                              \
            usleep(2000);                                                                                    \
        assert_true(condition);                                                                              \
    } while (0)

/* Until that many rows have arrived, and no more. */
void flush_wait_delivered(flush_fixture *f, uint64_t rows);

#endif
