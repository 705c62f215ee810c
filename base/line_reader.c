#include "base/line_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/error.h"

enum {
    FIRST_BUFFER = 256 * 1024, /* large enough that the calls to read(2) do not show */
    PACKED_BUFFER = 64 * 1024,
    BOM_SIZE = 3,
    GZIP_MAGIC_0 = 0x1f, /* RFC 1952, 2.3.1 */
    GZIP_MAGIC_1 = 0x8b,
    GZIP_WINDOW = 15 + 16 /* of inflateInit2: the largest window, a gzip header */
};

static const char bom[BOM_SIZE] = {'\xef', '\xbb', '\xbf'}; /* U+FEFF in UTF-8 */

struct cp_line_reader {
    int fd;
    char *name;
    char *buffer; /* unread bytes are [begin, end) */
    size_t capacity;
    size_t begin;
    size_t end;
    size_t line_max;
    uint64_t line_number; /* of the line returned last */
    FILE *spill;
    const volatile sig_atomic_t *stopped; /* or NULL */
    bool at_end;
    bool sniffed; /* the first two bytes have been looked at */
    bool begun;   /* the first line begins at begin: a byte order mark was looked for and passed over */
    bool packed;  /* gzip */
    bool between; /* packed: at the end of a member; another may follow */
    z_stream inflater;
    uint8_t *packed_buffer;
};

/* Room for the bytes that tell gzip or a byte order mark, whatever the limit. */
static size_t first_capacity(size_t line_max)
{
    const size_t wanted = line_max + 1 < BOM_SIZE ? BOM_SIZE : line_max + 1;
    return wanted < FIRST_BUFFER ? wanted : FIRST_BUFFER;
}

static int reader_alloc(cp_line_reader **out, const char *name, size_t line_max, cp_error *err)
{
    cp_line_reader *reader = calloc(1, sizeof *reader);
    if (reader) {
        reader->fd = -1;
        reader->line_max = line_max;
        reader->capacity = first_capacity(line_max);
        reader->buffer = malloc(reader->capacity);
        reader->name = strdup(name);
    }
    if (!reader || !reader->buffer || !reader->name) {
        cp_line_reader_close(reader);
        return cp_error_set(err, CP_E_NOMEM, "%s: no memory for reading", name);
    }
    *out = reader;
    return CP_OK;
}

int cp_line_reader_open(cp_line_reader **out, const char *path, size_t line_max, cp_error *err)
{
    const bool standard_input = strcmp(path, "-") == 0;
    cp_line_reader *reader = NULL;
    const int rc = reader_alloc(&reader, standard_input ? "stdin" : path, line_max, err);
    if (rc != CP_OK)
        return rc;
    reader->fd = standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0) {
        const int code =
            cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot read %s", reader->name);
        cp_line_reader_close(reader);
        return code;
    }
    *out = reader;
    return CP_OK;
}

void cp_line_reader_set_spill(cp_line_reader *reader, FILE *spill)
{
    reader->spill = spill;
}

void cp_line_reader_set_stop(cp_line_reader *reader, const volatile sig_atomic_t *stopped)
{
    reader->stopped = stopped;
}

bool cp_line_reader_reads(const cp_line_reader *reader, int fd)
{
    struct stat input;
    struct stat other;
    return fstat(reader->fd, &input) == 0 && fstat(fd, &other) == 0 && input.st_dev == other.st_dev &&
           input.st_ino == other.st_ino;
}

const char *cp_line_reader_name(const cp_line_reader *reader)
{
    return reader->name;
}

/* Makes room behind end: moves what is unread to the front, and grows the buffer when it is full of one line.
 */
static int buffer_make_room(cp_line_reader *reader, cp_error *err)
{
    if (reader->begin > 0) {
        memmove(reader->buffer, reader->buffer + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    const size_t limit = reader->line_max + 1;
    if (reader->end < reader->capacity || reader->capacity >= limit)
        return CP_OK;
    size_t capacity = reader->capacity * 2 + 1;
    if (capacity > limit)
        capacity = limit;
    char *buffer = realloc(reader->buffer, capacity);
    if (!buffer)
        return cp_error_set(err, CP_E_NOMEM, "%s: no memory for a line of %zu bytes", reader->name, capacity);
    reader->buffer = buffer;
    reader->capacity = capacity;
    return CP_OK;
}

/* One read(2). Returns the bytes, 0 at the end. */
static ssize_t input_read(cp_line_reader *reader, void *to, size_t size, cp_error *err)
{
    const ssize_t got = read(reader->fd, to, size);
    if (got < 0)
        return cp_error_errno(err, CP_E_IO, errno, "cannot read %s", reader->name);
    return got;
}

/* Reads until there are two bytes to tell gzip by, and sets the inflater up when they are its magic. */
static int input_sniff(cp_line_reader *reader, cp_error *err)
{
    while (reader->end < 2 && !reader->at_end) {
        const ssize_t got = input_read(reader, reader->buffer + reader->end, 2 - reader->end, err);
        if (got < 0)
            return (int)got;
        reader->at_end = got == 0;
        reader->end += (size_t)got;
    }
    reader->sniffed = true;
    const uint8_t *magic = (const uint8_t *)reader->buffer;
    if (reader->end < 2 || magic[0] != GZIP_MAGIC_0 || magic[1] != GZIP_MAGIC_1)
        return CP_OK;
    reader->packed_buffer = malloc(PACKED_BUFFER);
    if (!reader->packed_buffer || inflateInit2(&reader->inflater, GZIP_WINDOW) != Z_OK)
        return cp_error_set(err, CP_E_NOMEM, "%s: no memory for reading gzip", reader->name);
    reader->packed = true;
    memcpy(reader->packed_buffer, magic, 2);
    reader->inflater.next_in = reader->packed_buffer;
    reader->inflater.avail_in = 2;
    reader->end = 0;
    return CP_OK;
}

static int gzip_damaged(cp_line_reader *reader, const char *what, cp_error *err)
{
    return cp_error_set(err, CP_E_CORRUPT,
                        "%s: the gzip data is %s after line %llu; what came before it is used", reader->name,
                        what, (unsigned long long)reader->line_number);
}

/* Behind a member: the next one, if there is one. gzip files may be concatenated. */
static int gzip_next_member(cp_line_reader *reader, cp_error *err)
{
    if (reader->inflater.next_in[0] != GZIP_MAGIC_0)
        return gzip_damaged(reader, "followed by something else", err);
    reader->between = false;
    return inflateReset(&reader->inflater) == Z_OK ? CP_OK : gzip_damaged(reader, "damaged", err);
}

static int gzip_fill(cp_line_reader *reader, cp_error *err)
{
    z_stream *stream = &reader->inflater;
    const size_t room = reader->capacity - reader->end;
    stream->next_out = (uint8_t *)reader->buffer + reader->end;
    stream->avail_out = (uInt)room;
    while (stream->avail_out == room) {
        if (stream->avail_in == 0) {
            const ssize_t got = input_read(reader, reader->packed_buffer, PACKED_BUFFER, err);
            if (got < 0)
                return (int)got;
            if (got == 0) {
                reader->at_end = true;
                return reader->between ? CP_OK : gzip_damaged(reader, "cut short", err);
            }
            stream->next_in = reader->packed_buffer;
            stream->avail_in = (uInt)got;
        }
        int rc = reader->between ? gzip_next_member(reader, err) : CP_OK;
        if (rc < 0)
            return rc;
        rc = inflate(stream, Z_NO_FLUSH);
        reader->between = rc == Z_STREAM_END;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR && stream->avail_out == room)
            return gzip_damaged(reader, "damaged", err);
    }
    reader->end += room - stream->avail_out;
    return CP_OK;
}

/* Reads more bytes into the room behind end, as many as there are now; at_end when there are none. */
static int buffer_fill(cp_line_reader *reader, cp_error *err)
{
    int rc = CP_OK;
    if (reader->stopped && *reader->stopped) {
        rc = cp_error_set(err, CP_E_IO, "%s: stopped by a signal", reader->name);
    } else if (!reader->sniffed) {
        rc = input_sniff(reader, err);
    } else if (reader->packed) {
        rc = gzip_fill(reader, err);
    } else {
        const ssize_t got =
            input_read(reader, reader->buffer + reader->end, reader->capacity - reader->end, err);
        reader->at_end = got == 0;
        reader->end += got > 0 ? (size_t)got : 0;
        rc = got < 0 ? (int)got : CP_OK;
    }
    if (rc < 0)
        reader->at_end = true;
    return rc;
}

static void spill_bytes(cp_line_reader *reader, size_t count)
{
    if (reader->spill)
        fwrite(reader->buffer + reader->begin, 1, count, reader->spill);
    reader->begin += count;
}

/* The buffer is full and holds no newline: drops bytes up to and with the next newline. */
static int line_skip(cp_line_reader *reader, cp_line *line, cp_error *err)
{
    size_t skipped = 0;
    for (;;) {
        const size_t have = reader->end - reader->begin;
        const char *newline = memchr(reader->buffer + reader->begin, '\n', have);
        if (newline) {
            const size_t rest = (size_t)(newline - (reader->buffer + reader->begin));
            skipped += rest;
            line->ended = true;
            spill_bytes(reader, rest + 1);
            break;
        }
        skipped += have;
        spill_bytes(reader, have);
        if (reader->at_end)
            break;
        reader->begin = reader->end = 0;
        const int rc = buffer_fill(reader, err);
        if (rc < 0)
            return rc;
    }
    line->len = skipped;
    return cp_error_set(err, CP_E_TOO_BIG, "the line has %zu bytes; the limit is %zu", skipped,
                        reader->line_max);
}

static int line_take(cp_line_reader *reader, cp_line *line, size_t len, bool ended)
{
    line->text = reader->buffer + reader->begin;
    line->len = len;
    line->ended = ended;
    reader->begin += len + ended;
    return 1;
}

/* Passes over a byte order mark at the very beginning. False while more bytes are needed to tell. */
static bool input_begin(cp_line_reader *reader)
{
    const size_t have = reader->end - reader->begin;
    const size_t compared = have < BOM_SIZE ? have : BOM_SIZE;
    const bool alike = memcmp(reader->buffer + reader->begin, bom, compared) == 0;
    if (alike && have < BOM_SIZE && !reader->at_end)
        return false;
    reader->begin += alike && have >= BOM_SIZE ? BOM_SIZE : 0;
    reader->begun = true;
    return true;
}

/* Reads on, after making room. */
static int input_more(cp_line_reader *reader, cp_error *err)
{
    const int rc = buffer_make_room(reader, err);
    return rc == CP_OK ? buffer_fill(reader, err) : rc;
}

int cp_line_reader_next(cp_line_reader *reader, cp_line *line, cp_error *err)
{
    size_t searched = 0; /* bytes of the line known to hold no newline */
    *line = (cp_line){.number = reader->line_number + 1};
    while (!reader->begun && !input_begin(reader)) {
        const int rc = input_more(reader, err);
        if (rc < 0)
            return rc;
    }
    for (;;) {
        const char *from = reader->buffer + reader->begin + searched;
        const size_t have = reader->end - reader->begin;
        const char *newline = memchr(from, '\n', have - searched);
        if (newline || reader->at_end) {
            if (!newline && have == 0)
                return 0;
            reader->line_number++;
            const size_t len = newline ? searched + (size_t)(newline - from) : have;
            if (len > reader->line_max) /* room for a byte order mark may be more than the limit */
                return line_skip(reader, line, err);
            return line_take(reader, line, len, newline != NULL);
        }
        searched = have;
        if (have > reader->line_max) {
            reader->line_number++;
            return line_skip(reader, line, err);
        }
        const int rc = input_more(reader, err);
        if (rc < 0)
            return rc;
    }
}

void cp_line_reader_close(cp_line_reader *reader)
{
    if (!reader)
        return;
    if (reader->packed)
        inflateEnd(&reader->inflater);
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->packed_buffer);
    free(reader->buffer);
    free(reader->name);
    free(reader);
}
