/* `coldpath monitor`: /metrics, the status document and the page, as a process of its own. It reads the region and nothing else: it
 * works while no recorder runs, and tells so. With --once it prints the metrics instead, for a host without HTTP. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/address.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/verb.h"
#include "monitor/metric.h"
#include "monitor/server.h"
#include "shm/sigbus_guard.h"

enum {
    OPTION_ONCE = 0x2000,
    OPTION_REFERENCE,
    OPTION_CERTIFICATE,
    OPTION_KEY,
    OPTION_TOKEN,
    OPTION_UNPROTECTED
};

typedef struct monitor_args {
    cp_common common;
    const char *listen; /* NULL: from the configuration; likewise the next three */
    const char *certificate_file;
    const char *key_file;
    const char *token_file;
    bool unprotected;
    bool once;
    bool reference;
} monitor_args;

static const struct argp_option monitor_options[] = {
    {"listen", 'l', "ADDRESS:PORT", 0, "Where to serve (default: monitor.listen, else " CP_MONITOR_LISTEN ")",
     0},
    {"certificate", OPTION_CERTIFICATE, "FILE", 0,
     "TLS with this certificate, PEM (default: monitor.certificate_file)", 0},
    {"key", OPTION_KEY, "FILE", 0, "The certificate's key, PEM (default: monitor.key_file)", 0},
    {"token-file", OPTION_TOKEN, "FILE", 0,
     "Its first line is what every request has to carry (default: monitor.token_file)", 0},
    {"unprotected", OPTION_UNPROTECTED, NULL, 0, "Serve other hosts also without TLS or without a token", 0},
    {"once", OPTION_ONCE, NULL, 0, "Print the metrics once and end", 0},
    {"reference", OPTION_REFERENCE, NULL, 0, "Print what metrics there are, as a table of Markdown, and end",
     0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t monitor_parse(int key, char *arg, struct argp_state *state)
{
    monitor_args *args = state->input;
    cp_address address;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'l':
        if (!cp_address_parse(arg, strlen(arg), &address))
            argp_error(state, "--listen: '%s' is no address; write " CP_MONITOR_LISTEN " or [::1]:9464", arg);
        args->listen = arg;
        return 0;
    case OPTION_CERTIFICATE:
        args->certificate_file = arg;
        return 0;
    case OPTION_KEY:
        args->key_file = arg;
        return 0;
    case OPTION_TOKEN:
        args->token_file = arg;
        return 0;
    case OPTION_UNPROTECTED:
        args->unprotected = true;
        return 0;
    case OPTION_ONCE:
        args->once = true;
        return 0;
    case OPTION_REFERENCE:
        args->reference = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int metrics_print(const char *region)
{
    cp_error err = {0};
    cp_watch *watch;
    if (cp_watch_create(&watch, region, &err) < 0)
        return cp_fail(&err);
    const cp_watch_view *view = cp_watch_take(watch);
    if (!view->present)
        cp_error_set(&err, CP_E_ABSENT, "%s", view->absent);
    cp_metrics_write(view, stdout);
    cp_watch_release(watch);
    cp_watch_free(watch);
    const int printed = cp_output_finish();
    return printed != CP_EXIT_OK ? printed : err.code < 0 ? cp_fail(&err) : CP_EXIT_OK;
}

/* The region, and the configuration, which may be absent with --region. */
static int monitor_place(const monitor_args *args, char region[PATH_MAX], cp_config **config, cp_error *err)
{
    *config = NULL;
    int rc = CP_OK;
    if (!args->common.region || args->common.config)
        rc = cp_place_config(&args->common, config, err);
    return rc == CP_OK ? cp_place_region_of(&args->common, *config, region, err) : rc;
}

static const char *first_of(const char *option, const char *configured)
{
    return option ? option : configured;
}

/* What to serve: the options, else the configuration, else the defaults. */
static cp_monitor_config monitor_settings(const monitor_args *args, const char *region,
                                          const cp_config *config)
{
    cp_monitor_config settings = cp_place_monitor(config, region);
    settings.listen = first_of(args->listen, settings.listen);
    settings.access.certificate_file = first_of(args->certificate_file, settings.access.certificate_file);
    settings.access.key_file = first_of(args->key_file, settings.access.key_file);
    settings.access.token_file = first_of(args->token_file, settings.access.token_file);
    settings.access.unprotected = args->unprotected || settings.access.unprotected;
    return settings;
}

/* Until a signal of ends. */
static void monitor_attend(cp_monitor *monitor, const sigset_t *ends)
{
    const struct timespec look = {.tv_sec = 1};
    while (sigtimedwait(ends, NULL, &look) < 0) {
        cp_error err = {0};
        const int rc = cp_monitor_renew(monitor, &err);
        if (rc > 0)
            cp_message("certificate, key and token taken anew");
        else if (rc < 0)
            cp_message("the changed files cannot be used, the old ones are kept: %s", err.text);
    }
}

static int monitor_serve(const cp_monitor_config *settings, bool json)
{
    cp_error err = {0};
    cp_monitor *monitor;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* before any thread is made */
    if (cp_monitor_start(&monitor, settings, &err) < 0)
        return cp_fail(&err);
    if (json) {
        json_object *answer = cp_json_begin("monitor");
        cp_json_add_string(answer, "region", settings->region_dir);
        cp_json_add_string(answer, "scheme", cp_monitor_scheme(monitor));
        cp_json_add_string(answer, "address", cp_monitor_address(monitor));
        cp_json_end(answer);
    } else {
        printf("%s://%s/  watching %s\n", cp_monitor_scheme(monitor), cp_monitor_address(monitor),
               settings->region_dir);
    }
    fflush(stdout);
    monitor_attend(monitor, &ends);
    cp_monitor_stop(monitor);
    return CP_EXIT_OK;
}

int cp_verb_monitor(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = monitor_options,
        .parser = monitor_parse,
        .doc = "Serves metrics, status and a page about the region over HTTP, until "
               "SIGTERM or SIGINT.\vNeeds no running recorder. coldpathd does the same "
               "in its own process when monitor.listen is configured.",
        .children = children};
    monitor_args args = {0};
    cp_error err = {0};
    char region[PATH_MAX];
    cp_config *config = NULL;
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    if (args.reference) {
        cp_metrics_document(stdout);
        return cp_output_finish();
    }
    cp_sigbus_install();
    if (monitor_place(&args, region, &config, &err) < 0) {
        cp_config_free(config);
        return cp_fail(&err);
    }
    if (config && config->password) /* of no use to a server that others reach */
        explicit_bzero(config->password, strlen(config->password));
    const cp_monitor_config settings = monitor_settings(&args, region, config);
    const int status = args.once ? metrics_print(region) : monitor_serve(&settings, args.common.json);
    cp_config_free(config);
    return status;
}
