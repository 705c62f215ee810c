/* Who may ask the monitor: TLS with a certificate of the operator's, and a token that each request carries.
 *
 *     listening on        without both TLS and token
 *     127.0.0.1, ::1      served: programs of this host alone reach it
 *     any other address   refused, unless the configuration says that it is meant
 *
 * A token comes as "Authorization: Bearer TOKEN" (Prometheus, curl), or as the password of HTTP Basic authentication under any name,
 * which is how a browser asks a person for it. Tokens are compared in a time that does not depend on what they have in common.
 * Certificate, key and token are read when the monitor starts, and again when one of the files has changed (cp_monitor_renew): a
 * renewed certificate needs no restart, and what cannot be used changes nothing. */
#ifndef CP_MONITOR_ACCESS_H
#define CP_MONITOR_ACCESS_H

#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

enum {
    CP_TOKEN_MIN = 16, /* characters; what can be guessed is no protection */
    CP_TOKEN_MAX = 512
};

/* Files are PEM and text; NULL: none. */
typedef struct cp_access_config {
    const char *certificate_file; /* with the chain that leads to what clients trust */
    const char *key_file;         /* its key; others must not be able to read it */
    const char *token_file;       /* its first line is the token; likewise */
    bool health_open;             /* /healthz answers without the token */
    bool unprotected;             /* other hosts may ask without TLS or without a token */
} cp_access_config;

typedef struct cp_access {
    char *certificate; /* NULL: no TLS */
    char *key;
    char *token; /* NULL: who reaches the address may ask */
    bool health_open;
} cp_access;

/* Reads and checks the files. Errors name the file and what to do: CP_E_CONFIG (a half of TLS is missing, not protected enough for
 * the address), CP_E_PERM (everyone can read a secret), CP_E_ABSENT, CP_E_INVAL (no token in it), CP_E_IO, CP_E_NOMEM. On an error
 * *access is empty. */
int cp_access_load(cp_access *access, const cp_access_config *config, const cp_address *address,
                   cp_error *err);

enum { CP_ACCESS_FILES = 3 };

/* What the files are like from outside: it differs when one of them was changed, replaced, or given other rights. */
typedef struct cp_access_stamp {
    struct {
        uint64_t device;
        uint64_t inode;
        uint64_t size;
        int64_t changed_ns; /* real time; 0: not there */
    } files[CP_ACCESS_FILES];
} cp_access_stamp;

void cp_access_stamp_take(cp_access_stamp *stamp, const cp_access_config *config);
bool cp_access_stamp_equal(const cp_access_stamp *a, const cp_access_stamp *b);

/* Whether a given text is the token; NULL is none. Only with a token. */
bool cp_access_matches(const cp_access *access, const char *given);

/* Of the value of an Authorization header (or NULL): what follows "Bearer ", or NULL. */
const char *cp_access_bearer(const char *authorization);

/* Wipes and frees what it holds. */
void cp_access_free(cp_access *access);

#endif
