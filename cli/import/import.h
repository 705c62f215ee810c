/* An import under way: what sources and delivery share.
 *
 *     source ──fill──► stage ──deliver──► ring ──► coldpathd ──► safe: out of the stage
 *        └── rows that are none ──► quarantine file
 *
 * Killed at any moment, an import run again goes on where it was: each row is in the source, in the stage, or safe, and what
 * was on its way in between is found out (stage.h, span.h). */
#ifndef CP_CLI_IMPORT_IMPORT_H
#define CP_CLI_IMPORT_IMPORT_H

#include <coldpath/coldpath.h>
#include <limits.h>
#include <signal.h>

#include "cli/import/rejects.h"
#include "cli/import/stage.h"
#include "cli/json_row.h"
#include "schema/row.h"

typedef enum cp_in_doubt { CP_DOUBT_ASK, CP_DOUBT_PUT, CP_DOUBT_DROP } cp_in_doubt;

/* A table of the region that rows go to. */
typedef struct cp_import_table {
    const cp_table *table;
    uint32_t row_max;
    cp_json_row json;
    bool json_ready;
    uint64_t staged;
    uint64_t quarantined;
} cp_import_table;

typedef struct cp_import {
    const char *region_path;
    cp_region *region;
    cp_import_table *tables;
    uint32_t table_count;
    cp_staging stage;
    cp_rejects quarantine;
    bool skip_unknown;
    bool defaults_for_null; /* null in a column that is not Nullable: its default */
    bool
        best_effort; /* a row that the strict way refuses: times as date_time_input_format=best_effort, Decimals cut to their scale */
    cp_in_doubt in_doubt;
    uint64_t timeout_ns; /* without progress */
    void *row_buffer;    /* CP_MAX_ROW bytes, 8-byte aligned */
    uint64_t put;
    uint64_t resumed; /* of them, put by an import before this one */
    uint64_t dropped; /* in doubt, and given up */
    uint64_t left;    /* rows whose table the region has not: they stay where they are */
} cp_import;

/* Set by a signal: everything stops at the next row. */
extern volatile sig_atomic_t cp_import_stopped;

/* The table of that name, without the database in front ("hft.orders"); NULL when the region has none. */
cp_import_table *cp_import_find(cp_import *import, const char *name, size_t len);

/* Makes a row of one JSON object: CP_OK with row->used bytes in import->row_buffer, or CP_E_PARSE and err. */
int cp_import_json(cp_import *import, cp_import_table *table, const char *text, size_t len, cp_row *row,
                   cp_error *err);

/* Where rows come from. fill stages about `rows` of them, in a transaction of its own, and says how many rows it has seen:
 * 0 there are none just now, or an error. */
typedef struct cp_import_source {
    int (*fill)(void *self, cp_import *import, int rows, cp_error *err);
    void *self;
} cp_import_source;

/* Settles what an import before this one left behind. */
int cp_import_resume(cp_import *import, cp_error *err);

/* Moves everything, until the source has nothing more and all is safe; with follow for ever. CP_E_TIMEOUT, with what is
 * waited for; CP_OK also when it was stopped. */
int cp_import_run(cp_import *import, const cp_import_source *source, bool follow, cp_error *err);

/* The sources. Each is opened with the import's region, tables and stage ready. */
int cp_import_spool_fill(void *self, cp_import *import, int rows,
                         cp_error *err); /* self: a cp_import_spool */
typedef struct cp_import_spool {
    int64_t cursor; /* rows up to here were looked at */
} cp_import_spool;

struct cp_row_source;
typedef struct cp_import_file {
    cp_import_table *table;
    const char *path;
    struct cp_row_source *source;
    FILE *rejects; /* the bytes of the line that was rejected last */
    char *rejected;
    size_t rejected_len;
    int64_t done;        /* lines staged before */
    int64_t last;        /* line that was read last */
    cp_error problem;    /* why reading ended early: said when what was read before is safe */
    char name[PATH_MAX]; /* the path without symbolic links: what is noted about the file stands under it */
} cp_import_file;
struct cp_row_source_options;
int cp_import_file_open(cp_import_file *file, cp_import *import, const struct cp_row_source_options *options,
                        cp_import_table *table, cp_error *err);
int cp_import_file_fill(void *self, cp_import *import, int rows, cp_error *err);
void cp_import_file_close(cp_import_file *file);

struct cp_line_reader;
typedef struct cp_import_wal {
    const char *dir;
    char *const *maps; /* "FROM=TO", ended by NULL */
    char **names;      /* the files, in their order */
    size_t count;
    size_t next;
    char path[PATH_MAX]; /* of the one being read */
    struct cp_line_reader *reader;
    cp_import_table *table; /* of the lines that come; NULL: the region has none */
    char key[PATH_MAX +
             NAME_MAX]; /* file and table as it calls it: what is staged of that is noted under this */
    int64_t done;       /* line of these up to which they are staged */
    int64_t last;       /* the same, not noted yet */
    cp_error problem;   /* of the first file that could not be read; the others are */
} cp_import_wal;
int cp_import_wal_open(cp_import_wal *wal, const char *dir, char *const *maps, cp_error *err);
int cp_import_wal_fill(void *self, cp_import *import, int rows, cp_error *err);
void cp_import_wal_close(cp_import_wal *wal);

#endif
