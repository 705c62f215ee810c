#include "flush/doubt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SPAN_ROOM = 192, /* the condition of one span: its words, a slot and three numbers of 20 digits */
    HEAD_ROOM = 256  /* what is the same for every table */
};

bool cp_doubt_countable(const cp_table *table)
{
    unsigned seen = 0;
    for (uint32_t i = 0; i < table->column_count; i++)
        seen |= 1u << table->columns[i].provenance;
    return !table->ttl && (seen & 1u << CP_PROV_EPOCH) && (seen & 1u << CP_PROV_SLOT) &&
           (seen & 1u << CP_PROV_POSITION);
}

static const char *database_of(const cp_table *table, const char *database)
{
    return table->database ? table->database : database;
}

size_t cp_doubt_sql_room(const cp_table *table, const char *database)
{
    const char *of = database_of(table, database);
    return HEAD_ROOM + 2 * ((of ? strlen(of) : 0) + strlen(cp_table_target(table))) +
           (size_t)CP_MAX_TABLE_SLOTS * SPAN_ROOM;
}

/* Appends an identifier in backticks. */
static char *name_add(char *to, const char *name)
{
    *to++ = '`';
    for (; *name; name++) {
        if (*name == '`' || *name == '\\')
            *to++ = '\\';
        *to++ = *name;
    }
    *to++ = '`';
    return to;
}

bool cp_doubt_sql(char *sql, size_t room, const cp_table *table, const char *database, const cp_span *spans,
                  uint32_t count)
{
    const char *of = database_of(table, database);
    if (count < 1 || count > CP_MAX_TABLE_SLOTS || room < cp_doubt_sql_room(table, database))
        return false;
    char *to = sql;
    to += snprintf(to, HEAD_ROOM, "SELECT count(), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM ");
    if (of) {
        to = name_add(to, of);
        *to++ = '.';
    }
    to = name_add(to, cp_table_target(table));
    for (uint32_t i = 0; i < count; i++)
        to += snprintf(to, SPAN_ROOM,
                       "%s(_cp_epoch = %" PRIu64 " AND _cp_slot = %u AND _cp_position >= %" PRIu64
                       " AND _cp_position < %" PRIu64 ")",
                       i ? " OR " : " WHERE ", spans[i].epoch, spans[i].slot, spans[i].begin, spans[i].end);
    snprintf(to, room - (size_t)(to - sql), " FORMAT TabSeparated");
    return true;
}

/* A number in decimal digits and the character behind it; false when there is none or it is too large. */
static bool number_read(const char **at, char end, uint64_t *out)
{
    *out = 0;
    const char *from = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (__builtin_mul_overflow(*out, UINT64_C(10), out) ||
            __builtin_add_overflow(*out, (uint64_t)(**at - '0'), out))
            return false;
    }
    return *at > from && *(*at)++ == end;
}

bool cp_doubt_read(const char *body, cp_doubt_count *out)
{
    return number_read(&body, '\t', &out->held) && number_read(&body, '\n', &out->distinct) &&
           *body == '\0' && out->distinct <= out->held;
}
