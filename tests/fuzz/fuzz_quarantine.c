/* Fuzz target: the bytes of a table's quarantine file. Sound records are made once by the writer itself; the input changes them: four bytes
 * are where (two), what, and how. Half of the inputs have the checksums of all records put right afterwards, so that what they say is
 * believed. Reading gives a list, whose rows lie inside of their records and in order, each once; nothing else is lost
 * with a damaged record than itself. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flush/quarantine_record.h"
#include "tests/fuzz/fuzz.h"

enum { RECORDS = 9, FILE_MOST = 16 * 1024, LIMIT = 1024 * 1024, MENDED = 1 };

static char dir[64];
static char path[128];
static uint8_t sound[FILE_MOST];
static size_t sound_size;
static volatile uint8_t read_byte; /* so that a sanitizer sees every byte read */

static void dir_remove(void)
{
    unlink(path);
    char lock[160];
    snprintf(lock, sizeof lock, "%s/t.lock", dir);
    unlink(lock);
    rmdir(dir);
}

static void sound_add(cp_quarantine *quarantine, uint64_t number)
{
    _Alignas(8) uint8_t row[64];
    char message[32];
    cp_error err = {0};
    memset(row, (int)number, sizeof row);
    const int length = snprintf(message, sizeof message, "refused %*d", (int)number, 7);
    if (length < 0)
        abort();
    const cp_quarantine_row it = {.schema_hash = 5,
                                  .epoch = 1 + number / 4,
                                  .slot = (uint32_t)(number % 3),
                                  .position = number * 64,
                                  .refused_ns = 1,
                                  .code = 469,
                                  .together = 1,
                                  .size = (uint32_t)(8 + 8 * (number % 7)),
                                  .bytes = row,
                                  .message = message};
    if (cp_quarantine_add(quarantine, &it, &err) < 0)
        abort();
}

static void sound_make(void)
{
    cp_quarantine quarantine;
    cp_error err = {0};
    strcpy(dir, "/tmp/coldpath-fuzz-XXXXXX");
    if (!mkdtemp(dir) || cp_quarantine_init(&quarantine, dir, "t", LIMIT, &err) < 0 ||
        cp_quarantine_begin(&quarantine, &err) < 0)
        abort();
    snprintf(path, sizeof path, "%s/t.rows", dir);
    atexit(dir_remove);
    for (uint64_t i = 0; i < RECORDS; i++)
        sound_add(&quarantine, i);
    FILE *file = cp_quarantine_commit(&quarantine, &err) == CP_OK ? fopen(path, "rb") : NULL;
    sound_size = file ? fread(sound, 1, sizeof sound, file) : 0;
    if (sound_size == 0 || sound_size == sizeof sound)
        abort();
    fclose(file);
}

/* Bytes that may be read as a file, with what comes behind them zero. */
static void checksums_mend(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at + sizeof(cp_quarantine_header) <= size;) {
        cp_quarantine_header *header = (cp_quarantine_header *)(void *)(bytes + at);
        if (!cp_quarantine_header_plausible(header) || cp_quarantine_record_size(header) > size - at) {
            at += 8;
            continue;
        }
        const uint8_t *row = (const uint8_t *)(header + 1);
        header->checksum =
            cp_quarantine_checksum(header, row, (const char *)row + cp_quarantine_pad(header->row_size));
        at += cp_quarantine_record_size(header);
    }
}

static size_t file_make(uint8_t *bytes, const uint8_t *data, size_t size)
{
    size_t length = sound_size;
    memcpy(bytes, sound, sound_size);
    for (size_t i = 1; i + 3 < size; i += 4) {
        const size_t at = ((size_t)data[i] << 8 | data[i + 1]) % sound_size;
        switch (data[i + 3] % 8) {
        case 0: /* a piece of the input itself */
            memcpy(bytes + at, data + i, size - i < sound_size - at ? size - i : sound_size - at);
            break;
        case 1:
            length = at;
            break;
        case 2: /* a record twice, or in the middle of another one */
            memmove(bytes + at, bytes, sound_size - at < 512 ? sound_size - at : 512);
            break;
        default:
            bytes[at] = data[i + 2];
        }
    }
    if (data[0] & MENDED)
        checksums_mend(bytes, length);
    return length;
}

static void list_check(const cp_quarantine_list *list)
{
    uint8_t *buffer = NULL;
    for (uint64_t i = 0; i < list->count; i++) {
        const cp_quarantine_entry *entry = &list->entries[i];
        const cp_quarantine_entry *last = i ? entry - 1 : NULL;
        cp_quarantine_row row;
        cp_error err = {0};
        if (last &&
            (last->epoch > entry->epoch || (last->epoch == entry->epoch && last->slot > entry->slot) ||
             (last->epoch == entry->epoch && last->slot == entry->slot && last->position >= entry->position)))
            abort();
        if (!cp_quarantine_list_has(list, entry->epoch, entry->slot, entry->position) ||
            cp_quarantine_read(list, entry, &buffer, &row, &err) < 0 || row.size != entry->size ||
            strlen(row.message) >= CP_QUARANTINE_MESSAGE)
            abort();
        for (uint32_t at = 0; at < row.size; at++)
            read_byte = row.bytes[at];
    }
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(8) uint8_t bytes[FILE_MOST];
    if (!dir[0])
        sound_make();
    if (size == 0)
        return 0;
    const size_t length = file_make(bytes, data, size);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, length) != (ssize_t)length || close(fd) < 0)
        abort();
    cp_quarantine_list list = {0};
    cp_error err = {0};
    if (cp_quarantine_load(&list, dir, "t", CP_QUARANTINE_ROWS, &err) < 0 || list.damaged > length)
        abort();
    list_check(&list);
    cp_quarantine_list_free(&list);
    return 0;
}
