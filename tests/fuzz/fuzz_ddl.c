/* Fuzz target: any bytes as a CREATE TABLE. What parses must hold together: its own statement parses to the same table,
 * its header is written, a row of it can be begun and checked, and bytes off the input taken for a row are either refused
 * or stay inside. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/best_effort.h"
#include "schema/drift.h"
#include "schema/expression.h"
#include "schema/row.h"
#include "schema/table.h"
#include "tests/fuzz/fuzz.h"

static void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_ddl: broken promise: %s\n", what);
        abort();
    }
}

/* Rows: an empty one, one whose every column is set from bits of the input, and the input itself as a row. */
static void rows_try(const cp_table *table, const uint8_t *data, size_t size)
{
    const uint32_t room = table->row_size + 4096;
    uint8_t *bytes = aligned_alloc(8, room);
    cp_row row;
    cp_error err;
    must(bytes != NULL && cp_row_begin(&row, table, bytes, room) == CP_OK, "a row begins in room enough");
    for (uint32_t i = 0; i < table->column_count && size > 0; i++) {
        const size_t at = (i * (size_t)7919) % size;
        const size_t len = size - at < 24 ? size - at : 24;
        (void)cp_row_set_text(&row, i, (const char *)data + at, len, &err);
    }
    if (cp_row_end(&row, &err) == CP_OK)
        must(cp_row_check(table, bytes, row.used, &err) == CP_OK,
             "what cp_row_end accepts cp_row_check accepts");
    if (size <= room) {
        memcpy(bytes, data, size);
        (void)cp_row_check(table, bytes, (uint32_t)size, &err);
    }
    free(bytes);
}

/* What else is made of a table: the forms for other languages, and its twin in a cluster, in which nothing differs. */
static void forms_try(const cp_table *table)
{
    static char *(*const makers[])(const cp_table *) = {cp_table_cpp_header, cp_table_descriptor,
                                                        cp_table_pyi};
    const cp_drift_target target = {"d", "c", true};
    cp_drifts drifts = {0};
    cp_table *twin = NULL;
    cp_error err = {0, ""};
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        char *text = makers[i](table);
        must(text != NULL, "a form of it");
        free(text);
    }
    cp_drift_table(&drifts, &target, table, table);
    must(drifts.count == 0, "a table does not differ from itself");
    cp_drift_table(&drifts, &target, table, NULL);
    cp_drift_front(&drifts, &target, table, NULL);
    must(drifts.count == 2 && drifts.items[0].statement && drifts.items[1].statement,
         "a table that is missing is made, and the one in front");
    const char *local = drifts.items[0].statement;
    const int code = cp_table_parse(&twin, "twin", local, strlen(local), &err);
    must(code == CP_OK || code == CP_E_TOO_BIG, "its twin parses, unless its name has become too long");
    must(code != CP_OK || twin->row_size == table->row_size, "and has the same row");
    cp_table_free(twin);
    cp_drifts_clear(&drifts);
}

/* The same bytes as a view, and as an expression. */
static void others_try(const uint8_t *data, size_t size)
{
    cp_view *view = NULL;
    cp_error err = {0, ""};
    const int code = cp_view_parse(&view, "fuzz", (const char *)data, size, &err);
    must((code == CP_OK) == (view != NULL), "a view or an error");
    must(code == CP_OK || strncmp(err.text, "fuzz:", 5) == 0,
         "a view's errors begin with file, line and column");
    cp_view_free(view);
    char *text = strndup((const char *)data, size);
    must(text != NULL && cp_expression_equal(text, text), "an expression equals itself");
    uint64_t seconds = 0;
    free(cp_ttl_split(text, &seconds));
    (void)cp_codec_equal(text, "Delta(8), ZSTD(1)");
    free(text);
    char strict[CP_BEST_EFFORT_TEXT];
    const cp_type type = {.kind = CP_DATETIME64, .precision = 9};
    const size_t len = cp_best_effort_time(&type, (const char *)data, size, strict);
    must(len < sizeof strict && (len == 0 || strlen(strict) == len), "a time of best effort fits its room");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    others_try(data, size);
    cp_table *table = NULL;
    cp_table *again = NULL;
    cp_error err = {0, ""};
    const int code = cp_table_parse(&table, "fuzz", (const char *)data, size, &err);
    must((code == CP_OK) == (table != NULL), "a table or an error");
    if (code != CP_OK) {
        must(err.code == code && strncmp(err.text, "fuzz:", 5) == 0,
             "errors begin with file, line and column");
        return 0;
    }
    must(cp_table_parse(&again, NULL, table->create, strlen(table->create), &err) == CP_OK,
         "create parses again");
    must(again->schema_hash == table->schema_hash && again->row_size == table->row_size,
         "and gives the same row");
    must(cp_table_compare(table, "a", again, "b", &err) == CP_OK, "and the same columns");
    char *header = cp_table_c_header(table);
    must(header != NULL, "a header");
    free(header);
    forms_try(table);
    rows_try(table, data, size);
    cp_table_free(again);
    cp_table_free(table);
    return 0;
}
