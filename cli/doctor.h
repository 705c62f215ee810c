/* What `coldpath doctor` looks at: this host, the region, and the ClickHouse that the configuration names. Each check gives one or
 * more findings, each with what was found and what to do about it. */
#ifndef CP_CLI_DOCTOR_H
#define CP_CLI_DOCTOR_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <sys/types.h>

#include "recorder/config/config.h"

typedef enum cp_verdict {
    CP_VERDICT_OK,
    CP_VERDICT_ADVICE, /* works, and could be better: no reason for exit code 2 */
    CP_VERDICT_WRONG,
    CP_VERDICT_UNKNOWN /* could not be looked at */
} cp_verdict;

enum { CP_DOCTOR_FINDINGS = 128, CP_DOCTOR_TEXT = 512 };

typedef struct cp_finding {
    const char *check; /* "io_uring": a literal */
    cp_verdict verdict;
    char found[CP_DOCTOR_TEXT];
    char remedy[CP_DOCTOR_TEXT]; /* "" when there is nothing to do */
} cp_finding;

typedef struct cp_doctor {
    uint32_t count; /* further ones are not kept */
    cp_finding list[CP_DOCTOR_FINDINGS];
} cp_doctor;

/* Adds a finding; remedy is given to it by the next call. */
void cp_doctor_find(cp_doctor *doctor, const char *check, cp_verdict verdict, const char *fmt, ...)
    CP_PRINTF(4, 5);
void cp_doctor_remedy(cp_doctor *doctor, const char *fmt, ...) CP_PRINTF(2, 3);

/* memlock, huge pages, io_uring, kind of /dev/shm, RemoveIPC, CPU governor, open files, clock. region: its directory. */
void cp_doctor_host(cp_doctor *doctor, const cp_config *config, const char *region);

/* The region and its recorder; sizes of memory, shared memory and disks against what may be needed. */
void cp_doctor_region(cp_doctor *doctor, const cp_config *config, const char *region);

/* Of each endpoint: whether ClickHouse answers, its clock, deduplication windows, the declared tables against its own. Changes which
 * of them config prefers. */
void cp_doctor_server(cp_doctor *doctor, cp_config *config);

/* Whether logind removes the shared memory of a user whose last session ends, as its configuration files say, the later ones
 * overruling; without a word about it, it does. Files that are not there are passed over. */
bool cp_logind_removes_ipc(const char *const *files, size_t count);

#endif
