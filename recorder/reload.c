#include "recorder/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "recorder/config/change.h"
#include "shm/abi.h"

typedef struct reload_changes {
    FILE *text;
    uint32_t applied;
    uint32_t restart;
} reload_changes;

static void on_change(void *ctx, const char *path, bool live)
{
    reload_changes *changes = ctx;
    fprintf(changes->text, "%s %s\n", live ? "applied" : "restart", path);
    if (live)
        changes->applied++;
    else
        changes->restart++;
    cp_log(live ? CP_LOG_INFO : CP_LOG_WARN, live ? "configuration changed" : "configuration needs a restart",
           "key=%s%s", path, live ? "" : " remedy=\"restart coldpathd when it suits: no row is lost\"");
}

static void ended(const cp_reload *reload, cp_reload_result result, const char *text)
{
    cp_recorder_reload_ended(reload->recorder, (uint32_t)result, text);
}

/* problems: what the reader of the configuration printed, or "". */
static void refuse(const cp_reload *reload, const cp_error *err, const char *problems)
{
    char quoted[CP_ERROR_TEXT + 64];
    fputs(problems, stderr);
    cp_log(CP_LOG_ERROR, "configuration refused, the old one is kept", "error=%s remedy=\"coldpath check\"",
           cp_log_quote(quoted, sizeof quoted, err->text));
    ended(reload, CP_RELOAD_REFUSED, problems[0] ? problems : err->text);
}

static void take_over(cp_reload *reload, cp_config *fresh)
{
    cp_error err = {0};
    char *text = NULL;
    size_t size = 0;
    reload_changes changes = {.text = open_memstream(&text, &size)};
    const cp_config *applied = reload->applied ? reload->applied : reload->started;
    int rc = changes.text ? cp_recorder_configure(reload->recorder, fresh, &err)
                          : cp_error_set(&err, CP_E_NOMEM, "no memory to compare configurations");
    if (rc < 0) {
        refuse(reload, &err, "");
        cp_config_free(fresh);
        fresh = NULL;
    } else {
        cp_log_level level;
        cp_config_compare(reload->started, applied, fresh, on_change, &changes);
        if (cp_log_level_parse(fresh->log_level, &level))
            cp_log_set_level(level);
    }
    const bool complete = changes.text && fclose(changes.text) == 0;
    if (fresh) {
        cp_log(CP_LOG_INFO, "configuration reloaded", "applied=%u need_restart=%u", changes.applied,
               changes.restart);
        ended(reload, changes.restart ? CP_RELOAD_RESTART : CP_RELOAD_APPLIED, complete ? text : "");
        cp_config_free(reload->applied);
        reload->applied = fresh;
    }
    free(text);
}

void cp_reload_run(cp_reload *reload)
{
    cp_error err = {0};
    cp_config *fresh = NULL;
    char *problems = NULL;
    size_t size = 0;
    cp_recorder_reload_begins(reload->recorder);
    FILE *stream = open_memstream(&problems, &size);
    const int rc = cp_config_load(&fresh, reload->started->path, stream, &err);
    const bool printed = stream && fclose(stream) == 0;
    if (rc < 0) {
        refuse(reload, &err, printed ? problems : "");
    } else {
        fputs(printed ? problems : "", stderr); /* warnings */
        take_over(reload, fresh);
    }
    free(problems);
}

void cp_reload_free(cp_reload *reload)
{
    cp_config_free(reload->applied);
    reload->applied = NULL;
}
