#include "flush/batch.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

/* How much of the instance's and the table's name goes into a token; the hash covers both whole. */
enum { TOKEN_NAME = 160 };

static size_t page_round(size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

int cp_batch_init(cp_batch *batch, size_t body_capacity)
{
    memset(batch, 0, sizeof *batch);
    const size_t capacity = page_round(body_capacity);
    void *body =
        mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (body == MAP_FAILED)
        return CP_E_NOMEM;
    batch->body = body;
    batch->body_capacity = capacity;
    return CP_OK;
}

void cp_batch_destroy(cp_batch *batch)
{
    if (batch->body)
        munmap(batch->body, batch->body_capacity);
    batch->body = NULL;
}

void cp_batch_clear(cp_batch *batch)
{
    if (batch->body_size > batch->body_touched)
        batch->body_touched = batch->body_size;
    batch->body_size = 0;
    batch->range = (cp_lsn_range){0, 0};
    batch->rows = 0;
    batch->span_count = 0;
    batch->token[0] = '\0';
}

bool cp_batch_add_span(cp_batch *batch, const cp_chunk *chunk)
{
    cp_span *span = NULL;
    for (uint32_t i = 0; i < batch->span_count && !span; i++) {
        cp_span *at = &batch->spans[i];
        if (at->slot == chunk->slot && at->epoch == chunk->epoch && (batch->gaps || at->end == chunk->begin))
            span = at;
    }
    if (!span) {
        if (batch->span_count == CP_MAX_TABLE_SLOTS)
            return false;
        span = &batch->spans[batch->span_count++];
        *span =
            (cp_span){.slot = chunk->slot, .epoch = chunk->epoch, .begin = chunk->begin, .end = chunk->begin};
    }
    span->end = chunk->end;
    span->rows += chunk->row_count;
    span->rejected += chunk->rejected;
    return true;
}

void cp_batch_make_token(cp_batch *batch, const char *instance, const char *table)
{
    uint64_t words[4 + 4 * CP_MAX_TABLE_SLOTS];
    uint32_t count = 0;
    words[count++] = XXH3_64bits(instance, strlen(instance));
    words[count++] = XXH3_64bits(table, strlen(table));
    if (batch->range.lo) {
        words[count++] = batch->range.lo;
        words[count++] = batch->range.hi;
    }
    for (uint32_t i = 0; i < batch->span_count; i++) {
        const cp_span *span = &batch->spans[i];
        words[count++] = span->epoch;
        words[count++] = span->slot;
        words[count++] = span->begin;
        words[count++] = span->end;
    }
    const XXH128_hash_t hash = XXH3_128bits(words, count * sizeof words[0]);
    snprintf(batch->token, sizeof batch->token, "%.*s:%.*s:%016lx%016lx", TOKEN_NAME, instance, TOKEN_NAME,
             table, (unsigned long)hash.high64, (unsigned long)hash.low64);
}

void cp_batch_trim(cp_batch *batch, size_t keep)
{
    const size_t from = page_round(keep);
    if (batch->body_touched <= from)
        return;
    /* Failure costs memory, not correctness. */
    (void)madvise(batch->body + from, batch->body_capacity - from, MADV_DONTNEED);
    batch->body_touched = from;
}
