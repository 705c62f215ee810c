#include "feeds/market_merge.h"

#include <stdlib.h>

#include "base/error.h"

typedef struct merge_stream {
    cp_market_csv *csv;
    cp_event event; /* the one to come, if loaded */
    bool loaded;
    bool ended;
    uint32_t segment;
    int64_t last_ns; /* largest time of the segment */
} merge_stream;

struct cp_market_merge {
    merge_stream streams[CP_MERGE_FILES];
    int count;
    cp_merge_reject *reject;
    void *ctx;
};

int cp_market_merge_new(cp_market_merge **out, cp_merge_reject *reject, void *ctx, cp_error *err)
{
    cp_market_merge *merge = calloc(1, sizeof *merge);
    if (!merge)
        return cp_error_set(err, CP_E_NOMEM, "no memory for merging");
    merge->reject = reject;
    merge->ctx = ctx;
    *out = merge;
    return CP_OK;
}

int cp_market_merge_add(cp_market_merge *merge, const char *path, cp_event_kind wanted, cp_event_kind *kind,
                        cp_error *err)
{
    if (merge->count == CP_MERGE_FILES)
        return cp_error_set(err, CP_E_TOO_BIG, "more than %d files", CP_MERGE_FILES);
    merge_stream *stream = &merge->streams[merge->count];
    const int rc = cp_market_csv_open(&stream->csv, path, wanted, err);
    if (rc < 0)
        return rc;
    stream->last_ns = INT64_MIN;
    merge->count++;
    if (kind)
        *kind = cp_market_csv_kind(stream->csv);
    return CP_OK;
}

/* Loads the stream's next event, over rejected lines. */
static int stream_load(cp_market_merge *merge, merge_stream *stream, cp_error *err)
{
    int rc;
    while ((rc = cp_market_csv_next(stream->csv, &stream->event, err)) == CP_E_PARSE)
        merge->reject(merge->ctx, err);
    if (rc < 0)
        return rc;
    stream->loaded = rc == 1;
    stream->ended = rc == 0;
    if (rc == 1) {
        const int64_t now = stream->event.recv_ts_ns;
        if (stream->last_ns != INT64_MIN && now < stream->last_ns - CP_MERGE_REORDER_NS) {
            stream->segment++;
            stream->last_ns = now;
        }
        stream->last_ns = now > stream->last_ns ? now : stream->last_ns;
    }
    return CP_OK;
}

int cp_market_merge_next(cp_market_merge *merge, cp_event *event, cp_error *err)
{
    merge_stream *first = NULL;
    for (int i = 0; i < merge->count; i++) {
        merge_stream *stream = &merge->streams[i];
        if (!stream->loaded && !stream->ended) {
            const int rc = stream_load(merge, stream, err);
            if (rc < 0)
                return rc;
        }
        if (stream->ended)
            continue;
        if (!first || stream->segment < first->segment ||
            (stream->segment == first->segment && stream->event.recv_ts_ns < first->event.recv_ts_ns))
            first = stream;
    }
    if (!first)
        return 0;
    *event = first->event;
    first->loaded = false;
    return 1;
}

void cp_market_merge_free(cp_market_merge *merge)
{
    if (!merge)
        return;
    for (int i = 0; i < merge->count; i++)
        cp_market_csv_close(merge->streams[i].csv);
    free(merge);
}
