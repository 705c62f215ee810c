#include "embedded/engine.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

/* chdb.h: handles are pointers to opaque structs. chdb_connect gives a pointer to one. */
typedef void *chdb_handle;

typedef struct chdb_query_analysis { /* chdb_query_analysis_v1 */
    uint32_t struct_size;
    uint32_t statement_count;
    uint32_t flags;
    uint32_t query_class;
} chdb_query_analysis;

typedef struct chdb_api {
    void (*set_signal_handlers_enabled)(int enabled);
    chdb_handle *(*connect)(int argc, char **argv);
    void (*close_conn)(chdb_handle *conn);
    void *(*query_with_params)(chdb_handle conn, const char *text, size_t length, const char *format,
                               size_t format_length, const char *const *names, const size_t *name_lengths,
                               const char *const *values, const size_t *value_lengths, size_t count);
    void *(*stream_query_with_params)(chdb_handle conn, const char *text, size_t length, const char *format,
                                      size_t format_length, const char *const *names,
                                      const size_t *name_lengths, const char *const *values,
                                      const size_t *value_lengths, size_t count);
    void *(*stream_fetch_result)(chdb_handle conn, void *result);
    void (*stream_cancel_query)(chdb_handle conn, void *result);
    void *(*stream_insert_with_params)(chdb_handle conn, const char *text, size_t length, const char *format,
                                       size_t format_length, const char *const *names,
                                       const size_t *name_lengths, const char *const *values,
                                       const size_t *value_lengths, size_t count);
    int (*stream_append)(void *insert, const void *data, size_t length);
    void *(*stream_done)(void *insert);
    void (*stream_cancel_insert)(void *insert);
    const char *(*stream_insert_error)(void *insert);
    void (*destroy_insert_stream)(void *insert);
    char *(*result_buffer)(void *result);
    size_t (*result_length)(void *result);
    const char *(*result_error)(void *result);
    uint64_t (*result_rows_read)(void *result);
    uint64_t (*result_bytes_read)(void *result);
    uint64_t (*result_storage_rows_read)(void *result);
    uint64_t (*result_storage_bytes_read)(void *result);
    uint64_t (*result_rows_written)(void *result);
    uint64_t (*result_bytes_written)(void *result);
    void (*destroy_query_result)(void *result);
    int (*classify_query)(chdb_handle conn, const char *text, size_t length, const char *database,
                          size_t database_length, chdb_query_analysis *analysis);
} chdb_api;

typedef struct symbol {
    const char *name;
    size_t offset;
} symbol;

#define SYMBOL(member, name)                                                                                 \
    {                                                                                                        \
        name, offsetof(chdb_api, member)                                                                     \
    }

static const symbol symbols[] = {
    SYMBOL(set_signal_handlers_enabled, "chdb_set_signal_handlers_enabled"),
    SYMBOL(connect, "chdb_connect"),
    SYMBOL(close_conn, "chdb_close_conn"),
    SYMBOL(query_with_params, "chdb_query_with_params_n"),
    SYMBOL(stream_query_with_params, "chdb_stream_query_with_params_n"),
    SYMBOL(stream_fetch_result, "chdb_stream_fetch_result"),
    SYMBOL(stream_cancel_query, "chdb_stream_cancel_query"),
    SYMBOL(stream_insert_with_params, "chdb_stream_insert_with_params_n"),
    SYMBOL(stream_append, "chdb_stream_append"),
    SYMBOL(stream_done, "chdb_stream_done"),
    SYMBOL(stream_cancel_insert, "chdb_stream_cancel_insert"),
    SYMBOL(stream_insert_error, "chdb_stream_insert_error"),
    SYMBOL(destroy_insert_stream, "chdb_destroy_insert_stream"),
    SYMBOL(result_buffer, "chdb_result_buffer"),
    SYMBOL(result_length, "chdb_result_length"),
    SYMBOL(result_error, "chdb_result_error"),
    SYMBOL(result_rows_read, "chdb_result_rows_read"),
    SYMBOL(result_bytes_read, "chdb_result_bytes_read"),
    SYMBOL(result_storage_rows_read, "chdb_result_storage_rows_read"),
    SYMBOL(result_storage_bytes_read, "chdb_result_storage_bytes_read"),
    SYMBOL(result_rows_written, "chdb_result_rows_written"),
    SYMBOL(result_bytes_written, "chdb_result_bytes_written"),
    SYMBOL(destroy_query_result, "chdb_destroy_query_result"),
    SYMBOL(classify_query, "chdb_classify_query_n"),
};

struct cp_engine {
    chdb_api api;
    char *path_argument;
    char *config_argument; /* NULL: none */
    char threads_argument[40];
    chdb_handle
        *keeper; /* open for the engine's life: closing the last connection would shut the engine down */
    char version[32];
    char timezone[64];
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned turns_free;
    unsigned wait_seconds;
};

struct cp_engine_conn {
    cp_engine *engine;
    chdb_handle *handle;
    void *stream;
    bool holds_turn;
};

struct cp_engine_insert {
    cp_engine_conn *conn;
    void *stream;
};

static int engine_load(cp_engine *engine, const char *library, cp_error *err)
{
    if (access(library, R_OK) != 0)
        return cp_error_errno(err, CP_E_ABSENT, errno, "cannot read the engine's library %s", library);
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return cp_error_set(err, CP_E_ABI, "cannot load %s: %s", library, dlerror());
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (!address) {
            return cp_error_set(err, CP_E_ABI, "%s has no function %s: it is not chDB 26.7 or newer", library,
                                symbols[i].name);
        }
        memcpy((char *)&engine->api + symbols[i].offset, &address, sizeof address);
    }
    return CP_OK;
}

static chdb_handle *engine_dial(cp_engine *engine)
{
    static char name[] = "clickhouse";
    static char implicit_select[] = "--implicit_select=0"; /* chDB's default 1 takes any word for a SELECT */
    static char introspection[] = "--allow_introspection_functions=0"; /* as on a server */
    char *argv[7] = {name, engine->path_argument, implicit_select, introspection};
    int argc = 4;
    if (engine->config_argument)
        argv[argc++] = engine->config_argument;
    if (engine->threads_argument[0] != '\0')
        argv[argc++] = engine->threads_argument;
    argv[argc] = NULL;
    return engine->api.connect(argc, argv);
}

/* Takes the directory's lock for a moment, as the engine will: it names the holder better than the engine
 * does. */
static int directory_probe(const char *directory, cp_error *err)
{
    char path[4096];
    const int length = snprintf(path, sizeof path, "%s/status", directory);
    if (length < 0 || (size_t)length >= sizeof path)
        return cp_error_set(err, CP_E_INVAL, "the data directory's name is too long");
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT
                   ? CP_OK
                   : cp_error_errno(err, cp_error_code_of_errno(errno), errno, "cannot open %s", path);
    }
    const int locked = flock(fd, LOCK_EX | LOCK_NB);
    const int why = errno;
    close(fd);
    if (locked != 0 && why == EWOULDBLOCK) {
        return cp_error_set(
            err, CP_E_BUSY,
            "the data directory %s is in use by another engine (%s says which process): stop it, or "
            "choose another directory with --path",
            directory, path);
    }
    return CP_OK;
}

/* Asks the engine for what never changes. */
static int engine_learn(cp_engine *engine, cp_error *err)
{
    cp_engine_conn *conn = NULL;
    cp_fault fault = {0};
    cp_engine_stats stats = {0};
    cp_engine_chunk chunk = {0};
    static const char text[] = "SELECT version(), timezone()";
    const cp_engine_sql sql = {.text = text, .length = sizeof text - 1, .format = "TSV"};
    if (cp_engine_connect(engine, &conn, &fault) == 0 && conn &&
        cp_engine_query(conn, &sql, &chunk, &stats, &fault) == 0) {
        char line[128];
        snprintf(line, sizeof line, "%.*s", (int)(chunk.length < 100 ? chunk.length : 100), chunk.data);
        if (sscanf(line, "%31[^\t\n]\t%63[^\t\n]", engine->version, engine->timezone) != 2)
            cp_fault_set(&fault, CP_FAULT_ENGINE, "Strange answer to SELECT version()");
        cp_engine_chunk_free(conn, &chunk);
    }
    cp_engine_disconnect(conn);
    const int code =
        fault.code == 0 ? CP_OK : cp_error_set(err, CP_E_ABI, "the engine does not answer: %s", fault.text);
    cp_fault_clear(&fault);
    return code;
}

static char *argument_make(const char *name, const char *value)
{
    char *made = NULL;
    return asprintf(&made, "%s%s", name, value) < 0 ? NULL : made;
}

static int engine_start(cp_engine *engine, const cp_engine_options *options, cp_error *err)
{
    int code = engine_load(engine, options->library, err);
    if (code == CP_OK)
        code = directory_probe(options->directory, err);
    if (code != CP_OK)
        return code;
    engine->path_argument = argument_make("--path=", options->directory);
    engine->config_argument = options->config ? argument_make("--config-file=", options->config) : NULL;
    if (!engine->path_argument || (options->config && !engine->config_argument))
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    if (options->max_threads > 0) {
        snprintf(engine->threads_argument, sizeof engine->threads_argument, "--max_threads=%u",
                 options->max_threads);
    }
    engine->turns_free = options->max_statements;
    engine->wait_seconds = options->wait_seconds;
    engine->api.set_signal_handlers_enabled(0);
    engine->keeper = engine_dial(engine);
    if (!engine->keeper) {
        return cp_error_set(
            err, CP_E_IO,
            "the engine cannot open the data directory %s (its own words are above): is it writable "
            "and made by ClickHouse?",
            options->directory);
    }
    return engine_learn(engine, err);
}

static int condition_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc == 0) {
        rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        rc = rc == 0 ? pthread_cond_init(cond, &attr) : rc;
        pthread_condattr_destroy(&attr);
    }
    return rc;
}

int cp_engine_open(const cp_engine_options *options, cp_engine **engine, cp_error *err)
{
    cp_engine *made = calloc(1, sizeof *made);
    if (!made || pthread_mutex_init(&made->lock, NULL) != 0 || condition_init(&made->freed) != 0) {
        free(made);
        return cp_error_set(err, CP_E_NOMEM, "out of memory");
    }
    const int code = engine_start(made, options, err);
    if (code != CP_OK) {
        cp_engine_close(made);
        return code;
    }
    cp_fault_set_version(made->version);
    *engine = made;
    return CP_OK;
}

void cp_engine_close(cp_engine *engine)
{
    if (!engine)
        return;
    if (engine->keeper)
        engine->api.close_conn(engine->keeper);
    free(engine->path_argument);
    free(engine->config_argument);
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->freed);
    free(engine); /* the library stays loaded: its threads may still be running */
}

const char *cp_engine_version(const cp_engine *engine)
{
    return engine->version;
}

const char *cp_engine_timezone(const cp_engine *engine)
{
    return engine->timezone;
}

void cp_engine_cancel_all(cp_engine *engine)
{
    /* ASYNC: the synchronous form waits for statements that only their own threads can end. */
    static const char text[] = "KILL QUERY WHERE 1 ASYNC";
    void *result = engine->api.query_with_params(*engine->keeper, text, sizeof text - 1, "Null", 4, NULL,
                                                 NULL, NULL, NULL, 0);
    if (result)
        engine->api.destroy_query_result(result);
}

static int turn_take(cp_engine *engine, cp_fault *fault)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)engine->wait_seconds;
    int rc = 0;
    pthread_mutex_lock(&engine->lock);
    while (engine->turns_free == 0 && rc == 0)
        rc = pthread_cond_timedwait(&engine->freed, &engine->lock, &until);
    const bool taken = engine->turns_free > 0;
    if (taken)
        engine->turns_free--;
    pthread_mutex_unlock(&engine->lock);
    return taken
               ? 0
               : cp_fault_set(fault, CP_FAULT_TOO_MANY_SIMULTANEOUS_QUERIES,
                              "Too many simultaneous queries: none ended within %u s.", engine->wait_seconds);
}

static void turn_give(cp_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->turns_free++;
    pthread_cond_signal(&engine->freed);
    pthread_mutex_unlock(&engine->lock);
}

int cp_engine_connect(cp_engine *engine, cp_engine_conn **conn, cp_fault *fault)
{
    if (turn_take(engine, fault) != 0)
        return fault->code;
    cp_engine_conn *made = calloc(1, sizeof *made);
    chdb_handle *handle = made ? engine_dial(engine) : NULL;
    if (!handle) {
        free(made);
        turn_give(engine);
        return cp_fault_set(fault, CP_FAULT_ENGINE, "The engine gives no connection.");
    }
    *made = (cp_engine_conn){.engine = engine, .handle = handle, .holds_turn = true};
    *conn = made;
    return 0;
}

void cp_engine_disconnect(cp_engine_conn *conn)
{
    if (!conn)
        return;
    cp_engine_stream_close(conn);
    conn->engine->api.close_conn(conn->handle);
    cp_engine_park(conn);
    free(conn);
}

void cp_engine_park(cp_engine_conn *conn)
{
    if (conn->holds_turn) {
        conn->holds_turn = false;
        turn_give(conn->engine);
    }
}

int cp_engine_unpark(cp_engine_conn *conn, cp_fault *fault)
{
    if (!conn->holds_turn && turn_take(conn->engine, fault) != 0)
        return fault->code;
    conn->holds_turn = true;
    return 0;
}

/* Looks at what a call gave back; on failure records the fault and frees it. */
static int result_check(const chdb_api *api, void *result, cp_fault *fault)
{
    if (!result)
        return cp_fault_set(fault, CP_FAULT_ENGINE, "The engine gave no result.");
    const char *error = api->result_error(result);
    if (!error)
        return 0;
    cp_fault_take(fault, error);
    api->destroy_query_result(result);
    return fault->code;
}

static void stats_add(cp_engine_stats *stats, const chdb_api *api, void *result)
{
    stats->read_rows += api->result_storage_rows_read(result);
    stats->read_bytes += api->result_storage_bytes_read(result);
    stats->written_rows += api->result_rows_written(result);
    stats->written_bytes += api->result_bytes_written(result);
    stats->result_rows += api->result_rows_read(result);
    stats->result_bytes += api->result_bytes_read(result);
}

static void chunk_take(cp_engine_chunk *chunk, const chdb_api *api, void *result)
{
    chunk->handle = result;
    chunk->data = api->result_buffer(result);
    chunk->length = chunk->data ? api->result_length(result) : 0;
}

int cp_engine_query(cp_engine_conn *conn, const cp_engine_sql *sql, cp_engine_chunk *result,
                    cp_engine_stats *stats, cp_fault *fault)
{
    const chdb_api *api = &conn->engine->api;
    void *answer = api->query_with_params(*conn->handle, sql->text, sql->length, sql->format,
                                          strlen(sql->format), sql->param_names, sql->param_name_lengths,
                                          sql->param_values, sql->param_value_lengths, sql->params);
    if (result_check(api, answer, fault) != 0)
        return fault->code;
    chunk_take(result, api, answer);
    stats_add(stats, api, answer);
    return 0;
}

int cp_engine_run(cp_engine_conn *conn, const char *text, size_t length, cp_fault *fault)
{
    const cp_engine_sql sql = {.text = text, .length = length, .format = "Null"};
    cp_engine_chunk result = {0};
    cp_engine_stats stats = {0};
    const int code = cp_engine_query(conn, &sql, &result, &stats, fault);
    cp_engine_chunk_free(conn, &result);
    return code;
}

void cp_engine_chunk_free(cp_engine_conn *conn, cp_engine_chunk *chunk)
{
    if (chunk->handle)
        conn->engine->api.destroy_query_result(chunk->handle);
    *chunk = (cp_engine_chunk){0};
}

int cp_engine_stream(cp_engine_conn *conn, const cp_engine_sql *sql, bool *streams, cp_fault *fault)
{
    const chdb_api *api = &conn->engine->api;
    cp_engine_stream_close(conn);
    void *stream = api->stream_query_with_params(
        *conn->handle, sql->text, sql->length, sql->format, strlen(sql->format), sql->param_names,
        sql->param_name_lengths, sql->param_values, sql->param_value_lengths, sql->params);
    *streams = true;
    const char *error = stream ? api->result_error(stream) : NULL;
    if (error && strstr(error, "Streaming query is not supported")) {
        *streams = false;
        api->destroy_query_result(stream);
        return 0;
    }
    if (result_check(api, stream, fault) != 0)
        return fault->code;
    conn->stream = stream;
    return 0;
}

int cp_engine_stream_next(cp_engine_conn *conn, cp_engine_chunk *chunk, cp_engine_stats *stats,
                          cp_fault *fault)
{
    const chdb_api *api = &conn->engine->api;
    void *answer = api->stream_fetch_result(*conn->handle, conn->stream);
    if (result_check(api, answer, fault) != 0) {
        api->destroy_query_result(conn->stream); /* it has ended by itself: nothing is left to cancel */
        conn->stream = NULL;
        return fault->code;
    }
    chunk_take(chunk, api, answer);
    stats_add(stats, api, answer);
    return 0;
}

void cp_engine_stream_close(cp_engine_conn *conn)
{
    if (conn->stream) {
        conn->engine->api.stream_cancel_query(*conn->handle, conn->stream);
        conn->engine->api.destroy_query_result(conn->stream);
        conn->stream = NULL;
    }
}

int cp_engine_insert_open(cp_engine_conn *conn, const cp_engine_sql *sql, cp_engine_insert **insert,
                          cp_fault *fault)
{
    const chdb_api *api = &conn->engine->api;
    cp_engine_insert *made = calloc(1, sizeof *made);
    if (!made)
        return cp_fault_set(fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY, "Out of memory.");
    made->conn = conn;
    made->stream = api->stream_insert_with_params(
        *conn->handle, sql->text, sql->length, sql->format, strlen(sql->format), sql->param_names,
        sql->param_name_lengths, sql->param_values, sql->param_value_lengths, sql->params);
    const char *error =
        made->stream ? api->stream_insert_error(made->stream) : "The engine gave no insert stream";
    if (error) {
        cp_fault_take(fault, error);
        if (made->stream)
            api->destroy_insert_stream(made->stream);
        free(made);
        return fault->code;
    }
    *insert = made;
    return 0;
}

int cp_engine_insert_append(cp_engine_insert *insert, const void *data, size_t length, cp_fault *fault)
{
    const chdb_api *api = &insert->conn->engine->api;
    if (api->stream_append(insert->stream, data, length) == 0)
        return 0;
    /* The reason is known to the end of the stream, not always to its error text. */
    void *answer = api->stream_done(insert->stream);
    if (result_check(api, answer, fault) == 0) {
        api->destroy_query_result(answer);
        const char *error = api->stream_insert_error(insert->stream);
        cp_fault_take(fault, error ? error : "The engine refused the data without a reason");
    }
    return fault->code;
}

static void insert_free(cp_engine_insert *insert)
{
    insert->conn->engine->api.destroy_insert_stream(insert->stream);
    free(insert);
}

int cp_engine_insert_commit(cp_engine_insert *insert, cp_engine_stats *stats, cp_fault *fault)
{
    const chdb_api *api = &insert->conn->engine->api;
    void *answer = api->stream_done(insert->stream);
    if (result_check(api, answer, fault) == 0) {
        stats_add(stats, api, answer);
        api->destroy_query_result(answer);
    }
    insert_free(insert);
    return fault->code;
}

void cp_engine_insert_cancel(cp_engine_insert *insert)
{
    if (insert) {
        insert->conn->engine->api.stream_cancel_insert(insert->stream);
        insert_free(insert);
    }
}

cp_engine_class cp_engine_classify(cp_engine_conn *conn, const char *text, size_t length,
                                   unsigned *statements)
{
    static const char database[] = "default"; /* only bears on flags that are not looked at */
    chdb_query_analysis analysis = {.struct_size = sizeof analysis, .query_class = CP_ENGINE_UNKNOWN};
    if (conn->engine->api.classify_query(*conn->handle, text, length, database, sizeof database - 1,
                                         &analysis) != 0 ||
        analysis.query_class > CP_ENGINE_UNKNOWN) {
        analysis.query_class = CP_ENGINE_UNKNOWN;
        analysis.statement_count = 0;
    }
    *statements = analysis.statement_count;
    return (cp_engine_class)analysis.query_class;
}
