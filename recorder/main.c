/* coldpathd: reads the configuration, runs the recorder until SIGTERM or SIGINT, ends cleanly.
 *
 * The first signal ships what the rings hold, then exits 0; a second one ends at once, leaving rows in the
 * region. SIGUSR1 ships what the rings hold, and the recorder goes on; SIGHUP reads the configuration anew: for service managers.
 * `coldpath flush`, `coldpath reload` and the others come by the control socket (recorder/command.h).
 *
 * Exit codes: 0 ok, 1 failed, 64 usage, 69 already running or region unusable, 74 I/O, 78 configuration. */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/secret_name.h"
#include "monitor/server.h"
#include "recorder/canary.h"
#include "recorder/housekeeping.h"
#include "recorder/notify.h"
#include "recorder/recorder.h"
#include "recorder/reload.h"
#include "recorder/steering.h"

enum {
    FLUSH_POLL_NS = 2 * 1000 * 1000,
    STUCK_S = 5 /* a drain thread that has not turned for so long is not vouched for */
};

/* What runs besides the recorder's own threads. */
typedef struct company {
    cp_recorder *recorder;
    cp_reload reload;
    cp_steering steering;
    cp_command_socket commands;
    cp_housekeeping house;
    cp_monitor *monitor; /* NULL: none */
    cp_canary *canary;   /* likewise */
} company;

static volatile sig_atomic_t signals_seen;
static volatile sig_atomic_t flush_asked;
static volatile sig_atomic_t reload_asked;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        flush_asked = 1;
    else if (number == SIGHUP)
        reload_asked = 1;
    else
        signals_seen = signals_seen + 1;
}

static bool in_a_hurry(void)
{
    return signals_seen > 1;
}

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0,
     "Configuration (default: $COLDPATH_CONFIG, ./coldpath.yaml, /etc/coldpath/coldpath.yaml)", 0},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    const char **path = state->input;
    if (key == ARGP_KEY_ARG)
        argp_error(state, "unexpected argument '%s'", value);
    if (key != 'c')
        return ARGP_ERR_UNKNOWN;
    *path = value;
    return 0;
}

/* CP_E_ABSENT: the only thing that must be there before a start is the configuration. */
static int exit_code_of(int rc)
{
    switch (rc) {
    case CP_E_CONFIG:
    case CP_E_TOO_BIG:
    case CP_E_INVAL:
    case CP_E_ABSENT:
        return EX_CONFIG;
    case CP_E_BUSY:
    case CP_E_ABI:
    case CP_E_CORRUPT:
        return EX_UNAVAILABLE;
    case CP_E_PERM:
    case CP_E_IO:
        return EX_IOERR;
    default:
        return EXIT_FAILURE;
    }
}

static int fail(const char *what, int rc, const cp_error *err)
{
    char quoted[CP_ERROR_TEXT + 64];
    cp_log(CP_LOG_ERROR, what, "error=%s code=\"%s\"", cp_log_quote(quoted, sizeof quoted, err->text),
           cp_strerror(rc));
    return exit_code_of(rc);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file over the limit of `ulimit -f` is then a full disk, not the end */
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGUSR1);
    sigaddset(&stops, SIGHUP);
    sigprocmask(SIG_BLOCK, &stops, NULL);
}

static void monitor_keep(cp_monitor *monitor)
{
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    const int rc = cp_monitor_renew(monitor, &err);
    if (rc > 0)
        cp_log(CP_LOG_INFO, "monitor: certificate, key and token taken anew", "url=%s://%s/",
               cp_monitor_scheme(monitor), cp_monitor_address(monitor));
    else if (rc < 0)
        cp_log(CP_LOG_WARN, "the monitor's changed files cannot be used, the old ones are kept",
               "error=%s remedy=\"mend the file: it is read again when it changes\"",
               cp_log_quote(quoted, sizeof quoted, err.text));
}

/* Rows matter more than their metrics: a monitor that cannot start is an error in the log, and no reason not to record. */
static cp_monitor *monitor_start(const cp_config *config)
{
    cp_monitor *monitor = NULL;
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    if (!config->monitor_listen)
        return NULL;
    const cp_monitor_config settings = {.region_dir = config->region_dir,
                                        .listen = config->monitor_listen,
                                        .access = {.certificate_file = config->monitor_certificate_file,
                                                   .key_file = config->monitor_key_file,
                                                   .token_file = config->monitor_token_file,
                                                   .health_open = config->monitor_health_open,
                                                   .unprotected = config->monitor_unprotected}};
    if (cp_monitor_start(&monitor, &settings, &err) < 0)
        cp_log(CP_LOG_ERROR, "no monitor",
               "error=%s consequence=\"rows are recorded, metrics are not served\"",
               cp_log_quote(quoted, sizeof quoted, err.text));
    else
        cp_log(CP_LOG_INFO, "monitor", "url=%s://%s/", cp_monitor_scheme(monitor),
               cp_monitor_address(monitor));
    return monitor;
}

/* Likewise without its canary. */
static cp_canary *canary_start(const cp_config *config)
{
    cp_canary *canary = NULL;
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    if (cp_canary_start(&canary, config, &err) < 0)
        cp_log(CP_LOG_ERROR, "no canary",
               "error=%s consequence=\"rows are recorded, how long they take is not followed\"",
               cp_log_quote(quoted, sizeof quoted, err.text));
    return canary;
}

/* Before the recorder runs, so that who sees it run finds it; commands are obeyed when it does. Without it the recorder records, and
 * signals reach it; it is tried again now and then. */
static void commands_open(company *all, const cp_config *config, bool again)
{
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    const cp_command_events events = cp_steering_events(&all->steering);
    if (cp_command_socket_open(&all->commands, config->region_dir, config->control_group, &events, &err) ==
        CP_OK) {
        if (again)
            cp_log(CP_LOG_INFO, "control socket opened again", NULL);
    } else if (!again) {
        cp_log(CP_LOG_ERROR, "no control socket",
               "error=%s consequence=\"rows are recorded; of the commands only signals are obeyed\" "
               "remedy=\"take what is in its way out of it: the recorder tries again by itself\"",
               cp_log_quote(quoted, sizeof quoted, err.text));
    }
}

/* Once a second: what may have been mended from outside. */
static void company_keep(company *all)
{
    if (!cp_command_socket_is_there(&all->commands)) {
        cp_command_socket_close(&all->commands);
        commands_open(all, all->reload.started, true);
    }
    monitor_keep(all->monitor);
}

/* Sleeps until a signal comes, or a command, or it is time to look. Signals are blocked since before any thread was made, and so in
 * all threads; here they get in. */
static void sleep_well(const company *all, uint64_t watchdog_ns)
{
    struct pollfd fds[CP_COMMAND_CLIENTS + 1];
    const uint64_t now_ns = cp_boottime_ns();
    uint64_t wait_ns = cp_housekeeping_wait(&all->house, now_ns);
    sigset_t none;
    sigemptyset(&none);
    if (watchdog_ns && wait_ns > watchdog_ns)
        wait_ns = watchdog_ns;
    const nfds_t count = cp_command_socket_wants(&all->commands, fds, now_ns, &wait_ns);
    if (cp_recorder_is_flushing(all->recorder) && wait_ns > FLUSH_POLL_NS)
        wait_ns = FLUSH_POLL_NS;
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / CP_NS_PER_S),
                                  .tv_nsec = (long)(wait_ns % CP_NS_PER_S)};
    ppoll(fds, count, &wait, &none);
}

/* Until a signal to stop; flushes, reloads, obeys when asked, and looks after things. From the signal to stop on others get in at any time. */
static void wait_for_signal(company *all)
{
    const uint64_t watchdog = cp_notify_watchdog_ns();
    sigset_t none;
    sigemptyset(&none);
    while (signals_seen == 0) {
        if (watchdog && cp_recorder_is_turning(all->recorder, STUCK_S * (uint64_t)CP_NS_PER_S))
            cp_notify("WATCHDOG=1");
        if (flush_asked) {
            flush_asked = 0;
            cp_recorder_flush(all->recorder);
        }
        if (reload_asked) {
            reload_asked = 0;
            cp_reload_run(&all->reload);
        }
        sleep_well(all, watchdog);
        cp_command_socket_serve(&all->commands, cp_boottime_ns());
        if (cp_housekeeping_run(&all->house, cp_boottime_ns()))
            company_keep(all);
    }
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int run(const cp_config *config)
{
    cp_error err = {0};
    company all = {0};
    int rc = cp_recorder_create(&all.recorder, config, &err);
    if (rc < 0)
        return fail("cannot start", rc, &err);
    all.reload = (cp_reload){.recorder = all.recorder, .started = config};
    cp_steering_init(&all.steering, all.recorder, &all.reload);
    commands_open(&all, config, false);
    rc = cp_recorder_start(all.recorder, &err);
    if (rc < 0) {
        cp_command_socket_close(&all.commands);
        cp_recorder_free(all.recorder);
        return fail("cannot start", rc, &err);
    }
    all.monitor = monitor_start(config);
    all.canary = canary_start(config);
    cp_housekeeping_init(&all.house, all.recorder, &all.reload);
    cp_log(CP_LOG_INFO, "ready", "namespace=%s region=%s tables=%u url=%s pid=%d", config->namespace_name,
           config->region_dir, config->table_count, config->url, (int)getpid());
    cp_notify("READY=1\nSTATUS=recording");
    wait_for_signal(&all);
    cp_command_socket_close(&all.commands);
    cp_log(CP_LOG_INFO, "stopping", "namespace=%s", config->namespace_name);
    cp_notify("STOPPING=1\nSTATUS=shipping what the rings hold");
    cp_stop_report report;
    cp_canary_stop(all.canary);
    cp_recorder_stop(all.recorder, in_a_hurry, &report);
    cp_monitor_stop(all.monitor);
    cp_recorder_free(all.recorder);
    cp_reload_free(&all.reload);
    cp_log(report.clean ? CP_LOG_INFO : CP_LOG_WARN, "stopped",
           "namespace=%s rows_kept_in_region=%llu rows_kept_in_logs=%llu lsns_kept_in_logs=%llu "
           "rows_lost=%llu clean=%s",
           config->namespace_name, (unsigned long long)report.rows_left,
           (unsigned long long)report.rows_in_logs, (unsigned long long)report.lsns_in_logs,
           (unsigned long long)report.rows_lost, report.clean ? "true" : "false");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    const struct argp parser = {
        options,
        parse_option,
        NULL,
        "coldpathd: drains shared-memory rings into ClickHouse.\v"
        "SIGTERM ships what the rings hold and exits; rows that ClickHouse does not take in time "
        "stay in the region. SIGUSR1 ships what the rings hold and goes on, as `coldpath flush` does; SIGHUP "
        "reads the configuration anew, as `coldpath reload` does.",
        NULL,
        NULL,
        NULL};
    argp_program_version = "coldpathd " COLDPATH_VERSION;
    cp_failpoint_arm();
    if (!cp_secret_arguments_check(argc, argv))
        return EX_USAGE;
    argp_parse(&parser, argc, argv, 0, NULL, &path);
    catch_signals();
    cp_error err = {0};
    cp_config *config = NULL;
    const int rc = cp_config_load(&config, path, stderr, &err);
    if (rc < 0)
        return fail("configuration refused", rc, &err);
    cp_log_level level;
    if (config->log_level && cp_log_level_parse(config->log_level, &level))
        cp_log_set_level(level);
    const int code = run(config);
    cp_config_free(config);
    return code;
}
