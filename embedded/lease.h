/* A connection to the engine for the time of one request: taken as the request wants it, given back as it was found.
 *
 *   take ──► a session's, or a new one ──► USE database ──► SET ROLE ──► SET settings ──► … ──► give
 *                                                                                               │
 *                 the session, with its own settings and database again  ◄──────────────────────┤
 *                 closed: the connection was new                         ◄──────────────────────┘ */
#ifndef CP_EMBEDDED_LEASE_H
#define CP_EMBEDDED_LEASE_H

#include <stdbool.h>

#include "embedded/engine.h"
#include "embedded/request.h"
#include "embedded/session.h"

/* The first four are its owner's to set, and must outlive it; conn is for all to use; the others are private. */
typedef struct cp_lease {
    cp_engine *engine;
    cp_sessions *sessions;
    const cp_request *request;
    bool readonly;        /* nothing may be changed */
    cp_engine_conn *conn; /* NULL: not taken */
    cp_session *session;  /* NULL: the connection is this request's alone */
    char *own_database;   /* the session's, to go back to when the request asked for another */
} cp_lease;

/* Takes it; nothing to do when it is taken. Afterwards conn may be there even though there is a fault: give it back. May wait for a
 * session or a place in the engine. Returns the fault's code, or 0. */
int cp_lease_take(cp_lease *lease, cp_fault *fault);

/* Gives it back; nothing to do when it is not taken. A session that cannot be left as it was is ended. */
void cp_lease_give(cp_lease *lease);

#endif
