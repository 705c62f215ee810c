/* The file that takes what cannot be imported, one JSON object a line, for people and for `coldpath put`:
 *
 *     {"import":"…","source":"writer.sqlite3","id":17,"table":"trade_events","error":"…","payload":"{\"ts\":…}"}
 *
 * A line is on disk before its row leaves the source. An import that was killed in between meets the row again: a source's rows
 * come in the order of their ids, so what the file's last line of the same stage (import) and source says is there already is
 * not written twice. A line that was cut off by a kill is taken away when the file is opened. */
#ifndef CP_CLI_IMPORT_REJECTS_H
#define CP_CLI_IMPORT_REJECTS_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cp_rejects {
    const char *path;
    uint64_t import_id; /* of the stage: another one has rows of its own, though source and ids be the same */
    FILE *file;         /* NULL: nothing was written yet */
    char *last_source;
    int64_t last_id;
    bool dirty;
    uint64_t rows;
} cp_rejects;

/* path must outlive it. A file that is there is gone on with. */
int cp_rejects_open(cp_rejects *quarantine, const char *path, uint64_t import_id, cp_error *err);

int cp_rejects_add(cp_rejects *quarantine, const char *source, int64_t id, const char *table, const char *why,
                   const char *payload, size_t len, cp_error *err);

/* Waits until what was added is on disk. */
int cp_rejects_sync(cp_rejects *quarantine, cp_error *err);

void cp_rejects_close(cp_rejects *quarantine);

#endif
