#include "tests/wal/sim_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "wal/crc32c.h"

typedef struct sim_reading {
    bool used;
    int file;
    void *data;
    uint64_t size;
    uint64_t offset;
    uint64_t tag;
} sim_reading;

typedef struct sim_io {
    cp_io base; /* first */
    sim_disk *disk;
    sim_reading reading;
} sim_io;

/* ---- random numbers: splitmix64 ---- */

uint64_t sim_random(sim_rng *rng)
{
    uint64_t word = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return word ^ (word >> 31);
}

uint64_t sim_below(sim_rng *rng, uint64_t limit)
{
    return sim_random(rng) % limit;
}

bool sim_chance(sim_rng *rng, unsigned permille)
{
    return permille && sim_below(rng, 1000) < permille;
}

/* ---- names ---- */

static sim_name *name_find(sim_name *names, const char *name)
{
    for (int i = 0; i < SIM_FILES; i++) {
        if (names[i].file >= 0 && strcmp(names[i].name, name) == 0)
            return &names[i];
    }
    return NULL;
}

static void name_put(sim_name *names, const char *name, int file)
{
    sim_name *entry = name_find(names, name);
    for (int i = 0; i < SIM_FILES && !entry; i++) {
        if (names[i].file < 0)
            entry = &names[i];
    }
    if (!entry)
        abort();
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->file = file;
}

static void name_op_apply(sim_name *names, const sim_name_op *op)
{
    sim_name *entry = name_find(names, op->name);
    if (op->kind == 'c')
        name_put(names, op->name, op->file);
    if (op->kind != 'c' && entry)
        entry->file = -1;
    if (op->kind == 'r')
        name_put(names, op->to, op->file);
}

static int name_op(sim_disk *disk, char kind, const char *name, const char *to, int file)
{
    if (disk->name_op_count == SIM_NAME_OPS) { /* the journal commits by itself at some time */
        memcpy(disk->durable, disk->live, sizeof disk->durable);
        disk->name_op_count = 0;
    }
    sim_name_op *op = &disk->name_ops[disk->name_op_count++];
    *op = (sim_name_op){.kind = kind, .file = file};
    snprintf(op->name, sizeof op->name, "%s", name);
    snprintf(op->to, sizeof op->to, "%s", to);
    name_op_apply(disk->live, op);
    return 0;
}

/* ---- one operation passes, or the power fails ---- */

static bool power_fails(sim_disk *disk)
{
    disk->operations++;
    if (!disk->dead && disk->before)
        disk->before(disk->before_ctx);
    return disk->dead;
}

static sim_disk *disk_of(cp_io *io)
{
    return ((sim_io *)io)->disk;
}

static void file_room(sim_file *file)
{
    if (file->live)
        return;
    file->live = malloc((size_t)3 * SIM_FILE_SIZE);
    if (!file->live)
        abort();
    file->durable = file->live + SIM_FILE_SIZE;
    file->stale = file->durable + SIM_FILE_SIZE;
}

static void file_take(sim_file *file)
{
    file_room(file);
    memset(file->live, 0, (size_t)3 * SIM_FILE_SIZE);
    memset(file->written, 0, sizeof file->written);
    file->used = true;
    file->opens = 0;
    file->size = 0;
    file->durable_size = 0;
}

static bool names_have(const sim_name *names, int file)
{
    for (int i = 0; i < SIM_FILES; i++) {
        if (names[i].file == file)
            return true;
    }
    return false;
}

/* A file without a name, before and after a crash, that nobody has open. */
static bool file_is_free(const sim_disk *disk, int file)
{
    bool named = names_have(disk->live, file) || names_have(disk->durable, file);
    for (uint32_t i = 0; i < disk->name_op_count; i++)
        named |= disk->name_ops[i].kind == 'c' && disk->name_ops[i].file == file;
    return !disk->files[file].used || (!named && disk->files[file].opens == 0);
}

static int file_opened(sim_disk *disk, int file)
{
    disk->files[file].opens++;
    return file;
}

static int sim_open(cp_io *io, const char *name, unsigned flags)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    sim_name *entry = name_find(disk->live, name);
    if (!(flags & CP_IO_CREATE))
        return entry ? file_opened(disk, entry->file) : -ENOENT;
    if (entry)
        return -EEXIST;
    if (sim_chance(&disk->rng, disk->faults.no_space))
        return -ENOSPC;
    for (int i = 0; i < SIM_FILES; i++) {
        if (file_is_free(disk, i)) {
            file_take(&disk->files[i]);
            name_op(disk, 'c', name, "", i);
            return file_opened(disk, i);
        }
    }
    return -ENOSPC;
}

static void sim_close(cp_io *io, int file)
{
    sim_disk *disk = disk_of(io);
    if (disk->files[file].opens)
        disk->files[file].opens--;
}

static int sim_lock(cp_io *io, int file)
{
    (void)file;
    return disk_of(io)->dead ? -EIO : 0;
}

static int64_t sim_size(cp_io *io, int file)
{
    return disk_of(io)->dead ? -EIO : (int64_t)disk_of(io)->files[file].size;
}

static int sim_allocate(cp_io *io, int file, uint64_t size)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    if (size > SIM_FILE_SIZE || sim_chance(&disk->rng, disk->faults.no_space))
        return -ENOSPC;
    disk->files[file].size = size;
    return 0;
}

static int sim_truncate(cp_io *io, int file, uint64_t size)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    disk->files[file].size = size;
    return 0;
}

static int64_t sim_read(cp_io *io, int file, void *data, uint64_t size, uint64_t offset)
{
    sim_disk *disk = disk_of(io);
    if (disk->dead)
        return -EIO;
    const sim_file *f = &disk->files[file];
    if (offset >= f->size)
        return 0;
    if (size > f->size - offset)
        size = f->size - offset;
    memcpy(data, f->live + offset, size);
    return (int64_t)size;
}

static void sectors_write(sim_disk *disk, int file, const uint8_t *data, uint64_t size, uint64_t offset,
                          bool durable)
{
    sim_file *f = &disk->files[file];
    const uint64_t sequence = ++disk->sequence;
    memcpy(f->live + offset, data, size);
    if (offset + size > f->size)
        f->size = offset + size;
    for (uint64_t at = offset; at < offset + size; at += SIM_SECTOR) {
        if (durable) {
            memcpy(f->stale + at, f->durable + at, SIM_SECTOR);
            memcpy(f->durable + at, f->live + at, SIM_SECTOR);
        }
        f->written[at / SIM_SECTOR] = durable ? 0 : sequence;
    }
    if (durable && f->size > f->durable_size)
        f->durable_size = f->size;
}

static int64_t sim_write(cp_io *io, int file, const void *data, uint64_t size, uint64_t offset)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    if (sim_chance(&disk->rng, disk->faults.write_error)) {
        sectors_write(disk, file, data, size / 2 / SIM_SECTOR * SIM_SECTOR, offset, false);
        return -EIO;
    }
    sectors_write(disk, file, data, size, offset, false);
    return (int64_t)size;
}

static void file_synced(sim_disk *disk, int file, uint64_t sequence)
{
    sim_file *f = &disk->files[file];
    for (uint64_t i = 0; i < SIM_SECTORS; i++) {
        if (f->written[i] == 0 || f->written[i] > sequence)
            continue;
        memcpy(f->stale + i * SIM_SECTOR, f->durable + i * SIM_SECTOR, SIM_SECTOR);
        memcpy(f->durable + i * SIM_SECTOR, f->live + i * SIM_SECTOR, SIM_SECTOR);
        f->written[i] = 0;
    }
    f->durable_size = f->size;
}

/* What should have become durable is forgotten by the cache, until it is written again. */
static int file_sync_failed(sim_disk *disk, int file)
{
    for (uint64_t i = 0; i < SIM_SECTORS; i++) {
        if (disk->files[file].written[i])
            disk->files[file].written[i] = UINT64_MAX;
    }
    return -EIO;
}

static int sim_sync(cp_io *io, int file)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    if (sim_chance(&disk->rng, disk->faults.sync_error))
        return file_sync_failed(disk, file);
    file_synced(disk, file, disk->sequence);
    return 0;
}

static int sim_rename(cp_io *io, const char *from, const char *to)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    const sim_name *entry = name_find(disk->live, from);
    return entry ? name_op(disk, 'r', from, to, entry->file) : -ENOENT;
}

static int sim_unlink(cp_io *io, const char *name)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    const sim_name *entry = name_find(disk->live, name);
    return entry ? name_op(disk, 'u', name, "", entry->file) : -ENOENT;
}

static int sim_sync_dir(cp_io *io)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    memcpy(disk->durable, disk->live, sizeof disk->durable);
    disk->name_op_count = 0;
    return 0;
}

static int sim_list(cp_io *io, void (*each)(void *ctx, const char *name), void *ctx)
{
    sim_disk *disk = disk_of(io);
    if (power_fails(disk))
        return -EIO;
    for (int i = 0; i < SIM_FILES; i++) {
        if (disk->live[i].file >= 0)
            each(ctx, disk->live[i].name);
    }
    return 0;
}

/* ---- asynchronous ---- */

static int sim_submit(sim_disk *disk, const sim_operation *op)
{
    if (power_fails(disk))
        return -EIO;
    for (int i = 0; i < CP_IO_DEPTH; i++) {
        if (!disk->queue[i].used) {
            disk->queue[i] = *op;
            disk->queue[i].used = true;
            return 0;
        }
    }
    return -EAGAIN;
}

static int sim_submit_write(cp_io *io, int file, const void *data, uint64_t size, uint64_t offset, bool dsync,
                            uint64_t tag)
{
    const sim_operation op = {.dsync = dsync,
                              .file = file,
                              .data = data,
                              .size = size,
                              .offset = offset,
                              .tag = tag,
                              .sum = cp_crc32c(0, data, size)};
    return sim_submit(disk_of(io), &op);
}

static int sim_submit_sync(cp_io *io, int file, uint64_t tag)
{
    sim_disk *disk = disk_of(io);
    const sim_operation op = {.sync = true, .file = file, .tag = tag, .sequence = disk->sequence};
    return sim_submit(disk, &op);
}

/* A reader's own, not among the writer's: it waits in its instance. */
static int sim_submit_read(cp_io *io, int file, void *data, uint64_t size, uint64_t offset, uint64_t tag)
{
    sim_io *sim = (sim_io *)io;
    if (sim->reading.used)
        return -EAGAIN;
    sim->reading =
        (sim_reading){.used = true, .file = file, .data = data, .size = size, .offset = offset, .tag = tag};
    return 0;
}

static int64_t write_complete(sim_disk *disk, const sim_operation *op)
{
    disk->buffer_touched |= cp_crc32c(0, op->data, op->size) != op->sum;
    uint64_t size = op->size;
    const sim_faults *faults = &disk->faults;
    if (sim_chance(&disk->rng, faults->busy))
        return sim_chance(&disk->rng, 500) ? -EAGAIN : -EINTR;
    if (sim_chance(&disk->rng, faults->short_write))
        size = sim_below(&disk->rng, size / SIM_SECTOR) * SIM_SECTOR;
    const bool failed = sim_chance(&disk->rng, faults->write_error);
    if (failed)
        size = sim_below(&disk->rng, size / SIM_SECTOR + 1) * SIM_SECTOR;
    sectors_write(disk, op->file, op->data, size, op->offset, op->dsync && !failed);
    return failed ? -EIO : (int64_t)size;
}

static int64_t sync_complete(sim_disk *disk, const sim_operation *op)
{
    if (sim_chance(&disk->rng, disk->faults.sync_error))
        return file_sync_failed(disk, op->file);
    file_synced(disk, op->file, op->sequence);
    return 0;
}

static int sim_reap(cp_io *io, cp_io_done *done, int max, uint64_t wait_ns)
{
    sim_disk *disk = disk_of(io);
    int used[SIM_OPERATIONS];
    int count = 0;
    (void)max;
    sim_reading *reading = &((sim_io *)io)->reading;
    if (reading->used) {
        reading->used = false;
        *done = (cp_io_done){reading->tag,
                             sim_read(io, reading->file, reading->data, reading->size, reading->offset)};
        return 1;
    }
    for (int i = 0; i < SIM_OPERATIONS; i++) {
        if (disk->queue[i].used)
            used[count++] = i;
    }
    if (count == 0 || (!disk->dead && sim_chance(&disk->rng, 300))) {
        if (wait_ns && disk->wait)
            disk->wait(disk->wait_ctx, wait_ns);
        return 0;
    }
    sim_operation *op = &disk->queue[used[sim_below(&disk->rng, (uint64_t)count)]];
    const bool fails = power_fails(disk);
    done[0].tag = op->tag;
    done[0].result = fails ? -EIO : op->sync ? sync_complete(disk, op) : write_complete(disk, op);
    op->used = false;
    return 1;
}

static void sim_use_buffers(cp_io *io, const struct iovec *buffers, unsigned count)
{
    (void)io;
    (void)buffers;
    (void)count;
}

static void sim_use_file(cp_io *io, int file)
{
    (void)io;
    (void)file;
}

static void sim_destroy(cp_io *io)
{
    free(io);
}

int sim_io_create(void *ctx, cp_io **out, cp_error *err)
{
    static const cp_io_ops ops = {.name = "simulated",
                                  .open = sim_open,
                                  .close = sim_close,
                                  .lock = sim_lock,
                                  .size = sim_size,
                                  .allocate = sim_allocate,
                                  .truncate = sim_truncate,
                                  .read = sim_read,
                                  .write = sim_write,
                                  .sync = sim_sync,
                                  .rename = sim_rename,
                                  .unlink = sim_unlink,
                                  .sync_dir = sim_sync_dir,
                                  .list = sim_list,
                                  .submit_write = sim_submit_write,
                                  .submit_sync = sim_submit_sync,
                                  .submit_read = sim_submit_read,
                                  .reap = sim_reap,
                                  .use_buffers = sim_use_buffers,
                                  .use_file = sim_use_file,
                                  .destroy = sim_destroy};
    sim_io *io = calloc(1, sizeof *io);
    if (!io)
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    io->base.ops = &ops;
    io->disk = ctx;
    *out = &io->base;
    return CP_OK;
}

/* ---- life of a disk ---- */

sim_disk *sim_disk_new(uint64_t seed)
{
    sim_disk *disk = calloc(1, sizeof *disk);
    if (!disk)
        abort();
    sim_disk_reset(disk);
    disk->rng.state = seed;
    return disk;
}

void sim_disk_reset(sim_disk *disk)
{
    for (int i = 0; i < SIM_FILES; i++) {
        disk->files[i].used = false;
        disk->live[i].file = -1;
        disk->durable[i].file = -1;
    }
    memset(disk->queue, 0, sizeof disk->queue);
    disk->name_op_count = 0;
    disk->dead = false;
    disk->operations = 0;
    disk->sequence = 0;
    disk->buffer_touched = false;
}

void sim_disk_free(sim_disk *disk)
{
    for (int i = 0; i < SIM_FILES; i++)
        free(disk->files[i].live);
    free(disk);
}

static bool file_is(const sim_disk *disk, int file, const char *name)
{
    for (int i = 0; i < SIM_FILES; i++) {
        if (disk->live[i].file == file && strncmp(disk->live[i].name, name, strlen(name)) == 0)
            return true;
    }
    return false;
}

/* What a failed sync forgot is not in the cache any more either: the disk's bytes are read from now on. */
static void file_recall(sim_file *file)
{
    for (uint64_t i = 0; i < SIM_SECTORS; i++) {
        if (file->written[i] != UINT64_MAX)
            continue;
        memcpy(file->live + i * SIM_SECTOR, file->durable + i * SIM_SECTOR, SIM_SECTOR);
        file->written[i] = 0;
    }
}

void sim_disk_orphan(sim_disk *disk)
{
    const uint64_t first = sim_below(&disk->rng, SIM_OPERATIONS);
    for (uint64_t i = 0; i < SIM_OPERATIONS; i++) {
        sim_operation *op = &disk->queue[(first + i) % SIM_OPERATIONS];
        if (op->used && sim_chance(&disk->rng, 500))
            (void)(op->sync ? sync_complete(disk, op) : write_complete(disk, op));
        op->used = false;
    }
    for (int i = 0; i < SIM_FILES; i++) {
        disk->files[i].opens = 0;
        if (disk->files[i].used && file_is(disk, i, "checkpoint"))
            file_recall(&disk->files[i]);
    }
}

uint32_t sim_disk_undecided(const sim_disk *disk)
{
    uint32_t count = 0;
    for (int i = 0; i < SIM_FILES; i++) {
        for (int s = 0; s < SIM_SECTORS && disk->files[i].used; s++)
            count += disk->files[i].written[s] != 0;
    }
    for (int i = 0; i < SIM_OPERATIONS; i++)
        count += disk->queue[i].used && !disk->queue[i].sync ? UINT16_MAX : 0;
    return count;
}

static void sector_decide(const sim_file *from, uint8_t *to, uint64_t sector, sim_rng *rng, uint64_t *outcome)
{
    const uint64_t at = sector * SIM_SECTOR;
    uint64_t fate = sim_below(rng, 8);
    fate = fate < 4 ? 0 : fate < 7 ? 1 : 2;
    if (*outcome != UINT64_MAX) {
        fate = *outcome % 3;
        *outcome /= 3;
    }
    if (fate == 0)
        memcpy(to + at, from->live + at, SIM_SECTOR);
    for (uint64_t i = 0; i < SIM_SECTOR && fate == 2; i += 8) {
        const uint64_t word = sim_random(rng);
        memcpy(to + at + i, &word, 8);
    }
}

/* A write that was under way may have reached any of its sectors. */
static void write_crash(const sim_operation *op, sim_file *to, sim_rng *rng)
{
    for (uint64_t at = 0; at < op->size; at += SIM_SECTOR) {
        const uint64_t fate = sim_below(rng, 8);
        for (uint64_t i = 0; i < SIM_SECTOR && fate == 0; i += 8) {
            const uint64_t word = sim_random(rng);
            memcpy(to->live + op->offset + at + i, &word, 8);
        }
        if (fate > 3)
            memcpy(to->live + op->offset + at, op->data + at, SIM_SECTOR);
    }
}

static void file_crash(const sim_file *from, sim_file *to, sim_rng *rng, uint64_t *outcome)
{
    const bool cut = from->size != from->durable_size && sim_chance(rng, 500);
    file_room(to);
    memset(to->written, 0, sizeof to->written);
    to->used = true;
    to->size = cut ? from->durable_size : from->size;
    memcpy(to->live, from->durable, SIM_FILE_SIZE);
    memcpy(to->stale, from->stale, SIM_FILE_SIZE);
    for (uint64_t s = 0; s < SIM_SECTORS; s++) {
        if (from->written[s])
            sector_decide(from, to->live, s, rng, outcome);
    }
    memset(to->live + to->size, 0, SIM_FILE_SIZE - to->size);
    to->durable_size = to->size;
}

void sim_disk_crash(const sim_disk *disk, sim_disk *after, sim_rng *rng, uint64_t outcome)
{
    sim_disk_reset(after);
    memcpy(after->live, disk->durable, sizeof after->live);
    const uint64_t names = disk->name_op_count ? sim_below(rng, disk->name_op_count + 1) : 0;
    for (uint64_t i = 0; i < names; i++)
        name_op_apply(after->live, &disk->name_ops[i]);
    memcpy(after->durable, after->live, sizeof after->durable);
    for (int i = 0; i < SIM_FILES; i++) {
        const int file = after->live[i].file;
        if (file >= 0 && !after->files[file].used)
            file_crash(&disk->files[file], &after->files[file], rng, &outcome);
    }
    for (int i = 0; i < SIM_OPERATIONS; i++) {
        const sim_operation *op = &disk->queue[i];
        if (!op->used || op->sync || !after->files[op->file].used ||
            after->files[op->file].size < op->offset + op->size)
            continue;
        write_crash(op, &after->files[op->file], rng);
    }
    for (int i = 0; i < SIM_FILES; i++) {
        if (after->files[i].used)
            memcpy(after->files[i].durable, after->files[i].live, SIM_FILE_SIZE);
    }
}

void sim_disk_copy(const sim_disk *from, sim_disk *to)
{
    sim_disk_reset(to);
    memcpy(to->live, from->live, sizeof to->live);
    memcpy(to->durable, from->durable, sizeof to->durable);
    for (int i = 0; i < SIM_FILES; i++) {
        if (!from->files[i].used)
            continue;
        sim_file *file = &to->files[i];
        file_room(file);
        memset(file->written, 0, sizeof file->written);
        file->used = true;
        file->size = from->files[i].size;
        file->durable_size = file->size;
        memcpy(file->live, from->files[i].live, (size_t)3 * SIM_FILE_SIZE);
    }
}

static const char *sector_damage(sim_disk *disk, sim_rng *rng, sim_file *file)
{
    const uint64_t sectors = file->size / SIM_SECTOR;
    uint64_t at = 0;
    for (int tries = 0; tries < 8; tries++) { /* where something is written, mostly */
        at = sim_below(rng, sectors) * SIM_SECTOR;
        const uint8_t *sector = file->live + at;
        if (sector[0] || memcmp(sector, sector + 1, SIM_SECTOR - 1) != 0)
            break;
    }
    const uint64_t other = sim_below(rng, sectors) * SIM_SECTOR;
    (void)disk;
    switch (sim_below(rng, 3)) {
    case 0:
        file->live[at + sim_below(rng, SIM_SECTOR)] ^= (uint8_t)(1u << sim_below(rng, 8));
        return "a flipped bit";
    case 1:
        memcpy(file->live + at, file->stale + at, SIM_SECTOR);
        return "a stale sector";
    default:
        memcpy(file->live + at, file->live + other, SIM_SECTOR);
        return "a misdirected sector";
    }
}

const char *sim_disk_damage(sim_disk *disk, sim_rng *rng, bool files)
{
    for (int tries = 0; tries < 64; tries++) {
        sim_name *entry = &disk->live[sim_below(rng, SIM_FILES)];
        if (entry->file < 0 || disk->files[entry->file].size < SIM_SECTOR)
            continue;
        if (!files)
            return sector_damage(disk, rng, &disk->files[entry->file]);
        if (strstr(entry->name, ".seg")) {
            entry->file = -1;
            return "a missing file";
        }
    }
    return NULL;
}
