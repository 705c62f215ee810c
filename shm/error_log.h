/* The region's file of errors (abi.h draws it): what recorders warned of and failed at, each kind once, with first and last time and how
 * often; so that whoever looks finds it when the recorder and its log are gone.
 *
 * The recorder of the region writes, one thread at a time. A reader maps nothing: it reads the file into memory of its own, twice, and
 * believes of an entry only what was the same both times; lengths, numbers and characters are checked in the copy. */
#ifndef CP_SHM_ERROR_LOG_H
#define CP_SHM_ERROR_LOG_H

#include <coldpath/error.h>
#include <stdbool.h>

#include "shm/abi.h"

#define CP_ERROR_LOG_FILE "errors"

typedef struct cp_error_log {
    cp_abi_errors *header; /* the mapping; NULL: not open */
    cp_abi_error *entries;
    uint64_t device; /* which file it is: stat(2) */
    uint64_t inode;
    uint32_t pid; /* this process's: to ask each time would be a system call */
} cp_error_log;

/* What happened. The texts are cut to what an entry holds. */
typedef struct cp_error_event {
    uint32_t level;      /* cp_log_level */
    const char *table;   /* or "" */
    const char *message; /* with table, what makes two events the same */
    const char *detail;
    const char *remedy;
    uint64_t now_ns; /* real time */
} cp_error_event;

/* Opens the file of a region whose recorder's lock the caller holds, or makes it: of mode `mode`, and of group gid unless that is -1.
 * One that is not sound is replaced. Errors of making files. */
int cp_error_log_open(cp_error_log *log, const char *dir, unsigned mode, unsigned gid, cp_error *err);

/* Counts an event. Makes no system call and does not allocate. Nothing when it is not open, or when somebody made the file shorter: a
 * process that has installed the SIGBUS guard (shm/sigbus_guard.h) survives that, provided that this is not called inside of one. */
void cp_error_log_note(cp_error_log *log, const cp_error_event *event);

/* False when the file of dir is not, or not any more, the one that is open, whole: events are lost until it is opened anew. */
bool cp_error_log_is_whole(const cp_error_log *log, const char *dir);

void cp_error_log_close(cp_error_log *log);

/* What a reader gets: texts end, and have no control characters; count > 0, first_ns ≤ last_ns. */
typedef struct cp_error_view {
    uint64_t changes; /* goes up when something is noted */
    uint64_t displaced;
    uint32_t count;
    cp_abi_error entries[CP_ABI_ERRORS]; /* in the order in which they were noted last */
} cp_error_view;

/* Reads the file of the region in dir. CP_E_ABSENT: there is none, no recorder that makes one has run yet; CP_E_CORRUPT, CP_E_ABI,
 * CP_E_PERM, CP_E_IO. */
int cp_error_log_read(cp_error_view *view, const char *dir, cp_error *err);

#endif
