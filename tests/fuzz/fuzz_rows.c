/* Fuzz target: any bytes as rows in JSONEachRow, CSV or TSV; the first byte says which, with a header or not. A line costs itself alone,
 * so reading comes to an end; and what is taken for a row is one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/row_source.h"
#include "tests/fuzz/fuzz.h"

#define DDL                                                                                                  \
    "CREATE TABLE t (u UInt64, i Int64, f Float64, d Decimal(38, 8), s String, n Nullable(Int32), "          \
    "a Array(Int32), t Array(Nullable(String)), at DateTime64(9, 'UTC'), day Date, id UUID, ip IPv6, "       \
    "e Enum8('x' = 1), b Bool, w String DEFAULT 'x') ENGINE = MergeTree ORDER BY u"

enum { ROW_BYTES = 1024 * 1024 };

static cp_table *table;
static _Alignas(8) uint8_t buffer[ROW_BYTES];

static void rows_read(cp_row_source *source, size_t size)
{
    cp_error err = {0};
    cp_row row;
    int rc = 1;
    for (size_t calls = 0; rc == 1 || rc == CP_E_PARSE; calls++) {
        rc = cp_row_source_next(source, &row, buffer, sizeof buffer, &err);
        /* No more rows and complaints than there are bytes. */
        if (calls > size + 1 || (rc == 1 && cp_row_check(table, buffer, row.used, &err) < 0))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cp_error err = {0};
    if (!table && cp_table_parse(&table, NULL, DDL, strlen(DDL), &err) < 0)
        abort();
    if (size == 0)
        return 0;
    char path[64];
    const int fd = memfd_create("rows", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    cp_row_source *source = NULL;
    const cp_row_source_options options = {.path = path,
                                           .format = (cp_format)(data[0] % 3),
                                           .header = data[0] & 16,
                                           .skip_unknown = data[0] & 32,
                                           .best_effort = data[0] & 64};
    if (cp_row_source_open(&source, &options, table, &err) == CP_OK) {
        rows_read(source, size);
        cp_row_source_close(source);
    }
    close(fd);
    return 0;
}
