#include "cli/import/rejects.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static int io_fail(const cp_rejects *quarantine, const char *doing, cp_error *err)
{
    return cp_error_errno(err, CP_E_IO, errno, "cannot %s the quarantine file %s", doing, quarantine->path);
}

enum { IMPORT_ID = 17 }; /* 16 digits and a NUL */

static void import_id_write(char text[IMPORT_ID], uint64_t id)
{
    snprintf(text, IMPORT_ID, "%016" PRIx64, id);
}

/* The text of a member, or "". */
static const char *member_text(json_object *object, const char *name)
{
    json_object *member = NULL;
    const bool is_text =
        json_object_object_get_ex(object, name, &member) && json_object_is_type(member, json_type_string);
    return is_text ? json_object_get_string(member) : "";
}

/* Notes source and id of a whole line. A line that is not of this import says nothing. */
static void line_note(cp_rejects *quarantine, const char *line)
{
    char ours[IMPORT_ID];
    json_object *object = json_tokener_parse(line);
    json_object *id = NULL;
    import_id_write(ours, quarantine->import_id);
    if (json_object_is_type(object, json_type_object) && strcmp(member_text(object, "import"), ours) == 0 &&
        json_object_object_get_ex(object, "id", &id)) {
        free(quarantine->last_source);
        quarantine->last_source = strdup(member_text(object, "source"));
        quarantine->last_id = json_object_get_int64(id);
    }
    json_object_put(object);
}

/* Finds the last whole line, and takes away what stands behind it. */
static int tail_mend(cp_rejects *quarantine, cp_error *err)
{
    char *line = NULL;
    char *last = NULL;
    size_t size = 0;
    ssize_t len;
    off_t end = 0;
    while ((len = getline(&line, &size, quarantine->file)) > 0 && line[len - 1] == '\n') {
        end += len;
        free(last);
        last = strdup(line);
    }
    if (last)
        line_note(quarantine, last);
    free(line);
    free(last);
    if (ferror(quarantine->file) || ftruncate(fileno(quarantine->file), end) != 0 ||
        fseeko(quarantine->file, end, SEEK_SET) != 0)
        return io_fail(quarantine, "read", err);
    return CP_OK;
}

static int file_open(cp_rejects *quarantine, int flags, cp_error *err)
{
    const int fd = open(quarantine->path, O_RDWR | O_CLOEXEC | flags, 0600);
    quarantine->file = fd >= 0 ? fdopen(fd, "r+") : NULL;
    if (quarantine->file)
        return tail_mend(quarantine, err);
    const int rc = io_fail(quarantine, "open", err);
    if (fd >= 0)
        close(fd);
    return rc;
}

int cp_rejects_open(cp_rejects *quarantine, const char *path, uint64_t import_id, cp_error *err)
{
    *quarantine = (cp_rejects){.path = path, .import_id = import_id};
    return access(path, F_OK) == 0 ? file_open(quarantine, 0, err) : CP_OK;
}

int cp_rejects_add(cp_rejects *quarantine, const char *source, int64_t id, const char *table, const char *why,
                   const char *payload, size_t len, cp_error *err)
{
    if (quarantine->last_source && strcmp(quarantine->last_source, source) == 0 && id <= quarantine->last_id)
        return CP_OK;
    if (!quarantine->file) {
        const int rc = file_open(quarantine, O_CREAT, err);
        if (rc < 0)
            return rc;
    }
    char import[IMPORT_ID];
    import_id_write(import, quarantine->import_id);
    json_object *object = json_object_new_object();
    json_object_object_add(object, "import", json_object_new_string(import));
    json_object_object_add(object, "source", json_object_new_string(source));
    json_object_object_add(object, "id", json_object_new_int64(id));
    json_object_object_add(object, "table", json_object_new_string(table));
    json_object_object_add(object, "error", json_object_new_string(why));
    json_object_object_add(object, "payload", json_object_new_string_len(payload, (int)len));
    const char *text =
        json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    const bool written = text && fputs(text, quarantine->file) >= 0 && fputc('\n', quarantine->file) >= 0;
    json_object_put(object);
    if (!written)
        return io_fail(quarantine, "write", err);
    if (!quarantine->last_source || strcmp(quarantine->last_source, source) != 0) {
        free(quarantine->last_source);
        quarantine->last_source = strdup(source);
    }
    quarantine->last_id = id;
    quarantine->dirty = true;
    quarantine->rows++;
    return CP_OK;
}

int cp_rejects_sync(cp_rejects *quarantine, cp_error *err)
{
    if (!quarantine->dirty)
        return CP_OK;
    if (fflush(quarantine->file) != 0 || fdatasync(fileno(quarantine->file)) != 0)
        return io_fail(quarantine, "write", err);
    quarantine->dirty = false;
    return CP_OK;
}

void cp_rejects_close(cp_rejects *quarantine)
{
    if (quarantine->file)
        fclose(quarantine->file); /* all that counts was synced */
    free(quarantine->last_source);
    *quarantine = (cp_rejects){0};
}
