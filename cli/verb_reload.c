/* `coldpath reload`: the running recorder reads its configuration anew, at once, and says what came of it.
 *
 *   this                                      recorder
 *   note reload_count, command ─────────────► count becomes odd, reads, checks, takes over, writes the outcome
 *   read the outcome in the region, print ◄── count becomes even; answers
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/place.h"
#include "cli/recorder_call.h"
#include "cli/verb.h"
#include "monitor/health.h"
#include "shm/control.h"
#include "shm/region.h"
#include "shm/sigbus_guard.h"

enum { OPTION_TIMEOUT = 't' };

enum {
    DEFAULT_TIMEOUT_S = 30,
    POLL_NS = 5 * CP_NS_PER_MS,
    ALIVE_EVERY = 20 /* polls; looking for the lock opens a file */
};

typedef struct reload_args {
    cp_common common;
    uint64_t timeout_ns;
} reload_args;

typedef struct reload_run {
    const reload_args *args;
    char dir[PATH_MAX];
    cp_control control;
    uint64_t target; /* of reload_count */
    uint32_t pid;
    uint32_t result; /* cp_reload_result */
    char text[CP_ABI_RELOAD_TEXT];
} reload_run;

static uint64_t count_read(const reload_run *run)
{
    return __atomic_load_n(&run->control.header->reload_count, __ATOMIC_ACQUIRE);
}

static int reload_ask(reload_run *run, cp_error *err)
{
    int rc = cp_place_region(&run->args->common, run->dir, err);
    if (rc == CP_OK)
        rc = cp_control_open(&run->control, run->dir, false, err);
    if (rc < 0)
        return rc;
    if (!cp_region_is_owned(run->dir))
        return cp_error_set(err, CP_E_ABSENT,
                            "no recorder runs on %s: it will read the configuration when it starts",
                            run->dir);
    const uint64_t count = count_read(run);
    run->target =
        count + (count & 1 ? 3 : 2); /* one that is under way may have read before the file was changed */
    run->pid = __atomic_load_n(&run->control.header->recorder_pid, __ATOMIC_RELAXED);
    cp_command command;
    cp_command_reply reply;
    cp_command_make(&command, CP_COMMAND_RELOAD, NULL);
    return cp_recorder_call(run->dir, &command, run->args->timeout_ns, &reply, err);
}

/* True when the outcome is there, whole. */
static bool outcome_read(reload_run *run)
{
    const cp_abi_control *header = run->control.header;
    const uint64_t count = count_read(run);
    if (count & 1 || (int64_t)(count - run->target) < 0)
        return false;
    run->result = __atomic_load_n(&header->reload_result, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i + 1 < sizeof run->text;
         i++) /* acquired, as in ack.c: the count is read again behind them */
        run->text[i] = __atomic_load_n(&header->reload_text[i], __ATOMIC_ACQUIRE);
    return count_read(run) == count;
}

static int outcome_wait(reload_run *run, cp_error *err)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    const uint64_t begin = cp_boottime_ns();
    for (uint32_t polls = 1; !outcome_read(run); polls++) {
        char time[CP_HUMAN_TEXT];
        if (cp_boottime_ns() - begin >= run->args->timeout_ns)
            return cp_error_set(err, CP_E_TIMEOUT,
                                "the recorder has not answered within %s (--timeout); its log says more",
                                cp_human_ns(time, run->args->timeout_ns));
        if (polls % ALIVE_EVERY == 0 && !cp_region_is_owned(run->dir))
            return cp_error_set(err, CP_E_ABSENT, "the recorder has ended");
        nanosleep(&pause, NULL);
    }
    return CP_OK;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

/* The key of a line "applied clickhouse.url", or NULL. Ends the line. */
static const char *line_key(char *line, const char *verb)
{
    const size_t len = strlen(verb);
    return strncmp(line, verb, len) == 0 && line[len] == ' ' ? line + len + 1 : NULL;
}

static json_object *keys_json(const reload_run *run, const char *verb)
{
    char text[CP_ABI_RELOAD_TEXT];
    json_object *keys = json_object_new_array();
    char *rest = NULL;
    memcpy(text, run->text, sizeof text);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *key = line_key(line, verb);
        if (key)
            cp_json_append_string(keys, key);
    }
    return keys;
}

static int reload_json(const reload_run *run)
{
    json_object *answer = cp_json_begin("reload");
    const bool refused = run->result == CP_RELOAD_REFUSED;
    cp_json_add_string(answer, "result", cp_reload_result_name(run->result));
    cp_json_add_uint(answer, "recorder_pid", run->pid);
    if (!refused) {
        cp_json_add(answer, "applied", keys_json(run, "applied"));
        cp_json_add(answer, "needs_restart", keys_json(run, "restart"));
        cp_json_add_bool(answer, "all_listed", strstr(run->text, "…") == NULL);
    }
    cp_json_add_string(answer, "error", refused ? run->text : NULL);
    return cp_json_end(answer);
}

static int reload_text(const reload_run *run)
{
    char text[CP_ABI_RELOAD_TEXT];
    char *rest = NULL;
    memcpy(text, run->text, sizeof text);
    if (run->result == CP_RELOAD_REFUSED)
        return CP_EXIT_OK;
    if (!text[0])
        puts("nothing has changed");
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *applied = line_key(line, "applied");
        const char *restart = line_key(line, "restart");
        if (applied)
            printf("applied        %s\n", applied);
        else if (restart)
            printf("needs restart  %s\n", restart);
        else
            printf("%s and more: the recorder's log has all\n", line);
    }
    return cp_output_finish();
}

static int reload_report(const reload_run *run)
{
    const int printed = run->args->common.json ? reload_json(run) : reload_text(run);
    if (run->result == CP_RELOAD_REFUSED) {
        fputs(run->text, stderr);
        fputs(run->text[strlen(run->text) - (run->text[0] != '\0')] == '\n' ? "" : "\n", stderr);
        cp_message("the configuration is refused, the old one is kept");
        return CP_EXIT_CONFIG;
    }
    if (printed != CP_EXIT_OK)
        return printed;
    return run->result == CP_RELOAD_RESTART ? CP_EXIT_UNHEALTHY : CP_EXIT_OK;
}

static const struct argp_option reload_options[] = {
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "How long to wait for the recorder's answer (30s)", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t reload_parse(int key, char *arg, struct argp_state *state)
{
    reload_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case OPTION_TIMEOUT:
        if (!cp_duration_parse(arg, &args->timeout_ns))
            argp_error(state, "--timeout: '%s' is not a time; write 30s or 250ms", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_reload(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = reload_options,
        .parser = reload_parse,
        .doc =
            "Makes the running recorder read its configuration anew, and says what came of it, key by key.\v"
            "All of it is checked first; then what can be changed while rows flow is changed at once, or, "
            "when anything is "
            "wrong, nothing. The recorder reads the file it was started with, in its own environment; "
            "--config only says "
            "which region is meant. The running recorder does not see changed variables. Run it as the "
            "recorder's user, root, or a member of recorder.control_group. Exit codes: 0 everything that "
            "changed holds now; 2 some keys need a restart, until then "
            "their old values "
            "hold; 78 the configuration is refused and the old one kept; 69 no recorder runs; 1 no answer in "
            "time.",
        .children = children};
    reload_args args = {.timeout_ns = (uint64_t)DEFAULT_TIMEOUT_S * CP_NS_PER_S};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    cp_sigbus_install();
    static reload_run run;
    run.args = &args;
    cp_error err = {0};
    int rc = reload_ask(&run, &err);
    if (rc == CP_OK)
        rc = outcome_wait(&run, &err);
    const int status = rc < 0 ? cp_fail(&err) : reload_report(&run);
    if (rc == CP_E_CONFIG)
        cp_message("the recorder was not asked; it goes on with the configuration that it has");
    cp_control_close(&run.control);
    return status;
}
