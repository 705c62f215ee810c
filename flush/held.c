#include "flush/held.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"
#include "flush/quarantine.h"

#define MAGIC 0x3144454844434c43ull /* "CLCDHED1" */

_Static_assert(sizeof(cp_held_header) == 1024, "header of a batch set aside");

/* One chunk, as it was. */
typedef struct held_chunk {
    uint64_t epoch;
    uint64_t begin;
    uint64_t end;
    uint32_t slot;
    uint32_t row_count;
    uint32_t rejected;
    uint32_t byte_count;
    uint32_t packed;
    uint32_t reserved;
} held_chunk;

static uint64_t pad(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

bool cp_held_path(char path[CP_HELD_PATH], const char *dir, const char *table, const char *token)
{
    const int length = snprintf(path, CP_HELD_PATH, "%s/%s.%016lx.held", dir, table,
                                (unsigned long)XXH3_64bits(token, strlen(token)));
    return length > 0 && length < CP_HELD_PATH - 16; /* room for ".new" and ".settled" */
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void part_write(FILE *out, XXH3_state_t *hash, const void *bytes, uint64_t size)
{
    static const uint8_t zeros[8] = {0};
    const uint64_t padding = pad(size) - size;
    fwrite(bytes, 1, size, out);
    fwrite(zeros, 1, padding, out);
    XXH3_64bits_update(hash, bytes, size);
    XXH3_64bits_update(hash, zeros, padding);
}

static void chunks_write(FILE *out, XXH3_state_t *hash, cp_chunk *const *chunks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const cp_chunk *chunk = chunks[i];
        const held_chunk entry = {.epoch = chunk->epoch,
                                  .begin = chunk->begin,
                                  .end = chunk->end,
                                  .slot = chunk->slot,
                                  .row_count = chunk->row_count,
                                  .rejected = chunk->rejected,
                                  .byte_count = chunk->byte_count,
                                  .packed = chunk->packed};
        part_write(out, hash, &entry, sizeof entry);
    }
    for (uint32_t i = 0; i < count; i++) {
        part_write(out, hash, chunks[i]->row_at, chunks[i]->row_count * sizeof(uint32_t));
        part_write(out, hash, chunks[i]->data, chunks[i]->byte_count);
    }
}

static uint64_t checksum_begin(XXH3_state_t *hash, const cp_held_header *header)
{
    cp_held_header copy = *header;
    copy.checksum = 0;
    copy.piece_first = copy.piece_rows = 0;
    XXH3_64bits_reset(hash);
    return XXH3_64bits_update(hash, &copy, sizeof copy);
}

static int directory_sync(const char *dir, cp_error *err)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int rc = fd < 0 || fsync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return rc == 0 ? CP_OK : cp_error_errno(err, CP_E_IO, rc, "make %s durable", dir);
}

static int stream_write(FILE *out, cp_held_header *header, cp_chunk *const *chunks, uint32_t count)
{
    XXH3_state_t *hash = XXH3_createState();
    if (!hash)
        return ENOMEM;
    checksum_begin(hash, header);
    fwrite(header, sizeof *header, 1, out);
    chunks_write(out, hash, chunks, count);
    header->checksum = XXH3_64bits_digest(hash);
    XXH3_freeState(hash);
    const bool written = fseek(out, 0, SEEK_SET) == 0 && fwrite(header, sizeof *header, 1, out) == 1 &&
                         fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0;
    return written ? 0 : errno ? errno : EIO;
}

uint64_t cp_held_size(cp_chunk *const *chunks, uint32_t count)
{
    uint64_t size = sizeof(cp_held_header) + count * sizeof(held_chunk);
    for (uint32_t i = 0; i < count; i++)
        size += pad(chunks[i]->row_count * sizeof(uint32_t)) + pad(chunks[i]->byte_count);
    return size;
}

int cp_held_write(const char *path, const char *dir, cp_held_header *header, cp_chunk *const *chunks,
                  uint32_t count, cp_error *err)
{
    char fresh[CP_HELD_PATH];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    header->magic = MAGIC;
    header->chunk_count = count;
    header->size = cp_held_size(chunks, count);
    const int rc = cp_quarantine_make_directories_(dir, err);
    if (rc < 0)
        return rc;
    const int fd = open(fresh, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        const int why = errno;
        if (fd >= 0)
            close(fd);
        return cp_error_errno(err, cp_error_code_of_errno(why), why, "write %s", fresh);
    }
    errno = 0;
    int failed = stream_write(out, header, chunks, count);
    if (fclose(out) != 0 && failed == 0)
        failed = errno;
    if (failed == 0 && rename(fresh, path) < 0)
        failed = errno;
    if (failed != 0) {
        unlink(fresh);
        return cp_error_errno(err, CP_E_IO, failed, "write %s", path);
    }
    char parent[CP_HELD_PATH]; /* the directory may be new */
    snprintf(parent, sizeof parent, "%s/..", dir);
    const int synced = directory_sync(dir, err);
    return synced == CP_OK ? directory_sync(parent, err) : synced;
}

int cp_held_set_piece(const char *path, cp_batch_piece piece, cp_error *err)
{
    const uint32_t words[2] = {piece.first, piece.rows};
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool written =
        fd >= 0 &&
        pwrite(fd, words, sizeof words, offsetof(cp_held_header, piece_first)) == (ssize_t)sizeof words &&
        fdatasync(fd) == 0;
    const int why = errno;
    if (fd >= 0)
        close(fd);
    return written ? CP_OK : cp_error_errno(err, CP_E_IO, why, "write %s", path);
}

void cp_held_settled_path(char settled[CP_HELD_PATH], const char *path)
{
    snprintf(settled, CP_HELD_PATH, "%s.settled", path);
}

int cp_held_settle(const char *path, const char *dir, cp_error *err)
{
    char settled[CP_HELD_PATH];
    cp_held_settled_path(settled, path);
    if (rename(path, settled) < 0)
        return cp_error_errno(err, CP_E_IO, errno, "rename %s", path);
    return directory_sync(dir, err);
}

int cp_held_remove(const char *path, const char *dir, cp_error *err)
{
    if (unlink(path) < 0)
        return errno == ENOENT ? CP_OK : cp_error_errno(err, CP_E_IO, errno, "remove %s", path);
    return directory_sync(dir, err);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static bool rows_are_sound(const cp_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->row_count; i++) {
        const uint64_t at = chunk->row_at[i];
        if (at % 8 != 0 || at < CP_RECORD_HEADER || at > chunk->byte_count ||
            cp_chunk_row_size(chunk, i) > chunk->byte_count - at)
            return false;
    }
    return true;
}

/* Makes the chunks, within the file. */
static bool chunks_find(cp_held *held)
{
    uint8_t *base = (uint8_t *)(uintptr_t)held->header;
    const held_chunk *entries = (const held_chunk *)(const void *)(base + sizeof *held->header);
    uint64_t at = sizeof *held->header + held->header->chunk_count * sizeof *entries;
    uint64_t rows = 0;
    for (uint32_t i = 0; i < held->header->chunk_count; i++) {
        const held_chunk *entry = &entries[i];
        const uint64_t offsets = pad(entry->row_count * sizeof(uint32_t));
        if (at > held->size || offsets > held->size - at ||
            pad(entry->byte_count) > held->size - at - offsets || entry->slot >= CP_MAX_TABLE_SLOTS)
            return false;
        held->chunks[i] = (cp_chunk){.slot = (uint16_t)entry->slot,
                                     .epoch = entry->epoch,
                                     .begin = entry->begin,
                                     .end = entry->end,
                                     .row_count = entry->row_count,
                                     .rejected = entry->rejected,
                                     .byte_count = entry->byte_count,
                                     .packed = entry->packed != 0,
                                     .row_at = (uint32_t *)(void *)(base + at),
                                     .data = base + at + offsets};
        held->pointers[i] = &held->chunks[i];
        at += offsets + pad(entry->byte_count);
        rows += entry->row_count;
        if (!rows_are_sound(&held->chunks[i]))
            return false;
    }
    return at == held->size && rows == held->header->rows;
}

static bool header_is_sound(const cp_held *held)
{
    const cp_held_header *header = held->header;
    XXH3_state_t *hash = XXH3_createState();
    if (!hash)
        return false;
    checksum_begin(hash, header);
    XXH3_64bits_update(hash, header + 1, held->size - sizeof *header);
    const bool whole = XXH3_64bits_digest(hash) == header->checksum;
    XXH3_freeState(hash);
    return whole && header->magic == MAGIC && header->size == held->size &&
           header->chunk_count <= CP_BATCH_CHUNKS &&
           header->chunk_count <= (held->size - sizeof *header) / sizeof(held_chunk) &&
           memchr(header->token, '\0', sizeof header->token) &&
           memchr(header->table, '\0', sizeof header->table);
}

int cp_held_open(cp_held *held, const char *path, cp_error *err)
{
    *held = (cp_held){.header = NULL};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    if (fd < 0)
        return cp_error_errno(err, cp_error_code_of_errno(errno), errno, "open %s", path);
    void *base = MAP_FAILED;
    if (fstat(fd, &stat) == 0 && stat.st_size >= (off_t)sizeof(cp_held_header))
        base = mmap(NULL, (size_t)stat.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    close(fd);
    if (base == MAP_FAILED)
        return cp_error_set(err, CP_E_CORRUPT, "%s is no batch that was set aside", path);
    held->header = base;
    held->size = (uint64_t)stat.st_size;
    held->chunks = calloc(CP_BATCH_CHUNKS, sizeof *held->chunks);
    held->pointers = calloc(CP_BATCH_CHUNKS, sizeof(void *));
    int rc = held->chunks && held->pointers ? CP_OK : cp_error_set(err, CP_E_NOMEM, "no memory for %s", path);
    if (rc == CP_OK && (!header_is_sound(held) || !chunks_find(held)))
        rc = cp_error_set(err, CP_E_CORRUPT, "%s is damaged", path);
    if (rc < 0)
        cp_held_close(held);
    return rc;
}

void cp_held_close(cp_held *held)
{
    if (held->header)
        munmap((void *)(uintptr_t)held->header, held->size);
    free(held->chunks);
    free(held->pointers);
    *held = (cp_held){.header = NULL};
}
