/* Named sessions: a connection that requests with the same session_id share, one at a time, with its
 * temporary tables and settings, until it was not used for its timeout. A bounded table; expired ones go when
 * it is touched. */
#ifndef CP_EMBEDDED_SESSION_H
#define CP_EMBEDDED_SESSION_H

#include <stdbool.h>

#include "embedded/engine.h"
#include "embedded/fault.h"

enum { CP_SESSIONS = 64 }; /* each holds a context of the engine, some 100 KiB */

typedef struct cp_sessions cp_sessions;
typedef struct cp_session cp_session;

/* NULL when memory is out. Thread-safe from then on. */
cp_sessions *cp_sessions_new(cp_engine *engine);

/* Closes all; none may be in use. */
void cp_sessions_free(cp_sessions *sessions);

/* Takes the session of that name for one request, making it if it must not exist already. Fault 372 when it
 * must, 373 while another request has it. *conn is its connection. */
int cp_sessions_take(cp_sessions *sessions, const char *name, bool must_exist, cp_session **session,
                     cp_engine_conn **conn, cp_fault *fault);

/* Gives it back, to live for timeout seconds more, or ends it. */
void cp_sessions_give(cp_sessions *sessions, cp_session *session, unsigned timeout, bool end);

#endif
