#include "recorder/command.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "ingest/ladder.h"

_Static_assert((int)CP_COMMAND_AUTO == (int)CP_RUNG_COUNT, "behind the rungs");

const char *cp_command_name(uint32_t kind)
{
    static const char *const names[CP_COMMAND_KINDS] = {"unknown", "flush",   "reload", "pause",
                                                        "resume",  "degrade", "rotate"};
    return kind < CP_COMMAND_KINDS ? names[kind] : names[0];
}

bool cp_command_make(cp_command *command, cp_command_kind kind, const char *table)
{
    *command = (cp_command){.magic = CP_COMMAND_MAGIC, .version = CP_COMMAND_VERSION, .kind = (uint32_t)kind};
    return !table ||
           snprintf(command->table, sizeof command->table, "%s", table) < (int)sizeof command->table;
}

static bool all_zero(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++) {
        if (at[i])
            return false;
    }
    return true;
}

/* The letters of which a configuration can make names: with others a name could pass for further fields of a line of the log. */
static bool name_is_sane(const char name[CP_COMMAND_TABLE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const size_t len = strnlen(name, CP_COMMAND_TABLE);
    for (size_t i = 0; i < len; i++) {
        if (!memchr(letters, name[i], sizeof letters - 1))
            return false;
    }
    return len < CP_COMMAND_TABLE && all_zero(name + len, CP_COMMAND_TABLE - len);
}

static int version_check(uint64_t magic, uint32_t version, cp_error *err)
{
    if (magic != CP_COMMAND_MAGIC)
        return cp_error_set(err, CP_E_INVAL, "no message of coldpath");
    if (version != CP_COMMAND_VERSION)
        return cp_error_set(err, CP_E_ABI,
                            "a message of version %u, where %d is spoken: use one version of coldpath and "
                            "coldpathd",
                            version, CP_COMMAND_VERSION);
    return CP_OK;
}

int cp_command_parse(cp_command *command, const void *bytes, size_t size, cp_error *err)
{
    if (size != sizeof *command)
        return cp_error_set(err, CP_E_INVAL, "a message of %zu bytes; a command has %zu", size,
                            sizeof *command);
    memcpy(command, bytes, sizeof *command);
    const int rc = version_check(command->magic, command->version, err);
    if (rc < 0)
        return rc;
    if (command->kind == 0 || command->kind >= CP_COMMAND_KINDS)
        return cp_error_set(err, CP_E_INVAL, "a command %u, which there is not", command->kind);
    if (command->reserved0 != 0 || !all_zero(command->reserved, sizeof command->reserved))
        return cp_error_set(err, CP_E_INVAL, "a command whose reserved bytes are not 0");
    if (!name_is_sane(command->table))
        return cp_error_set(err, CP_E_INVAL, "a command whose table is no name");
    const bool levels = command->kind == CP_COMMAND_DEGRADE;
    if (command->level > (levels ? CP_COMMAND_AUTO : 0))
        return cp_error_set(err, CP_E_INVAL, "level %u of %s, which there is not", command->level,
                            cp_command_name(command->kind));
    const bool whole = command->kind == CP_COMMAND_FLUSH || command->kind == CP_COMMAND_RELOAD;
    if (whole && command->table[0])
        return cp_error_set(err, CP_E_INVAL, "%s is for the whole recorder, not for a table",
                            cp_command_name(command->kind));
    return CP_OK;
}

int cp_command_reply_parse(cp_command_reply *reply, const void *bytes, size_t size, cp_error *err)
{
    if (size != sizeof *reply)
        return cp_error_set(err, CP_E_CORRUPT, "a reply of %zu bytes; one has %zu", size, sizeof *reply);
    memcpy(reply, bytes, sizeof *reply);
    const int rc = version_check(reply->magic, reply->version, err);
    if (rc < 0)
        return rc;
    if (reply->code > 0 || !memchr(reply->text, '\0', sizeof reply->text))
        return cp_error_set(err, CP_E_CORRUPT, "a reply that contradicts itself");
    return CP_OK;
}
