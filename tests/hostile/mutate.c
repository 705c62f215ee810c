/* A hostile producer: mutate REGION TABLE SLOT KIND SECONDS SEED. It holds a slot as a producer does, puts rows that are sound at
 * first, and then breaks the rule that what is published stays as it is, while the recorder reads:
 *
 *     rows        rewrites bytes of published rows: values, references, NULL flags
 *     lengths     rewrites the sizes of published records, mostly to sizes that could be
 *     positions   moves the published position: back, ahead, between records, to where the sign changes
 *     header      rewrites the file's header, epoch, geometry and counters
 *     torn        publishes first, writes the record after
 *     all         any of these
 *
 * It goes on after the recorder has set the ring aside. lengths, positions and all leave a position behind that cannot be, since on a
 * starved host nobody may have looked while one stood. Prints how many times it did what it does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "schema/row.h"
#include "shm/ring_file.h"

enum { RECORD_MOST = 4096, RECORDS_PER_BURST = 32 };

typedef enum kind { ROWS, LENGTHS, POSITIONS, HEADER, TORN, ALL, KINDS } kind;
static const char *const kinds[KINDS] = {"rows", "lengths", "positions", "header", "torn", "all"};

typedef struct mutator {
    cp_control control;
    cp_ring_map map;
    const cp_abi_ack *ack;
    cp_table *table;
    uint64_t random;
    uint64_t write; /* where a sound producer would go on */
    uint64_t done[KINDS];
    _Alignas(8) uint8_t record[RECORD_MOST];
} mutator;

static mutator the_mutator;

static uint64_t random_next(mutator *m)
{
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return m->random * 0x2545f4914f6cdd1dull;
}

static uint64_t below(mutator *m, uint64_t limit)
{
    return random_next(m) % limit;
}

/* A sound row with a few strings and arrays, in m->record behind its prefix; the size with the prefix, padded. */
static uint64_t record_make(mutator *m)
{
    cp_row row;
    cp_error err;
    memset(m->record, 0, sizeof m->record);
    if (cp_row_begin(&row, m->table, m->record + CP_RECORD_PREFIX, RECORD_MOST - CP_RECORD_PREFIX) < 0)
        abort();
    for (uint32_t i = 0; i < m->table->column_count; i++) {
        char text[64];
        snprintf(text, sizeof text, "%llu", (unsigned long long)below(m, 100));
        if (below(m, 2) && cp_row_set_text(&row, i, text, strlen(text), &err) < 0)
            (void)cp_row_set_text(&row, i, "[1,2,3]", 7, &err);
    }
    if (cp_row_end(&row, &err) < 0)
        abort();
    memcpy(m->record, &row.used, sizeof row.used);
    return cp_record_size_(row.used);
}

static void publish(mutator *m, uint64_t position)
{
    __atomic_store_n(&m->map.hot->published, position, __ATOMIC_RELEASE);
}

/* Puts one row as a producer would; false when the ring is full. */
static bool put(mutator *m, bool torn)
{
    const uint64_t size = record_make(m);
    if (m->write + size - __atomic_load_n(&m->ack->consumed, __ATOMIC_ACQUIRE) > m->map.data_size)
        return false;
    if (torn)
        publish(m, m->write + size);
    memcpy(m->map.data + (m->write & (m->map.data_size - 1)), m->record, size);
    m->write += size;
    publish(m, m->write);
    return true;
}

static void row_rewrite(mutator *m)
{
    m->map.data[below(m, m->map.data_size)] = (uint8_t)random_next(m);
}

static void length_rewrite(mutator *m)
{
    static const uint32_t sizes[] = {0, 1, 7, 8, 9, 64, 65536, 65537, 0x7fffffff, 0xfffffff8, 0xffffffff};
    const uint32_t chosen = sizes[below(m, sizeof sizes / sizeof sizes[0])];
    const uint32_t size = below(m, 2) ? (uint32_t)below(m, 300) : chosen;
    memcpy(m->map.data + below(m, m->map.data_size / 8) * 8, &size, sizeof size);
}

static void position_rewrite(mutator *m)
{
    const uint64_t wild[] = {0,
                             m->write + 4,
                             m->write - 8,
                             m->write + m->map.data_size,
                             m->write + m->map.data_size + 8,
                             m->write ^ 1ull << 63,
                             UINT64_MAX,
                             random_next(m)};
    publish(m, wild[below(m, sizeof wild / sizeof wild[0])]);
    if (below(m, 2))
        publish(m, m->write);
}

static void header_rewrite(mutator *m)
{
    uint8_t *header = (uint8_t *)m->map.header;
    header[below(m, CP_ABI_RING_HOT_OFFSET)] = (uint8_t)random_next(m);
    m->map.hot->rows = random_next(m);
    m->map.counters->full = random_next(m);
}

static void misbehave(mutator *m, kind how)
{
    const kind what = how == ALL ? (kind)below(m, ALL) : how;
    m->done[what]++;
    switch (what) {
    case ROWS:
        row_rewrite(m);
        break;
    case LENGTHS:
        length_rewrite(m);
        break;
    case POSITIONS:
        position_rewrite(m);
        break;
    case HEADER:
        header_rewrite(m);
        break;
    case TORN:
        (void)put(m, true);
        break;
    case ALL:
    case KINDS:
        abort();
    }
}

static bool mutator_open(mutator *m, char **argv)
{
    cp_error err = {0};
    const uint32_t slot = (uint32_t)strtoul(argv[3], NULL, 10);
    int rc = cp_control_open(&m->control, argv[1], false, &err);
    const int table = rc < 0 ? -1 : cp_control_find(&m->control, argv[2]);
    if (table < 0 || slot >= m->control.directory[table].slots) {
        fprintf(stderr, "mutate: no such slot: %s\n", err.text);
        return false;
    }
    rc = cp_control_parse_table(&m->control, (uint32_t)table, &m->table, &err);
    if (rc == CP_OK)
        rc = cp_ring_map_open(&m->map, argv[1], &m->control.directory[table], slot, CP_RING_WRITE, &err);
    if (rc < 0) {
        fprintf(stderr, "mutate: %s\n", err.text);
        return false;
    }
    m->ack = cp_control_ack(&m->control, (uint32_t)table, slot);
    m->write = m->map.hot->published;
    m->random = strtoull(argv[6], NULL, 10) | 1;
    return true;
}

int main(int argc, char **argv)
{
    mutator *m = &the_mutator;
    int how = 0;
    while (argc == 7 && how < KINDS && strcmp(argv[4], kinds[how]) != 0)
        how++;
    if (argc != 7 || how == KINDS) {
        fprintf(stderr, "usage: mutate REGION TABLE SLOT KIND SECONDS SEED\n");
        return 64;
    }
    if (!mutator_open(m, argv))
        return 69;
    const uint64_t until = cp_boottime_ns() + strtoull(argv[5], NULL, 10) * CP_NS_PER_S;
    uint64_t rows = 0;
    while (cp_boottime_ns() < until) {
        for (int i = 0; i < RECORDS_PER_BURST; i++)
            rows += put(m, false);
        for (int i = 0; i < RECORDS_PER_BURST; i++)
            misbehave(m, (kind)how);
    }
    if (how == LENGTHS || how == POSITIONS || how == ALL)
        publish(m, m->write + 2 * m->map.data_size);
    printf("{\"put\": %llu", (unsigned long long)rows);
    for (int i = 0; i < ALL; i++)
        printf(", \"%s\": %llu", kinds[i], (unsigned long long)m->done[i]);
    printf("}\n");
    cp_ring_map_close(&m->map);
    cp_control_close(&m->control);
    cp_table_free(m->table);
    return 0;
}
