/* `coldpath doctor`: what is wrong with this host, the region or ClickHouse's tables, and how to mend it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "shm/sigbus_guard.h"

enum {
    SERVER_TIMEOUT_MS = 5000 /* somebody waits at a terminal; inserts may take clickhouse.request_timeout */
};

static const char *verdict_name(cp_verdict verdict)
{
    static const char *const names[] = {"ok", "advice", "wrong", "unknown"};
    return names[verdict];
}

static int doctor_json(const cp_doctor *doctor, bool healthy)
{
    json_object *answer = cp_json_begin("doctor");
    json_object *checks = json_object_new_array();
    cp_json_add_bool(answer, "healthy", healthy);
    for (uint32_t i = 0; i < doctor->count; i++) {
        const cp_finding *finding = &doctor->list[i];
        json_object *item = json_object_new_object();
        cp_json_add_string(item, "check", finding->check);
        cp_json_add_string(item, "verdict", verdict_name(finding->verdict));
        cp_json_add_string(item, "found", finding->found);
        cp_json_add_string(item, "remedy", finding->remedy[0] ? finding->remedy : NULL);
        json_object_array_add(checks, item);
    }
    cp_json_add(answer, "checks", checks);
    return cp_json_end(answer);
}

/* The findings from one on: what is wrong comes first, what is well last. */
static int doctor_text(const cp_doctor *doctor, uint32_t from)
{
    static const cp_verdict order[] = {CP_VERDICT_WRONG, CP_VERDICT_UNKNOWN, CP_VERDICT_ADVICE,
                                       CP_VERDICT_OK};
    const bool styled = cp_text_styled(stdout);
    for (size_t o = 0; o < sizeof order / sizeof order[0]; o++) {
        for (uint32_t i = from; i < doctor->count; i++) {
            const cp_finding *finding = &doctor->list[i];
            if (finding->verdict != order[o])
                continue;
            const char *on = !styled ? "" : finding->verdict == CP_VERDICT_WRONG ? "\033[1;31m" : "\033[1m";
            printf("%s%-8s%s%s: %s\n", finding->verdict == CP_VERDICT_OK ? "" : on,
                   verdict_name(finding->verdict), styled ? "\033[0m" : "", finding->check, finding->found);
            if (finding->remedy[0])
                printf("        -> %s\n", finding->remedy);
        }
    }
    return cp_output_finish();
}

int cp_verb_doctor(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .parser = cp_common_parse_only,
        .doc = "Looks at this host, the region and ClickHouse for what keeps rows from being "
               "recorded well, and says how to mend it.\vRun it as the recorder's user: limits "
               "are those of whoever asks. Exit codes: 0 nothing is wrong (advice there may "
               "be), 2 something is, 78 the configuration is not valid.",
        .children = children};
    cp_common common = {0};
    cp_error err = {0};
    cp_config *config = NULL;
    char region[PATH_MAX];
    argp_parse(&argp, argc, argv, 0, NULL, &common);
    cp_sigbus_install();
    int rc = cp_place_config(&common, &config, &err);
    if (rc == CP_OK)
        rc = cp_place_region_of(&common, config, region, &err);
    cp_doctor *doctor = rc == CP_OK ? calloc(1, sizeof *doctor) : NULL;
    if (rc == CP_OK && !doctor)
        cp_error_set(&err, CP_E_NOMEM, "no memory");
    if (!doctor) {
        cp_config_free(config);
        return cp_fail(&err);
    }
    cp_doctor_region(doctor, config, region);
    cp_doctor_host(doctor, config, region);
    const uint32_t local = doctor->count; /* shown before ClickHouse is asked, which may take its time */
    int printed = common.json ? CP_EXIT_OK : doctor_text(doctor, 0);
    if (config->request_timeout_ms > SERVER_TIMEOUT_MS)
        config->request_timeout_ms = SERVER_TIMEOUT_MS;
    cp_doctor_server(doctor, config);
    bool healthy = true;
    for (uint32_t i = 0; i < doctor->count; i++)
        healthy = healthy && doctor->list[i].verdict != CP_VERDICT_WRONG;
    if (printed == CP_EXIT_OK)
        printed = common.json ? doctor_json(doctor, healthy) : doctor_text(doctor, local);
    free(doctor);
    cp_config_free(config);
    return printed != CP_EXIT_OK ? printed : healthy ? CP_EXIT_OK : CP_EXIT_UNHEALTHY;
}
