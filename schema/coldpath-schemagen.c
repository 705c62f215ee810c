/* coldpath-schemagen DDL HEADER: reads one CREATE TABLE, writes the C header of its typed row. The build runs it, see
 * cp_generate_rows in cmake/rows.cmake. The header appears whole or not at all: it is written beside and renamed. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "schema/table.h"

static int header_save(const char *path, const char *text)
{
    char *beside = NULL;
    if (asprintf(&beside, "%s.new", path) < 0) {
        fprintf(stderr, "coldpath-schemagen: out of memory\n");
        return EXIT_FAILURE;
    }
    FILE *out = fopen(beside, "we");
    const int written = out ? fputs(text, out) : EOF;
    const int closed = out ? fclose(out) : EOF;
    const int renamed = written != EOF && closed != EOF ? rename(beside, path) : -1;
    if (renamed != 0) {
        perror(beside);
        remove(beside);
    }
    free(beside);
    return renamed == 0 ? EXIT_SUCCESS : EX_IOERR;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: coldpath-schemagen DDL HEADER\n"
                        "Reads a file with one CREATE TABLE and writes the C header of its typed row.\n");
        return EX_USAGE;
    }
    cp_table *table = NULL;
    cp_error err;
    if (cp_table_load(&table, argv[1], &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    char *text = cp_table_c_header(table);
    if (!text)
        fprintf(stderr, "coldpath-schemagen: out of memory\n");
    const int status = text ? header_save(argv[2], text) : EXIT_FAILURE;
    free(text);
    cp_table_free(table);
    return status;
}
