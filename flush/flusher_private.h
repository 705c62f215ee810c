/* Inside the flusher: what its files share. flusher.c makes it and runs its thread; flusher_configure.c takes a changed configuration
 * over; flusher_health.c says how the endpoints are. */
#ifndef CP_FLUSH_FLUSHER_PRIVATE_H
#define CP_FLUSH_FLUSHER_PRIVATE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "flush/ahead.h"
#include "flush/arena.h"
#include "flush/compress.h"
#include "flush/delivery.h"
#include "flush/endpoints.h"
#include "flush/held_sender.h"
#include "flush/http.h"
#include "flush/schedule.h"

/* A changed configuration on its way to the thread, complete, so that taking it cannot fail; and what it replaced on its
 * way back. */
typedef struct cp_flusher_update {
    cp_sink_config config;
    cp_endpoints_plan *endpoints;
    cp_http_headers *headers;
    cp_compressor *compressor;
    const cp_batch_policy *policies;
    bool renewed; /* credentials are */
    bool refused; /* by the thread; refusal says why */
    cp_error refusal;
} cp_flusher_update;

struct cp_flusher {
    cp_sink_config config; /* strings are our copies */
    cp_flush_events events;
    cp_http *http;
    cp_endpoints endpoints;
    cp_compressor *compressor;
    cp_schedule schedule;
    cp_endpoint_health health; /* of the chosen endpoint, as last told */
    uint32_t told_count;       /* of endpoints */
    bool was_urgent;
    cp_arena arena;
    size_t arena_bytes;
    cp_delivery_env env;
    cp_ahead ahead;
    cp_chunk *pointers[CP_BATCH_CHUNKS];
    cp_held_sender *held; /* NULL: nothing is set aside */
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
    cp_flusher_update *_Atomic update;      /* for the thread to take; NULL: none */
    sem_t updated;
};

/* How often queues are looked at, so that a batch of this policy is cut in time. */
void cp_flusher_poll_reset_(cp_flusher *flusher);
void cp_flusher_poll_shorten_(cp_flusher *flusher, const cp_batch_policy *policy);

bool cp_flusher_may_send_(const cp_flusher *flusher, uint32_t table);
bool cp_flusher_any_may_send_(const cp_flusher *flusher);

/* The thread, between two steps: everything changes here, and nothing can fail. Tells cp_flusher_configure, which waits. */
void cp_flusher_update_take_(cp_flusher *flusher, cp_flusher_update *update);

/* The thread: tells the owner of the endpoints, as far as there is something new. */
void cp_flusher_health_show_(cp_flusher *flusher, uint64_t now_ns);

#endif
