#include "recorder/error_notes.h"

#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "shm/error_log.h"

static cp_error_log notes;

/* With the log's lock held. */
static void on_event(void *ctx, cp_log_level level, const char *message, const char *fields)
{
    char table[CP_ABI_NAME];
    char remedy[CP_ABI_ERROR_TEXT];
    cp_log_field(fields, "table", table, sizeof table);
    cp_log_field(fields, "remedy", remedy, sizeof remedy);
    const cp_error_event event = {.level = (uint32_t)level,
                                  .table = table,
                                  .message = message,
                                  .detail = fields,
                                  .remedy = remedy,
                                  .now_ns = cp_realtime_ns()};
    cp_error_log_note(ctx, &event);
}

/* As the control file: whoever may put may read it. */
static void access_of(const cp_region_owner *region, unsigned file_mode, unsigned *mode, unsigned *gid)
{
    struct stat status;
    *mode = 0600 | (file_mode & 0044);
    *gid = stat(region->dir, &status) == 0 ? status.st_gid : (unsigned)-1;
}

void cp_error_notes_open(const cp_config *config, const cp_region_owner *region)
{
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    unsigned mode;
    unsigned gid;
    access_of(region, config->region_mode, &mode, &gid);
    if (cp_error_log_open(&notes, region->dir, mode, gid, &err) < 0)
        cp_log(CP_LOG_WARN, "errors are not kept in the region", "error=%s",
               cp_log_quote(quoted, sizeof quoted, err.text));
    else
        cp_log_observe(on_event, &notes);
}

void cp_error_notes_keep(const cp_config *config, const cp_region_owner *region)
{
    if (cp_error_log_is_whole(&notes, region->dir))
        return;
    cp_error_notes_close();
    cp_error_notes_open(config, region);
    cp_log(
        CP_LOG_WARN, "the file of errors was cut short or taken away",
        "path=%s/" CP_ERROR_LOG_FILE
        " consequence=\"what was noted in it is gone, the log has it\" remedy=\"leave the region's files to "
        "the recorder\"",
        region->dir);
}

void cp_error_notes_close(void)
{
    cp_log_observe(NULL, NULL);
    cp_error_log_close(&notes);
}
