#include "embedded/session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { GRACE_SECONDS = 60 }; /* for a session whose request did not get its turn */

struct cp_session {
    char *name; /* NULL: the slot is free */
    cp_engine_conn *conn;
    uint64_t expires_ns;
    bool busy;
};

struct cp_sessions {
    cp_engine *engine;
    pthread_mutex_t lock;
    cp_session slots[CP_SESSIONS];
};

cp_sessions *cp_sessions_new(cp_engine *engine)
{
    cp_sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions && pthread_mutex_init(&sessions->lock, NULL) != 0) {
        free(sessions);
        return NULL;
    }
    if (sessions)
        sessions->engine = engine;
    return sessions;
}

static void session_end(cp_session *session)
{
    cp_engine_disconnect(session->conn);
    free(session->name);
    *session = (cp_session){0};
}

void cp_sessions_free(cp_sessions *sessions)
{
    if (!sessions)
        return;
    for (int i = 0; i < CP_SESSIONS; i++)
        session_end(&sessions->slots[i]);
    pthread_mutex_destroy(&sessions->lock);
    free(sessions);
}

/* The slot of that name, or a free one (name NULL), or NULL when there is neither. Ends what has expired. */
static cp_session *slot_find(cp_sessions *sessions, const char *name)
{
    const uint64_t now = cp_boottime_ns();
    cp_session *unused = NULL;
    cp_session *found = NULL;
    for (int i = 0; i < CP_SESSIONS; i++) {
        cp_session *slot = &sessions->slots[i];
        if (slot->name && !slot->busy && slot->expires_ns < now)
            session_end(slot);
        if (!slot->name)
            unused = slot;
        else if (strcmp(slot->name, name) == 0)
            found = slot;
    }
    return found ? found : unused;
}

/* Under the lock: makes the slot ours, or says why not. */
static int slot_claim(cp_sessions *sessions, const char *name, bool must_exist, cp_session **session,
                      cp_fault *fault)
{
    cp_session *slot = slot_find(sessions, name);
    if (slot && slot->busy) {
        return cp_fault_set(fault, CP_FAULT_SESSION_IS_LOCKED, "Session %s is locked by a concurrent client.",
                            name);
    }
    if (must_exist && (!slot || !slot->name))
        return cp_fault_set(fault, CP_FAULT_SESSION_NOT_FOUND, "Session %s not found.", name);
    if (!slot) {
        return cp_fault_set(fault, CP_FAULT_TOO_MANY_SIMULTANEOUS_QUERIES, "More than %d sessions at a time.",
                            CP_SESSIONS);
    }
    if (!slot->name) {
        slot->name = strdup(name);
        if (!slot->name)
            return cp_fault_set(fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY, "Out of memory.");
    }
    slot->busy = true;
    *session = slot;
    return 0;
}

int cp_sessions_take(cp_sessions *sessions, const char *name, bool must_exist, cp_session **session,
                     cp_engine_conn **conn, cp_fault *fault)
{
    cp_session *slot = NULL;
    pthread_mutex_lock(&sessions->lock);
    int code = slot_claim(sessions, name, must_exist, &slot, fault);
    pthread_mutex_unlock(&sessions->lock);
    if (code != 0 || !slot)
        return code;
    code = slot->conn ? cp_engine_unpark(slot->conn, fault)
                      : cp_engine_connect(sessions->engine, &slot->conn, fault);
    if (code != 0) {
        cp_sessions_give(sessions, slot, GRACE_SECONDS, slot->conn == NULL);
        return code;
    }
    *session = slot;
    *conn = slot->conn;
    return 0;
}

void cp_sessions_give(cp_sessions *sessions, cp_session *session, unsigned timeout, bool end)
{
    pthread_mutex_lock(&sessions->lock);
    session->busy = false;
    if (end) {
        session_end(session);
    } else {
        cp_engine_park(session->conn);
        session->expires_ns = cp_boottime_ns() + (uint64_t)timeout * CP_NS_PER_S;
    }
    pthread_mutex_unlock(&sessions->lock);
}
