/* A file that is there whole or not at all: written beside its place, as <path>.part, made durable, then renamed. */
#ifndef CP_CLI_WHOLE_FILE_H
#define CP_CLI_WHOLE_FILE_H

#include <coldpath/error.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cp_whole_file {
    FILE *stream;
    uint64_t bytes;
    char path[PATH_MAX];
    char part[PATH_MAX];
} cp_whole_file;

/* Begins. Without replace an existing file is refused (CP_E_INVAL), now and at the end; a .part of an earlier run that did
 * not end is begun anew. CP_E_IO, CP_E_PERM, CP_E_TOO_BIG (the path). */
int cp_whole_file_begin(cp_whole_file *file, const char *path, bool replace, cp_error *err);

/* A cp_query_sink: appends to the file in ctx. */
int cp_whole_file_write(void *ctx, const void *data, size_t size);

/* Puts the file in its place. */
int cp_whole_file_end(cp_whole_file *file, bool replace, cp_error *err);

/* Takes it back. */
void cp_whole_file_drop(cp_whole_file *file);

#endif
