#include "embedded/lease.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(cp_fault *fault)
{
    return cp_fault_set(fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY, "Out of memory.");
}

/* Runs and frees a statement that was put together here; an empty one is nothing to do. */
static int run_text(cp_engine_conn *conn, cp_text *sql, cp_fault *fault)
{
    int code = sql->failed ? no_memory(fault) : 0;
    if (code == 0 && sql->length > 0)
        code = cp_engine_run(conn, sql->data, sql->length, fault);
    cp_text_free(sql);
    return code;
}

static int run_with_name(cp_engine_conn *conn, const char *verb, const char *name, cp_fault *fault)
{
    cp_text sql = {0};
    cp_text_print(&sql, "%s ", verb);
    cp_text_quote(&sql, '`', name, strlen(name));
    return run_text(conn, &sql, fault);
}

static int own_database_note(cp_lease *lease, cp_fault *fault)
{
    static const char text[] = "SELECT currentDatabase()";
    const cp_engine_sql sql = {.text = text, .length = sizeof text - 1, .format = "TSVRaw"};
    cp_engine_chunk chunk = {0};
    cp_engine_stats ignored = {0};
    if (cp_engine_query(lease->conn, &sql, &chunk, &ignored, fault) != 0)
        return fault->code;
    lease->own_database = strndup(chunk.data, chunk.length > 0 ? chunk.length - 1 : 0);
    cp_engine_chunk_free(lease->conn, &chunk);
    return lease->own_database ? 0 : no_memory(fault);
}

/* Settings as the request has them; the query id travels as log_comment, where system.processes shows it. */
static int settings_apply(const cp_lease *lease, cp_fault *fault)
{
    static const char readonly[] = "SET readonly = 2"; /* a server's rule for GET: settings yes, changes no */
    const cp_request *request = lease->request;
    bool readonly_given = false;
    bool comment_given = false;
    for (size_t i = 0; i < request->settings.count; i++) {
        const char *name = request->settings.names[i];
        readonly_given |= strcmp(name, "readonly") == 0 && strcmp(request->settings.values[i], "0") != 0;
        comment_given |= strcmp(name, "log_comment") == 0;
    }
    cp_text sql = {0};
    cp_request_set(request, &sql);
    if (request->query_id && !comment_given) {
        cp_text_print(&sql, "%slog_comment = ", sql.length == 0 ? "SET " : ", ");
        cp_text_quote(&sql, '\'', request->query_id, strlen(request->query_id));
    }
    const int code = run_text(lease->conn, &sql, fault);
    if (code == 0 && lease->readonly && !readonly_given)
        return cp_engine_run(lease->conn, readonly, sizeof readonly - 1, fault);
    return code;
}

static bool is_given(const char *parameter)
{
    return parameter && parameter[0] != '\0';
}

int cp_lease_take(cp_lease *lease, cp_fault *fault)
{
    const cp_request *request = lease->request;
    int code = 0;
    if (lease->conn)
        return 0;
    if (is_given(request->session_id))
        code = cp_sessions_take(lease->sessions, request->session_id, request->session_check, &lease->session,
                                &lease->conn, fault);
    else
        code = cp_engine_connect(lease->engine, &lease->conn, fault);
    if (code == 0 && is_given(request->database) && lease->session)
        code = own_database_note(lease, fault);
    if (code == 0 && is_given(request->database))
        code = run_with_name(lease->conn, "USE", request->database, fault);
    if (code == 0 && is_given(request->role))
        code = run_with_name(lease->conn, "SET ROLE", request->role, fault);
    return code == 0 ? settings_apply(lease, fault) : code;
}

static void session_give(const cp_lease *lease)
{
    cp_fault fault = {0};
    cp_text sql = {0};
    if (lease->readonly) {
        cp_text_print(&sql, "SET readonly = DEFAULT");
        run_text(lease->conn, &sql, &fault);
    }
    cp_request_unset(lease->request, &sql);
    cp_text_print(&sql, "%slog_comment = DEFAULT", sql.length == 0 ? "SET " : ", ");
    run_text(lease->conn, &sql, &fault);
    if (lease->own_database)
        run_with_name(lease->conn, "USE", lease->own_database, &fault);
    const bool end = fault.code != 0 || lease->request->close_session;
    cp_fault_clear(&fault);
    cp_sessions_give(lease->sessions, lease->session, lease->request->session_timeout, end);
}

void cp_lease_give(cp_lease *lease)
{
    if (lease->session)
        session_give(lease);
    else
        cp_engine_disconnect(lease->conn);
    free(lease->own_database);
    lease->own_database = NULL;
    lease->session = NULL;
    lease->conn = NULL;
}
