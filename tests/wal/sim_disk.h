/* A simulated disk behind cp_io: it loses and garbles what real ones may, repeatably by a seed.
 *
 * Per 512-byte sector it knows what is durable and what is only written; a crash decides for each sector that was not
 * synced whether the old bytes remain, the new ones arrived, or neither. Names that were not synced are lost from some point
 * on. Asynchronous operations complete in any order. A sync covers what had completed when it was submitted. A sync that fails
 * forgets what it should have written: a later sync will not bring it back. */
#ifndef COLDPATH_TESTS_SIM_DISK_H
#define COLDPATH_TESTS_SIM_DISK_H

#include "wal/io.h"

#ifndef SIM_FILE_KIB
#define SIM_FILE_KIB 64 /* the smallest segment; a whole recorder needs room for its chunks */
#endif

enum {
    SIM_SECTOR = 512,
    SIM_FILES = 64,
    SIM_FILE_SIZE = SIM_FILE_KIB * 1024,
    SIM_SECTORS = SIM_FILE_SIZE / SIM_SECTOR,
    SIM_NAME = 24,
    SIM_NAME_OPS = 256,
    SIM_OPERATIONS = 16
};

typedef struct sim_rng {
    uint64_t state;
} sim_rng;

uint64_t sim_random(sim_rng *rng);
/* Below limit. */
uint64_t sim_below(sim_rng *rng, uint64_t limit);
/* True with probability permille / 1000. */
bool sim_chance(sim_rng *rng, unsigned permille);

typedef struct sim_file {
    bool used;
    uint32_t opens;
    uint64_t size;
    uint64_t durable_size;
    uint64_t written[SIM_SECTORS]; /* sequence of the write that is not durable; 0: durable */
    uint8_t *live;
    uint8_t *durable;
    uint8_t *stale; /* what was durable before */
} sim_file;

typedef struct sim_name {
    char name[SIM_NAME];
    int file; /* -1: free */
} sim_name;

typedef struct sim_name_op {
    char kind; /* 'c'reate, 'r'ename, 'u'nlink */
    char name[SIM_NAME];
    char to[SIM_NAME];
    int file;
} sim_name_op;

typedef struct sim_operation {
    bool used;
    bool sync;
    bool dsync;
    int file;
    const uint8_t *data;
    uint64_t size, offset, tag, sequence, sum;
} sim_operation;

/* Rates in permille, of each operation. */
typedef struct sim_faults {
    unsigned write_error, sync_error, short_write, busy, no_space, open_error;
} sim_faults;

typedef struct sim_disk {
    sim_rng rng;
    sim_faults faults;
    uint64_t operations; /* so far */
    bool dead;           /* the power has failed: every operation fails, nothing changes */
    void (*before)(
        void *ctx); /* called before each operation: a moment at which the power may fail; or NULL */
    void *before_ctx;
    void (*wait)(void *ctx, uint64_t wait_ns); /* lets time pass while nothing is done; or NULL */
    void *wait_ctx;
    uint64_t sequence;
    bool buffer_touched; /* a buffer changed while its write was under way */
    sim_file files[SIM_FILES];
    sim_name live[SIM_FILES];
    sim_name durable[SIM_FILES];
    sim_name_op name_ops[SIM_NAME_OPS];
    uint32_t name_op_count;
    sim_operation queue[SIM_OPERATIONS];
} sim_disk;

sim_disk *sim_disk_new(uint64_t seed);
void sim_disk_free(sim_disk *disk);
void sim_disk_reset(sim_disk *disk);

/* An instance on the disk; ctx is the sim_disk. For cp_wal_seams. */
int sim_io_create(void *ctx, cp_io **out, cp_error *err);

/* Whoever had operations under way is gone, and their buffers will be: each was done, or was not, in any order. What a failed
 * sync forgot of segments is still in the cache, of checkpoints not: no log could tell which of two blocks it may overwrite. */
void sim_disk_orphan(sim_disk *disk);

/* Sectors whose fate a crash decides. */
uint32_t sim_disk_undecided(const sim_disk *disk);

/* What a power failure now leaves, into `after` (another disk). outcome: base 3 digits decide sector by sector (kept, lost,
 * garbled) as far as they go; UINT64_MAX: at random. */
void sim_disk_crash(const sim_disk *disk, sim_disk *after, sim_rng *rng, uint64_t outcome);

/* A copy of a disk with nothing undecided (fresh from a crash). */
void sim_disk_copy(const sim_disk *from, sim_disk *to);

/* Damages one sector at rest, of a disk fresh from a crash: flips a bit, brings back older bytes, or puts another sector's in its
 * place; or takes a whole file away when `files`. Returns what it did, for messages; NULL: nothing. */
const char *sim_disk_damage(sim_disk *disk, sim_rng *rng, bool files);

#endif
