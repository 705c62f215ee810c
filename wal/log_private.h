/* What the parts of the log share: recovery fills it, the writer, the flusher's calls, the readers and maintenance live in it. */
#ifndef CP_WAL_LOG_PRIVATE_H
#define CP_WAL_LOG_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "wal/checkpoint.h"
#include "wal/log.h"
#include "wal/segment.h"

enum {
    CP_WAL_READY_MOST = 4,      /* more ready segments than this go back to the file system */
    CP_WAL_RETRIES = 16,        /* of one write that comes back short, empty or EAGAIN */
    CP_WAL_FAILURES = 3,        /* segments given up in a row before there is a pause */
    CP_WAL_STARVED_MS = 1,      /* between looks for a free segment */
    CP_WAL_PAUSE_MS = 1000,     /* between further tries, and between tries to prepare a segment */
    CP_WAL_LOCK_WAIT_MS = 10000 /* for the I/O of a killed owner */
};

/* How a test gets behind the log; all zero in a program. */
typedef struct cp_wal_seams {
    int (*io_create)(void *ctx, cp_io **out, cp_error *err); /* NULL: the real ones */
    void *ctx;
    unsigned unsafe;        /* cp_wal_unsafe */
    uint32_t reader_window; /* bytes that a reader reads at once; 0: what is good for a disk */
    bool no_thread;         /* maintenance is called by the test: cp_wal_maintain */
    uint64_t random_state;  /* not 0: salts come from here, so that a run can be repeated */
} cp_wal_seams;

typedef enum cp_frame_state {
    CP_FRAME_EMPTY,
    CP_FRAME_FILLING,
    CP_FRAME_CLOSED, /* full, or to be written again */
    CP_FRAME_WRITING,
    CP_FRAME_WRITTEN, /* waits for a sync */
    CP_FRAME_SYNCING,
    CP_FRAME_DURABLE
} cp_frame_state;

typedef struct cp_frame {
    cp_frame_state state;
    uint8_t *buffer;  /* room for a segment's headers, then the records */
    uint32_t used;    /* bytes of records */
    uint32_t last_at; /* offset of the last record among them */
    uint64_t first_lsn;
    uint64_t last_lsn;
    bool mark;
    bool opens; /* its write begins with the segment's headers */
    uint32_t tries;
    uint64_t length;  /* of the write */
    uint64_t written; /* of these */
    uint64_t offset;  /* of the write in the segment */
    uint64_t stated;  /* durable LSN that its records state */
    uint32_t end_crc;
    uint64_t placed_ns; /* boot-time clock: when its write was first handed to the kernel */
} cp_frame;

/* The end of what is durable: what the next segment's header links to. */
typedef struct cp_wal_tail {
    uint64_t segment_id;
    uint64_t end;
    uint32_t crc;
} cp_wal_tail;

struct cp_wal {
    cp_wal_config config;
    char *dir;
    cp_wal_seams seams;
    uint8_t uuid[CP_WAL_UUID];

    pthread_mutex_t mutex; /* guards what follows, up to the line; never held over a system call */
    pthread_cond_t wake;   /* of maintenance */
    cp_wal_segments segments;
    cp_wal_ring rings[CP_WAL_RINGS]; /* durable */
    cp_wal_tail durable_tail;        /* as tail, for readers */
    char note[256];
    char error[512];
    uint64_t prepare_after_ns; /* boot-time clock: a failed preparation is not tried again before */
    cp_wal_state state;
    bool stop;
    /* -------- */

    atomic_uint_fast64_t durable;
    atomic_uint_fast64_t tail_id; /* segment of the newest durable frame */
    atomic_bool rotate;           /* asked for by any thread, done by the writer */
    atomic_uint_fast64_t removed; /* id of an active segment whose file maintenance did not find; 0: none */
    atomic_uint_fast64_t commits, payload_bytes, device_bytes, retries, given_up;

    cp_io *files; /* owner before start, then maintenance */
    pthread_t thread;
    bool thread_started;
    int lock;

    cp_io *sink_io; /* the flusher's */
    cp_wal_checkpoint checkpoint;
    cp_wal_checkpoint_block checkpoint_next; /* being put together */
    atomic_uint_fast64_t delivered;          /* by the checkpoint */

    /* the writer's */
    cp_io *io;
    uint64_t calibrated[2]; /* fdatasync, dsync */
    uint64_t next_lsn;
    uint64_t next_id;
    uint64_t epoch;
    uint64_t stated; /* highest durable LSN that a durable frame or checkpoint states */
    cp_wal_tail tail;
    cp_wal_origin active;
    uint64_t write_offset; /* of the next frame */
    uint64_t frame_capacity;
    uint8_t *frame_memory; /* of all frames' buffers */
    cp_frame frames[CP_WAL_FRAMES];
    uint64_t pause_until_ns;
    uint64_t last_commit_ns;
    int file;             /* of the active segment; -1: none */
    uint32_t write_crc;   /* of the newest record sealed */
    uint32_t frame_first; /* the oldest in use */
    uint32_t frame_count;
    uint32_t writes;   /* under way */
    int failing;       /* errno of a failed operation in the active segment; 0: none */
    uint32_t failures; /* segments given up in a row */
    bool syncing;
    bool dsync;
};

int cp_wal_open_with(cp_wal **out, const cp_wal_config *config, const cp_wal_seams *seams, cp_error *err);

/* A further I/O instance on the log's directory. */
int cp_wal_io_create(cp_wal *wal, cp_io **out, cp_error *err);

/* Locks, reads and judges the directory; fills segments, rings, checkpoint, LSNs. */
int cp_wal_recover(cp_wal *wal, cp_error *err);

/* One round of maintenance: unlinks dead slots, cuts sealed ones that end early, prepares ready ones. True when it did something. */
bool cp_wal_maintain(cp_wal *wal, uint64_t now_ns);
void *cp_wal_maintain_run(void *wal);

/* Frames in use, oldest first; index < frame_count. */
static inline cp_frame *cp_wal_frame(cp_wal *wal, uint32_t index)
{
    return &wal->frames[(wal->frame_first + index) % CP_WAL_FRAMES];
}

/* Makes the ready segment of the lowest slot the active one, for `frame` to open: fills in the frame's header room. False when there
 * is none; then maintenance is woken. */
bool cp_wal_segment_activate(cp_wal *wal, cp_frame *frame);
/* Ends the active segment at the tail. poisoned: its device failed. */
void cp_wal_segment_seal(cp_wal *wal, bool poisoned);

/* Waits for what is under way, whatever becomes of it: writes must not outlive their buffers, nor their file its number. */
void cp_wal_settle(cp_wal *wal);

/* Measures both ways to sync on a ready segment and takes the faster; fdatasync where that fails. */
void cp_wal_calibrate(cp_wal *wal);

uint64_t cp_wal_random(cp_wal *wal);

/* Notes an error (text may be NULL: over) and state, for cp_wal_status. */
void cp_wal_report(cp_wal *wal, cp_wal_state state, const char *fmt, ...) CP_PRINTF(3, 4);
void cp_wal_report_over(cp_wal *wal);

#endif
