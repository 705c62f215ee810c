/* coldpath-chdb: ClickHouse's HTTP interface over the embedded engine, for machines without a ClickHouse
 * server and for tests. It runs until SIGTERM or SIGINT, then lets running statements finish, closes the
 * engine and ends.
 *
 *   coldpath-chdb --port 0 --port-file port --path data
 *
 * An engine made for embedding reads and writes the files of its process for whoever may ask: file(), url(),
 * tables of engine File. Here that is somebody else, perhaps of lesser rights. So it listens on the loopback
 * interface, and on others only with a password; it does not answer web pages; and the engine is confined to its
 * data directory, by its own grants and by the kernel (confine.h), unless --allow-files:
 *
 *   main thread ─┬─ password, data directory, port file, signals
 *                └─ starter, confined ─┬─ the engine's threads        all that statements run on; they inherit
 *                                      └─ the HTTP server's threads   what the starter may do, and no more
 */
#include <argp.h>
#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/secret_name.h"
#include "embedded/confine.h"
#include "embedded/engine.h"
#include "embedded/exchange.h"
#include "embedded/http.h"
#include "embedded/session.h"

enum {
    DEFAULT_PORT = 8123,
    DEFAULT_CONNECTIONS = 256,
    DEFAULT_STATEMENTS = 8, /* at a time: enough to keep the cores of a small machine busy */
    DEFAULT_STOP_SECONDS = 10,
    WAIT_SECONDS = 60,  /* of a statement for its turn */
    IDLE_SECONDS = 30,  /* of a connection */
    CANCEL_SECONDS = 5, /* for cancelled statements to notice, at the end */
    PASSWORD_BYTES = 256,
    MOST_SECONDS = 86400,
    MOST_THREADS = 1024
};

static const uint64_t default_max_body = 1ULL << 30;

typedef struct settings {
    cp_http_options http;
    cp_engine_options engine;
    const char *user;
    const char *password_file;
    const char *port_file;
    bool allow_files;
    uint64_t max_body;
    unsigned stop_seconds;
    char password[PASSWORD_BYTES];
    char library[PATH_MAX];
    char config[PATH_MAX];    /* of the engine; empty with allow_files */
    char temporary[PATH_MAX]; /* the data directory if it was made here, to be removed; empty otherwise */
} settings;

enum option_key {
    KEY_PORT_FILE = 256,
    KEY_LISTEN,
    KEY_USER,
    KEY_PASSWORD_FILE,
    KEY_MAX_BODY,
    KEY_MAX_CONNECTIONS,
    KEY_MAX_STATEMENTS,
    KEY_THREADS,
    KEY_LOG_LEVEL,
    KEY_LIBRARY,
    KEY_STOP,
    KEY_ALLOW_ORIGIN,
    KEY_ALLOW_FILES
};

/* argp(3) finds it by name: it must be visible to libc. */
__attribute__((visibility("default"))) const char *argp_program_version = "coldpath-chdb " COLDPATH_VERSION;

static const struct argp_option option_table[] = {
    {"port", 'p', "PORT", 0, "Listen on this port; 0: any free one, see --port-file (8123)", 0},
    {"port-file", KEY_PORT_FILE, "FILE", 0, "Write the port to FILE once the server answers", 0},
    {"listen", KEY_LISTEN, "ADDRESS", 0, "Listen on this address (127.0.0.1); others need a password", 0},
    {"path", 'd', "DIR", 0,
     "Keep the data in DIR, made if need be (a temporary directory, removed at the end)", 0},
    {"user", KEY_USER, "NAME", 0, "The only user there is (default)", 0},
    {"password-file", KEY_PASSWORD_FILE, "FILE", 0,
     "The user's password is FILE's first line; otherwise $COLDPATH_CHDB_PASSWORD, otherwise none", 0},
    {"allow-origin", KEY_ALLOW_ORIGIN, "ORIGIN", 0,
     "Let web pages from ORIGIN (http://host:port, or * for all) send statements; otherwise none may", 0},
    {"allow-files", KEY_ALLOW_FILES, NULL, 0,
     "Let statements read and write all files, and reach all servers, that this process may", 0},
    {"max-body", KEY_MAX_BODY, "BYTES", 0, "Largest body of a request, encoded and decoded (1073741824)", 0},
    {"max-connections", KEY_MAX_CONNECTIONS, "N", 0, "Connections at a time (256)", 0},
    {"max-statements", KEY_MAX_STATEMENTS, "N", 0, "Statements at a time; others wait up to 60 s (8)", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads per statement, the setting max_threads (the engine's choice)",
     0},
    {"stop-timeout", KEY_STOP, "SECONDS", 0, "How long running statements may go on at the end (10)", 0},
    {"library", KEY_LIBRARY, "FILE", 0,
     "The engine, libchdb.so ($COLDPATH_CHDB_LIB, or ../npm/node_modules beside this program)", 0},
    {"log-level", KEY_LOG_LEVEL, "LEVEL", 0, "debug, info, warn or error (info)", 0},
    {0},
};

static unsigned long number_of(const char *text, unsigned long least, unsigned long most, const char *option,
                               struct argp_state *state)
{
    char *end = NULL;
    errno = 0;
    const unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < least || number > most)
        argp_error(state, "--%s: '%s' is not a number from %lu to %lu", option, text, least, most);
    return number;
}

static void log_level_set(const char *text, struct argp_state *state)
{
    cp_log_level level = CP_LOG_INFO;
    if (!cp_log_level_parse(text, &level))
        argp_error(state, "--log-level: '%s' is none of debug, info, warn, error", text);
    cp_log_set_level(level);
}

static error_t option_take(int key, char *value, struct argp_state *state)
{
    settings *to = state->input;
    switch (key) {
    case 'p':
        to->http.port = (uint16_t)number_of(value, 0, UINT16_MAX, "port", state);
        break;
    case 'd':
        to->engine.directory = value;
        break;
    case KEY_PORT_FILE:
        to->port_file = value;
        break;
    case KEY_LISTEN:
        to->http.address = value;
        break;
    case KEY_USER:
        to->user = value;
        break;
    case KEY_PASSWORD_FILE:
        to->password_file = value;
        break;
    case KEY_LIBRARY:
        to->engine.library = value;
        break;
    case KEY_ALLOW_ORIGIN:
        to->http.allow_origin = value;
        break;
    case KEY_ALLOW_FILES:
        to->allow_files = true;
        break;
    case KEY_MAX_BODY:
        to->max_body = number_of(value, 1, LONG_MAX, "max-body", state);
        break;
    case KEY_MAX_CONNECTIONS:
        to->http.max_connections = (unsigned)number_of(value, 1, UINT16_MAX, "max-connections", state);
        break;
    case KEY_MAX_STATEMENTS:
        to->engine.max_statements = (unsigned)number_of(value, 1, MOST_THREADS, "max-statements", state);
        break;
    case KEY_THREADS:
        to->engine.max_threads = (unsigned)number_of(value, 1, MOST_THREADS, "threads", state);
        break;
    case KEY_STOP:
        to->stop_seconds = (unsigned)number_of(value, 0, MOST_SECONDS, "stop-timeout", state);
        break;
    case KEY_LOG_LEVEL:
        log_level_set(value, state);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* As base/exit_code.h has them, but that what is invalid comes from the command line, and that nothing here has a version of ours. */
static int exit_code_of(int code)
{
    switch (code) {
    case CP_OK:
        return EX_OK;
    case CP_E_INVAL:
        return EX_USAGE;
    case CP_E_ABSENT:
    case CP_E_BUSY:
        return EX_UNAVAILABLE;
    case CP_E_IO:
    case CP_E_PERM:
        return EX_IOERR;
    default:
        return EXIT_FAILURE;
    }
}

/* ---- before the engine --------------------------------------------------------------------------------- */

static int password_load(settings *to, cp_error *err)
{
    const char *from_environment = getenv("COLDPATH_CHDB_PASSWORD");
    if (to->password_file) {
        FILE *file = fopen(to->password_file, "re");
        if (!file)
            return cp_error_errno(err, CP_E_IO, errno, "cannot open the password file %s", to->password_file);
        const bool got = fgets(to->password, sizeof to->password, file) != NULL;
        fclose(file);
        to->password[strcspn(to->password, "\r\n")] = '\0';
        if (!got || to->password[0] == '\0') {
            return cp_error_set(err, CP_E_INVAL, "the first line of %s is empty: it must be the password",
                                to->password_file);
        }
    } else if (from_environment) {
        const int length = snprintf(to->password, sizeof to->password, "%s", from_environment);
        if (length < 0 || (size_t)length >= sizeof to->password) {
            return cp_error_set(err, CP_E_INVAL, "COLDPATH_CHDB_PASSWORD is longer than %d bytes",
                                PASSWORD_BYTES - 1);
        }
        unsetenv("COLDPATH_CHDB_PASSWORD");
    }
    if (to->password[0] == '\0' && !cp_http_is_loopback(to->http.address)) {
        return cp_error_set(
            err, CP_E_INVAL,
            "--listen %s would let everyone in: give a password (--password-file), or listen on "
            "127.0.0.1",
            to->http.address);
    }
    return CP_OK;
}

/* The first of the usual places that has the library. */
static int library_find(settings *to, cp_error *err)
{
    static const char *const places[] = {
        "../npm/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so",
        "../npm/node_modules/@chdb/lib-linux-arm64-gnu/libchdb.so",
        "../lib/coldpath/libchdb.so",
    };
    const char *from_environment = getenv("COLDPATH_CHDB_LIB");
    if (!to->engine.library && from_environment && from_environment[0] != '\0')
        to->engine.library = from_environment;
    if (to->engine.library)
        return CP_OK; /* if it is not there, the engine says so */
    char self[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    const char *beside = dirname(self);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const int made = snprintf(to->library, sizeof to->library, "%s/%s", beside, places[i]);
        if (made > 0 && (size_t)made < sizeof to->library && access(to->library, R_OK) == 0) {
            to->engine.library = to->library;
            return CP_OK;
        }
    }
    return cp_error_set(
        err, CP_E_ABSENT,
        "the embedded engine (libchdb.so) is not there: get it with \"cmake --build BUILD --target "
        "chdb-engine\", or say where it is with --library or COLDPATH_CHDB_LIB");
}

static int directory_make(settings *to, cp_error *err)
{
    enum { PRIVATE = 0700 };
    if (to->engine.directory) {
        const char *directory = to->engine.directory;
        struct stat found;
        if (mkdir(directory, PRIVATE) != 0 && errno != EEXIST)
            return cp_error_errno(err, CP_E_IO, errno, "cannot make the data directory %s", directory);
        if (stat(directory, &found) != 0 || !S_ISDIR(found.st_mode))
            return cp_error_set(err, CP_E_IO, "%s is not a directory: choose another with --path", directory);
        if (access(directory, R_OK | W_OK | X_OK) != 0)
            return cp_error_errno(err, CP_E_IO, errno, "cannot write in the data directory %s", directory);
        return CP_OK;
    }
    const char *where = getenv("TMPDIR");
    snprintf(to->temporary, sizeof to->temporary, "%s/coldpath-chdb-XXXXXX",
             where && where[0] ? where : "/tmp");
    if (!mkdtemp(to->temporary)) {
        const int code =
            cp_error_errno(err, CP_E_IO, errno, "cannot make a temporary directory %s", to->temporary);
        to->temporary[0] = '\0';
        return code;
    }
    to->engine.directory = to->temporary;
    return CP_OK;
}

static int entry_remove(const char *path, const struct stat *found, int flag, struct FTW *walk)
{
    (void)found;
    (void)flag;
    (void)walk;
    return remove(path);
}

static void directory_remove(const settings *from)
{
    enum { OPEN_DIRECTORIES = 32 };
    if (from->temporary[0] != '\0' &&
        nftw(from->temporary, entry_remove, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS) != 0)
        cp_log(CP_LOG_WARN, "temporary directory not removed", "path=%s errno=%d", from->temporary, errno);
}

/* ---- serving ------------------------------------------------------------------------------------------- */

/* Whoever waits for the file sees it whole or not at all. */
static int port_file_write(const settings *from, uint16_t port, cp_error *err)
{
    char temporary[PATH_MAX];
    if (!from->port_file)
        return CP_OK;
    const int made = snprintf(temporary, sizeof temporary, "%s.new", from->port_file);
    FILE *file = made > 0 && (size_t)made < sizeof temporary ? fopen(temporary, "we") : NULL;
    bool written = file && fprintf(file, "%u\n", port) > 0;
    if (file)
        written = fclose(file) == 0 && written;
    if (!written || rename(temporary, from->port_file) != 0)
        return cp_error_errno(err, CP_E_IO, errno, "cannot write the port to %s", from->port_file);
    return CP_OK;
}

static void sleep_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * CP_NS_PER_MS};
    nanosleep(&pause, NULL);
}

/* Waits until no request is worked on; false when the time is over. */
static bool wait_idle(const cp_http *http, unsigned seconds)
{
    enum { LOOK_MS = 10 };
    const uint64_t until = cp_boottime_ns() + (uint64_t)seconds * CP_NS_PER_S;
    while (cp_http_active(http) > 0) {
        if (cp_boottime_ns() >= until)
            return false;
        sleep_ms(LOOK_MS);
    }
    return true;
}

/* True when everything has ended and the engine can be closed in order. */
static bool serve_end(const settings *from, cp_http *http, cp_engine *engine)
{
    cp_http_quiesce(http);
    if (!wait_idle(http, from->stop_seconds)) {
        cp_log(CP_LOG_WARN, "cancelling what still runs", "requests=%u", cp_http_active(http));
        cp_engine_cancel_all(engine);
        if (!wait_idle(http, CANCEL_SECONDS)) {
            cp_log(CP_LOG_WARN, "requests do not end", "requests=%u", cp_http_active(http));
            return false; /* the engine's files are as safe as after a power cut: it was made for that */
        }
    }
    cp_http_stop(http);
    return true;
}

static void signal_wait(const sigset_t *signals)
{
    int number = 0;
    while (sigwait(signals, &number) != 0) {
    }
    cp_log(CP_LOG_INFO, "stopping", "signal=%s", sigabbrev_np(number));
}

/* Says what a client could do that its user could not. */
static void danger_log(const settings *from, bool confined)
{
    if (geteuid() == 0 && from->password[0] == '\0') {
        cp_log(CP_LOG_WARN, "running as root without a password",
               "consequence=\"every local user may change and drop what is stored here%s\" "
               "remedy=\"--password-file, or another user\"",
               confined ? "" : ", and read and write every file of this host");
    } else if (!confined && from->password[0] == '\0') {
        cp_log(CP_LOG_WARN, "files not confined, and no password",
               "consequence=\"every local user may read and write the files of this one\" "
               "remedy=\"--password-file%s\"",
               from->allow_files ? ", or no --allow-files" : "");
    }
}

/* Confines this thread. Where the kernel cannot, the grants have to do, which is not enough for root's files
 * behind a server that anyone may ask. */
static int starter_confine(const settings *from, cp_error *err)
{
    int code = from->allow_files ? CP_E_ABSENT
                                 : cp_confine_thread(from->engine.directory, from->engine.library, err);
    const bool confined = code == CP_OK;
    if (code != CP_OK && code != CP_E_ABSENT)
        return code;
    if (!confined && !from->allow_files) {
        if (geteuid() == 0 && from->password[0] == '\0') {
            return cp_error_set(err, CP_E_INVAL,
                                "this kernel has no Landlock to keep statements from root's files: give a "
                                "password (--password-file), run as another user, or accept it with "
                                "--allow-files");
        }
        cp_log(CP_LOG_WARN, "no Landlock in this kernel",
               "consequence=\"files of the host are protected by the engine's grants alone\"");
    }
    danger_log(from, confined);
    return CP_OK;
}

/* Everything that runs statements, begun in a thread of its own. */
typedef struct server {
    const settings *from;
    cp_engine *engine;
    cp_service service;
    cp_http *http;
    cp_error *err;
    int code;
} server;

static int server_start(server *made)
{
    const settings *from = made->from;
    int code = starter_confine(from, made->err);
    if (code == CP_OK)
        code = cp_engine_open(&from->engine, &made->engine, made->err);
    if (code != CP_OK)
        return code;
    made->service.engine = made->engine;
    made->service.sessions = cp_sessions_new(made->engine);
    if (!made->service.sessions)
        return cp_error_set(made->err, CP_E_NOMEM, "out of memory");
    cp_http_options options = from->http;
    options.service = &made->service;
    return cp_http_start(&options, &made->http, made->err);
}

static void *starter_run(void *context)
{
    server *made = context;
    made->code = server_start(made);
    return NULL;
}

static int server_start_confined(server *made)
{
    pthread_t starter;
    const int rc = pthread_create(&starter, NULL, starter_run, made);
    if (rc != 0)
        return cp_error_errno(made->err, CP_E_NOMEM, rc, "cannot make a thread");
    pthread_join(starter, NULL);
    return made->code;
}

static void serving_say(const settings *from, const server *made)
{
    if (from->temporary[0] != '\0')
        printf("data in %s, removed at the end; keep it with --path\n", from->temporary);
    printf("listening on http://%s\n", cp_http_address(made->http));
    fflush(stdout);
    cp_log(CP_LOG_INFO, "serving", "address=%s version=%s path=%s temporary=%s", cp_http_address(made->http),
           cp_engine_version(made->engine), from->engine.directory, from->temporary[0] ? "yes" : "no");
}

/* Starts the server, waits for a signal, and ends it; what has been started is ended on every path. */
static int serve(const settings *from, const sigset_t *signals, cp_error *err)
{
    char host[HOST_NAME_MAX + 1] = "localhost";
    gethostname(host, sizeof host - 1);
    server made = {.from = from,
                   .service = {.user = from->user,
                               .password = from->password,
                               .directory = from->engine.directory,
                               .display_name = host,
                               .max_body = from->max_body},
                   .err = err};
    bool ended = true;
    int code = server_start_confined(&made);
    if (code == CP_OK) {
        code = port_file_write(from, cp_http_port(made.http), err);
        if (code == CP_OK) {
            serving_say(from, &made);
            signal_wait(signals);
        }
        ended = serve_end(from, made.http, made.engine);
        if (code == CP_OK && from->port_file)
            unlink(from->port_file);
    }
    if (ended) {
        cp_sessions_free(made.service.sessions);
        cp_engine_close(made.engine);
    }
    return code;
}

static int run(settings *from, const sigset_t *signals, cp_error *err)
{
    int code = password_load(from, err);
    if (code == CP_OK)
        code = library_find(from, err);
    if (code == CP_OK)
        code = directory_make(from, err);
    if (code == CP_OK && !from->allow_files) {
        code = cp_confine_policy(from->engine.directory, from->config, sizeof from->config, err);
        from->engine.config = from->config;
    }
    if (code == CP_OK)
        code = serve(from, signals, err);
    directory_remove(from);
    return code;
}

int main(int argc, char **argv)
{
    static settings from = {
        .http = {.address = "127.0.0.1",
                 .port = DEFAULT_PORT,
                 .max_connections = DEFAULT_CONNECTIONS,
                 .idle_seconds = IDLE_SECONDS},
        .engine = {.max_statements = DEFAULT_STATEMENTS, .wait_seconds = WAIT_SECONDS},
        .user = "default",
        .stop_seconds = DEFAULT_STOP_SECONDS,
    };
    static const struct argp parser = {option_table,
                                       option_take,
                                       NULL,
                                       "ClickHouse's HTTP interface over the embedded engine chDB.\v"
                                       "Exit codes: 0 stopped by a signal, 64 wrong usage, 69 port, "
                                       "directory or library not available, 74 I/O, "
                                       "1 other failure.",
                                       NULL,
                                       NULL,
                                       NULL};
    from.max_body = default_max_body;
    argp_err_exit_status = EX_USAGE;
    if (!cp_secret_arguments_check(argc, argv))
        return EX_USAGE;
    argp_parse(&parser, argc, argv, 0, NULL, &from);

    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread: all of them inherit it */
    signal(SIGPIPE, SIG_IGN);

    cp_error err = {0};
    const int code = run(&from, &signals, &err);
    if (code != CP_OK)
        fprintf(stderr, "coldpath-chdb: %s\n", err.text);
    fflush(NULL);
#ifdef __SANITIZE_ADDRESS__
    __lsan_do_leak_check(); /* _exit would pass it over */
#endif
    _exit(exit_code_of(code)); /* destructors inside libchdb.so abort */
}
