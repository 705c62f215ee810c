#include "ingest/unique.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { INDEX_FACTOR = 2 /* places of the index per key, at least: probes stay short */ };

#define UNIQUE_MAGIC UINT64_C(0x314555515f484350) /* names the file's form, too */

typedef struct unique_key {
    XXH128_hash_t hash;
    uint64_t epoch; /* of the ring in which the row lay first, and where; 0: a key that is forgotten */
    uint64_t position;
} unique_key;

typedef struct unique_file {
    uint64_t magic; /* stored last */
    uint64_t form;  /* of columns and window */
    uint64_t head;  /* keys entered ever */
    uint8_t reserved[40];
    unique_key keys[];
} unique_file;
_Static_assert(sizeof(unique_key) == 32 && sizeof(unique_file) == 64, "keys keep to cache lines");

struct cp_unique {
    const cp_table *table;
    cp_column_list columns;
    unique_file *file;
    uint64_t file_size;
    uint32_t window;
    uint32_t mask;
    uint32_t *index; /* place in the ring + 1, by hash, linear probing; 0: empty */
};

/* ---- the index -------------------------------------------------------------------------------------------------- */

static uint32_t home(const cp_unique *unique, uint32_t place)
{
    return (uint32_t)unique->file->keys[place].hash.low64 & unique->mask;
}

static void index_add(cp_unique *unique, uint32_t place)
{
    uint32_t at = home(unique, place);
    while (unique->index[at])
        at = (at + 1) & unique->mask;
    unique->index[at] = place + 1;
}

/* What was moved on by a collision moves back; a place that is not there was left out at start. */
static void index_remove(cp_unique *unique, uint32_t place)
{
    uint32_t at = home(unique, place);
    while (unique->index[at] != place + 1) {
        if (!unique->index[at])
            return;
        at = (at + 1) & unique->mask;
    }
    for (uint32_t next = (at + 1) & unique->mask; unique->index[next]; next = (next + 1) & unique->mask) {
        const uint32_t wanted = home(unique, unique->index[next] - 1);
        if (((next - wanted) & unique->mask) >= ((next - at) & unique->mask)) {
            unique->index[at] = unique->index[next];
            at = next;
        }
    }
    unique->index[at] = 0;
}

static const unique_key *index_find(const cp_unique *unique, const XXH128_hash_t *hash)
{
    for (uint32_t at = (uint32_t)hash->low64 & unique->mask; unique->index[at];
         at = (at + 1) & unique->mask) {
        const unique_key *key = &unique->file->keys[unique->index[at] - 1];
        if (XXH128_isEqual(key->hash, *hash))
            return key;
    }
    return NULL;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static uint64_t file_bytes(uint32_t window)
{
    return sizeof(unique_file) + (uint64_t)window * sizeof(unique_key);
}

static uint64_t index_places(uint32_t window)
{
    uint64_t places = 16;
    while (places < (uint64_t)window * INDEX_FACTOR)
        places *= 2;
    return places;
}

uint64_t cp_unique_memory(uint32_t window)
{
    return file_bytes(window) + index_places(window) * sizeof(uint32_t);
}

/* Changes with anything by which keys would be others. */
static uint64_t form_of(const cp_unique *unique)
{
    uint64_t form = unique->window;
    for (uint32_t i = 0; i < unique->columns.count; i++) {
        const cp_column *column = &unique->table->columns[unique->columns.columns[i]];
        const uint64_t type[] = {(uint64_t)column->type.kind, column->type.value_size, column->type.nullable};
        form = XXH3_64bits_withSeed(column->name, strlen(column->name), form);
        form = XXH3_64bits_withSeed(type, sizeof type, form);
    }
    return form;
}

static int file_map(cp_unique *unique, int fd, cp_error *err)
{
    struct stat status;
    int rc = fstat(fd, &status) < 0 ? errno : 0;
    const bool fits = rc == 0 && (uint64_t)status.st_size == unique->file_size;
    if (rc == 0 && !fits && ftruncate(fd, 0) < 0)
        rc = errno;
    if (rc == 0)
        rc = posix_fallocate(fd, 0, (off_t)unique->file_size);
    if (rc != 0)
        return cp_error_errno(err, cp_error_code_of_errno(rc), rc, "allocate %llu bytes for unique keys",
                              (unsigned long long)unique->file_size);
    void *map = mmap(NULL, unique->file_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "map unique keys");
    unique->file = map;
    return CP_OK;
}

/* Goes on with the keys that are there, or makes the file new. Returns how many are there. */
static uint64_t keys_take_up(cp_unique *unique)
{
    unique_file *file = unique->file;
    const uint64_t form = form_of(unique);
    if (file->magic != UNIQUE_MAGIC || file->form != form) {
        file->magic = 0;
        __atomic_store_n(&file->head, 0, __ATOMIC_RELEASE);
        file->form = form;
        __atomic_store_n(&file->magic, UNIQUE_MAGIC, __ATOMIC_RELEASE);
    }
    /* With the ring full, the oldest key may have been under way to becoming the newest. */
    const uint64_t head = file->head;
    const uint64_t first = head < unique->window ? 0 : head - unique->window + 1;
    uint64_t kept = 0;
    for (uint64_t n = first; n < head; n++) {
        const uint32_t place = (uint32_t)(n % unique->window);
        if (file->keys[place].epoch == 0)
            continue;
        index_add(unique, place);
        kept++;
    }
    return kept;
}

int cp_unique_open(cp_unique **out, const char *path, const cp_table *table, const cp_column_list *key,
                   uint32_t window, uint64_t *kept, cp_error *err)
{
    *out = NULL;
    cp_unique *unique = calloc(1, sizeof *unique);
    if (!unique)
        return cp_error_set(err, CP_E_NOMEM, "table %s: no memory", table->name);
    unique->table = table;
    unique->columns = *key;
    unique->window = window;
    unique->file_size = file_bytes(window);
    unique->mask = (uint32_t)(index_places(window) - 1);
    unique->index = calloc(index_places(window), sizeof *unique->index);
    const int fd = unique->index ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    int rc = CP_OK;
    if (!unique->index)
        rc = cp_error_set(err, CP_E_NOMEM, "table %s: no memory for %u keys", table->name, window);
    else if (fd < 0)
        rc = cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    else
        rc = file_map(unique, fd, err);
    if (fd >= 0)
        close(fd);
    if (rc < 0) {
        cp_unique_close(unique);
        return rc;
    }
    memset(unique->index, 0, index_places(window) * sizeof *unique->index); /* no page fault later */
    assert(unique->file);
    *kept = keys_take_up(unique);
    *out = unique;
    return CP_OK;
}

void cp_unique_forget(cp_unique *unique, uint64_t epoch, uint64_t from)
{
    unique_file *file = unique->file;
    assert(unique->window > 0);
    const uint64_t count = file->head < unique->window ? file->head : unique->window;
    for (uint32_t place = 0; place < count; place++) {
        unique_key *key = &file->keys[place];
        if (key->epoch != epoch || (int64_t)(key->position - from) < 0)
            continue;
        index_remove(unique, place);
        key->epoch = 0;
    }
    /* They were the last to be entered: their places are free again, so that kills do not use up the window. */
    uint64_t head = file->head;
    while (head > 0 && file->keys[(head - 1) % unique->window].epoch == 0 && file->head - head < count)
        head--;
    __atomic_store_n(&file->head, head, __ATOMIC_RELEASE);
}

void cp_unique_close(cp_unique *unique)
{
    if (!unique)
        return;
    if (unique->file)
        munmap(unique->file, unique->file_size);
    free(unique->index);
    free(unique);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static void key_enter(cp_unique *unique, const unique_key *key)
{
    unique_file *file = unique->file;
    const uint64_t head = file->head;
    const uint32_t place = (uint32_t)(head % unique->window);
    if (head >= unique->window)
        index_remove(unique, place);
    file->keys[place] = *key;
    __atomic_store_n(&file->head, head + 1, __ATOMIC_RELEASE);
    index_add(unique, place);
}

static bool is_duplicate(cp_unique *unique, const cp_chunk *chunk, uint32_t row)
{
    const unique_key key = {.hash = cp_row_hash(unique->table, &unique->columns, 0, cp_chunk_row(chunk, row)),
                            .epoch = chunk->epoch,
                            .position = cp_chunk_row_position(chunk, row)};
    const unique_key *known = index_find(unique, &key.hash);
    if (!known)
        key_enter(unique, &key);
    return known && (known->epoch != key.epoch || known->position != key.position);
}

uint32_t cp_unique_filter(cp_unique *unique, cp_chunk *chunk)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < chunk->row_count; i++) {
        if (!is_duplicate(unique, chunk, i))
            chunk->row_at[kept++] = chunk->row_at[i];
    }
    const uint32_t left_out = chunk->row_count - kept;
    chunk->row_count = kept;
    chunk->rejected += left_out;
    return left_out;
}
