#include "cli/csv_split.h"

#include <string.h>

#include "base/error.h"

int cp_csv_split_init(cp_csv_split *split, cp_fields *fields, cp_error *err)
{
    memset(split, 0, sizeof *split);
    split->fields = fields;
    if (csv_init(&split->parser, CSV_STRICT | CSV_STRICT_FINI | CSV_EMPTY_IS_NULL | CSV_REPALL_NL) != 0)
        return cp_error_set(err, CP_E_NOMEM, "no memory for the CSV parser");
    csv_set_blk_size(&split->parser, 4096);
    return CP_OK;
}

void cp_csv_split_free(cp_csv_split *split)
{
    csv_free(&split->parser);
}

void cp_csv_split_reset(cp_csv_split *split)
{
    /* The states that csv_init gives; csv_fini keeps the old ones when a strict check fails. */
    split->parser.pstate = 0;
    split->parser.quoted = 0;
    split->parser.spaces = 0;
    split->parser.entry_pos = 0;
    split->parser.status = 0;
    cp_fields_clear(split->fields);
    split->done = split->no_memory = split->stray_return = false;
}

static void take_field(void *bytes, size_t len, void *ctx)
{
    cp_csv_split *split = ctx;
    cp_fields *fields = split->fields;
    if (split->done)
        split->stray_return = true;
    if (split->no_memory || cp_fields_reserve(fields, len + 1) < 0) {
        split->no_memory = true;
        return;
    }
    const size_t offset = fields->used;
    const bool null = len == 2 && memcmp(bytes, "\\N", 2) == 0;
    if (bytes && !null)
        memcpy(fields->bytes + fields->used, bytes, len);
    fields->used += bytes && !null ? len : 0;
    cp_fields_add(fields, offset, null, !bytes);
}

static void take_end(int terminator, void *ctx)
{
    cp_csv_split *split = ctx;
    (void)terminator;
    split->done = true;
}

static int split_failed(cp_csv_split *split, size_t parsed, size_t len, cp_error *err)
{
    if (split->no_memory || csv_error(&split->parser) == CSV_ENOMEM)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a line of %zu bytes", len);
    if (split->stray_return)
        return cp_error_set(err, CP_E_PARSE, "a carriage return inside the line; put the field in quotes");
    return cp_error_set(
        err, CP_E_PARSE,
        "byte %zu: a quote in the wrong place; a field with quotes is written \"with \"\"quotes\"\"\"",
        parsed);
}

int cp_csv_split_line(cp_csv_split *split, const char *line, size_t len, bool last, cp_error *err)
{
    if (split->done)
        cp_csv_split_reset(split);
    const size_t parsed = csv_parse(&split->parser, line, len, take_field, take_end, split);
    bool failed = parsed != len;
    if (!failed && last && !split->done)
        failed = csv_fini(&split->parser, take_field, take_end, split) != 0;
    if (failed || split->no_memory || split->stray_return) {
        split_failed(split, parsed, len, err);
        const int code = split->no_memory ? CP_E_NOMEM : CP_E_PARSE;
        if (failed && last && parsed == len)
            cp_error_set(err, CP_E_PARSE, "the input ends inside a quoted field");
        cp_csv_split_reset(split);
        return code;
    }
    split->done = split->done || last; /* a last line of spaces alone begins no record */
    return split->done;
}
