/* The real captures of market data, where they are at hand: every row of them must go into the shipped tables' types,
 * without rounding, and pass the check of the drain. COLDPATH_TEST_DATA names their directory. */
#include <unistd.h>
#include <zlib.h>

#include "tests/schema/fixture.h"

enum { LINE_ROOM = 1024, FIELDS = 16, ROW_ROOM = 1024 };

typedef struct capture {
    const char *file;
    const char *ddl;
    unsigned rows;
    const char *columns[FIELDS]; /* of the table, in the order of the file's fields */
} capture;

static const capture captures[] = {
    {"derived_binance_l2.csv.gz",
     "schema/ddl/l2_updates.sql",
     1046204,
     {"recv_ts", "exch_ts", "venue", "symbol", "first_update_id", "final_update_id", "side", "price", "qty",
      NULL}},
    {"derived_binance_bbo.csv.gz",
     "schema/ddl/quotes.sql",
     165215,
     {"recv_ts", "exch_ts", "venue", "symbol", "update_id", "bid_px", "bid_qty", "ask_px", "ask_qty", NULL}},
    {"derived_binance_trades.csv.gz",
     "schema/ddl/trades.sql",
     45536,
     {"recv_ts", "exch_ts", "venue", "symbol", "trade_id", "price", "qty", "buyer_is_maker", NULL}},
};

static const char *data_directory(void)
{
    const char *path = getenv("COLDPATH_TEST_DATA");
    return path ? path : "../shared/data";
}

/* Puts one line's fields into a row; an empty field is NULL. */
static void line_put(const capture *from, const cp_table *table, char *line, unsigned number)
{
    _Alignas(8) uint8_t bytes[ROW_ROOM];
    cp_row row;
    cp_error err = {0, ""};
    assert_int_equal(cp_row_begin(&row, table, bytes, sizeof bytes), CP_OK);
    char *rest = line;
    for (unsigned i = 0; from->columns[i]; i++) {
        const char *field = strsep(&rest, ",");
        assert_non_null(field);
        const uint32_t column = column_of(table, from->columns[i]);
        const int code = *field ? cp_row_set_text(&row, column, field, strlen(field), &err)
                                : cp_row_set_null(&row, column, &err);
        if (code < 0)
            fail_msg("%s:%u: %s", from->file, number, err.text);
    }
    assert_null(rest);
    if (cp_row_end(&row, &err) < 0 || cp_row_check(table, bytes, row.used, &err) < 0)
        fail_msg("%s:%u: %s", from->file, number, err.text);
}

static void capture_fits(const capture *from)
{
    char path[512];
    char line[LINE_ROOM];
    snprintf(path, sizeof path, "%s/%s", data_directory(), from->file);
    gzFile file = gzopen(path, "rb");
    assert_non_null(file);
    cp_table *table = table_load(from->ddl);
    unsigned rows = 0;
    assert_non_null(gzgets(file, line, sizeof line)); /* the names */
    while (gzgets(file, line, sizeof line)) {
        line[strcspn(line, "\r\n")] = '\0';
        line_put(from, table, line, ++rows + 1);
    }
    gzclose(file);
    cp_table_free(table);
    assert_int_equal(rows, from->rows);
}

static void l2_fits(void **state)
{
    (void)state;
    capture_fits(&captures[0]);
}

static void quotes_fit(void **state)
{
    (void)state;
    capture_fits(&captures[1]);
}

static void trades_fit(void **state)
{
    (void)state;
    capture_fits(&captures[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l2_fits),
        cmocka_unit_test(quotes_fit),
        cmocka_unit_test(trades_fit),
    };
    if (access(data_directory(), R_OK) != 0) {
        printf("skipped: no market data at %s\n", data_directory());
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
