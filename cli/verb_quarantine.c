/* `coldpath quarantine`: the rows that ClickHouse refuses, with its reasons (ls, show), sent again after the table was mended
 * (retry), or given up (drop). See flush/quarantine.h for the files, flush/quarantine_retry.h for what a retry promises. A recorder
 * may run meanwhile or not. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/error.h"
#include "base/log.h"
#include "base/trash.h"
#include "cli/cli.h"
#include "cli/confirm.h"
#include "cli/place.h"
#include "cli/text_table.h"
#include "cli/verb.h"
#include "flush/quarantine.h"
#include "flush/quarantine_retry.h"
#include "recorder/config_apply.h"
#include "schema/row.h"
#include "schema/row_text.h"

enum {
    OPTION_LIMIT = 0x2300,
    OPTION_TIMEOUT,
    CODES_MAX = 64, /* different ones that ls tells apart */
    POLL_NS = 20 * CP_NS_PER_MS,
    TIME_ROOM = 40
};

typedef struct quarantine_args {
    cp_common common;
    const char *action;
    const char *table;
    uint64_t limit;
    uint64_t timeout_ns;
    cp_confirm confirm;
} quarantine_args;

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static void pause_a_moment(void)
{
    const struct timespec time = {.tv_nsec = POLL_NS};
    nanosleep(&time, NULL);
}

static void time_text(char text[TIME_ROOM], uint64_t ns)
{
    const time_t seconds = (time_t)(ns / CP_NS_PER_S);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, TIME_ROOM, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

/* ---- ls ----------------------------------------------------------------------------------------------------------- */

typedef struct code_count {
    int32_t code;
    uint64_t rows;
} code_count;

/* Rows by code, the most frequent first; returns how many codes. */
static uint32_t codes_count(const cp_quarantine_list *list, code_count codes[CODES_MAX])
{
    uint32_t count = 0;
    for (uint64_t i = 0; i < list->count; i++) {
        uint32_t at = 0;
        while (at < count && codes[at].code != list->entries[i].code)
            at++;
        if (at == CODES_MAX)
            continue;
        if (at == count)
            codes[count++] = (code_count){list->entries[i].code, 0};
        codes[at].rows++;
        for (; at > 0 && codes[at].rows > codes[at - 1].rows; at--) {
            const code_count moved = codes[at];
            codes[at] = codes[at - 1];
            codes[at - 1] = moved;
        }
    }
    return count;
}

static void times_find(const cp_quarantine_list *list, uint64_t *oldest, uint64_t *newest)
{
    *oldest = *newest = 0;
    for (uint64_t i = 0; i < list->count; i++) {
        const uint64_t at = list->entries[i].refused_ns;
        *oldest = *oldest == 0 || at < *oldest ? at : *oldest;
        *newest = at > *newest ? at : *newest;
    }
}

static json_object *list_json(const char *table, const cp_quarantine_list *list, uint64_t limit)
{
    char text[TIME_ROOM];
    uint64_t oldest;
    uint64_t newest;
    code_count codes[CODES_MAX];
    const uint32_t count = codes_count(list, codes);
    json_object *item = json_object_new_object();
    json_object *items = json_object_new_array();
    times_find(list, &oldest, &newest);
    cp_json_add_string(item, "table", table);
    cp_json_add_uint(item, "rows", list->count);
    cp_json_add_uint(item, "bytes", list->bytes);
    cp_json_add_uint(item, "limit", limit);
    cp_json_add_uint(item, "damaged_bytes", list->damaged);
    time_text(text, oldest);
    cp_json_add_string(item, "oldest", list->count ? text : NULL);
    time_text(text, newest);
    cp_json_add_string(item, "newest", list->count ? text : NULL);
    for (uint32_t i = 0; i < count; i++) {
        json_object *code = json_object_new_object();
        cp_json_add(code, "code", json_object_new_int(codes[i].code));
        cp_json_add_uint(code, "rows", codes[i].rows);
        json_object_array_add(items, code);
    }
    cp_json_add(item, "codes", items);
    return item;
}

static void list_print(cp_text_table *text, const char *table, const cp_quarantine_list *list)
{
    char rows[CP_HUMAN_TEXT];
    char bytes[CP_HUMAN_TEXT];
    char first[TIME_ROOM] = "";
    char last[TIME_ROOM] = "";
    char reasons[128] = "";
    uint64_t oldest;
    uint64_t newest;
    code_count codes[CODES_MAX];
    const uint32_t count = codes_count(list, codes);
    times_find(list, &oldest, &newest);
    if (list->count) {
        time_text(first, oldest);
        time_text(last, newest);
    }
    for (uint32_t i = 0; i < count && i < 3; i++)
        snprintf(reasons + strlen(reasons), sizeof reasons - strlen(reasons), "%s%d: %" PRIu64, i ? ", " : "",
                 codes[i].code, codes[i].rows);
    cp_text_table_row(text, "%s\t%s\t%s\t%s\t%s\t%s", table, cp_human_count(rows, list->count),
                      cp_human_bytes(bytes, list->bytes), first, last, reasons);
}

static int list_of(const cp_config *config, const cp_table_config *table, cp_quarantine_list *list,
                   cp_error *err)
{
    const int rc = cp_quarantine_load(list, config->quarantine_dir, table->name,
                                      CP_QUARANTINE_ROWS | CP_QUARANTINE_RETRYING, err);
    return rc < 0 ? cp_error_prefix(err, "table %s", table->name), rc : CP_OK;
}

static bool is_wanted(const quarantine_args *args, const cp_table_config *table)
{
    return !args->table || strcmp(args->table, table->name) == 0;
}

static int ls_run(const quarantine_args *args, const cp_config *config, cp_error *err)
{
    cp_text_table *text =
        args->common.json ? NULL : cp_text_table_new("table\trows\tsize\toldest\tnewest\tcodes", "lrrlll");
    json_object *tables = json_object_new_array();
    int rc = CP_OK;
    for (uint32_t i = 0; rc == CP_OK && i < config->table_count; i++) {
        const cp_table_config *table = &config->tables[i];
        cp_quarantine_list list;
        if (!is_wanted(args, table))
            continue;
        rc = list_of(config, table, &list, err);
        if (rc < 0)
            break;
        json_object_array_add(tables, list_json(table->name, &list, config->quarantine_limit));
        if (text)
            list_print(text, table->name, &list);
        cp_quarantine_list_free(&list);
    }
    if (rc == CP_OK && args->common.json) {
        json_object *answer = cp_json_begin("quarantine");
        cp_json_add_string(answer, "dir", config->quarantine_dir);
        cp_json_add(answer, "tables", tables);
        return cp_json_end(answer);
    }
    json_object_put(tables);
    if (text)
        cp_text_table_print(text, stdout);
    return rc < 0 ? cp_fail(err) : cp_output_finish();
}

/* ---- show --------------------------------------------------------------------------------------------------------- */

/* The row as JSON text, or NULL when its bytes are no row of the table as it is declared now. */
static char *row_json(const cp_table *table, const cp_quarantine_row *row)
{
    char *text = NULL;
    size_t size = 0;
    if (row->schema_hash != table->schema_hash || cp_row_check(table, row->bytes, row->size, NULL) < 0)
        return NULL;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    cp_row_print(out, table, row->bytes, CP_ROW_JSON);
    return fclose(out) == 0 ? text : NULL;
}

static json_object *shown_json(const cp_table *table, const cp_quarantine_row *row)
{
    char at[TIME_ROOM];
    char *text = row_json(table, row);
    json_object *item = json_object_new_object();
    time_text(at, row->refused_ns);
    cp_json_add_string(item, "refused", at);
    cp_json_add(item, "code", json_object_new_int(row->code));
    cp_json_add_uint(item, "together", row->together);
    cp_json_add_string(item, "message", row->message);
    cp_json_add_uint(item, "epoch", row->epoch);
    cp_json_add_uint(item, "slot", row->slot);
    cp_json_add_uint(item, "position", row->position);
    cp_json_add_bool(item, "other_schema", row->schema_hash != table->schema_hash);
    cp_json_add_made(item, "row", text);
    return item;
}

static void shown_print(const cp_table *table, const cp_quarantine_row *row)
{
    char at[TIME_ROOM];
    char *text = row_json(table, row);
    time_text(at, row->refused_ns);
    printf("%s  code %d%s  slot %u position %" PRIu64 "\n  %s\n  %s\n", at, row->code,
           row->together > 1 ? ", with others" : "", row->slot, row->position, row->message,
           text ? text : "(a row of another schema than the table has now)");
    free(text);
}

static int rows_show(const quarantine_args *args, const cp_table *table, const cp_quarantine_list *list,
                     json_object *rows, cp_error *err)
{
    uint8_t *buffer = NULL;
    int rc = CP_OK;
    for (uint64_t i = 0; rc == CP_OK && i < list->count && i < args->limit && !cp_output_closed(); i++) {
        cp_quarantine_row row;
        rc = cp_quarantine_read(list, &list->entries[i], &buffer, &row, err);
        if (rc == CP_OK && args->common.json)
            json_object_array_add(rows, shown_json(table, &row));
        else if (rc == CP_OK)
            shown_print(table, &row);
    }
    free(buffer);
    return rc;
}

static int show_run(const quarantine_args *args, const cp_config *config, const cp_table_config *table,
                    cp_error *err)
{
    cp_quarantine_list list;
    int rc = list_of(config, table, &list, err);
    if (rc < 0)
        return cp_fail(err);
    json_object *rows = json_object_new_array();
    rc = rows_show(args, table->table, &list, rows, err);
    const uint64_t count = list.count;
    cp_quarantine_list_free(&list);
    if (rc == CP_OK && args->common.json) {
        json_object *answer = cp_json_begin("quarantine");
        cp_json_add_string(answer, "table", table->name);
        cp_json_add_uint(answer, "count", count);
        cp_json_add(answer, "rows", rows);
        return cp_json_end(answer);
    }
    json_object_put(rows);
    if (rc < 0)
        return cp_fail(err);
    if (count > args->limit)
        cp_message("%" PRIu64 " rows more; --limit shows them", count - args->limit);
    return cp_output_finish();
}

/* ---- retry -------------------------------------------------------------------------------------------------------- */

static int table_retry(const quarantine_args *args, const cp_config *config, const cp_table_config *table,
                       cp_quarantine_result *result, cp_error *err)
{
    cp_sink_config sink;
    cp_quarantine_retry *retry = NULL;
    const uint64_t deadline = cp_boottime_ns() + args->timeout_ns;
    cp_config_sink(config, &sink);
    sink.instance = config->namespace_name;
    const int rc = cp_quarantine_retry_start(&retry, &sink, table->table, err);
    if (rc < 0)
        return rc;
    do {
        pause_a_moment();
        cp_quarantine_retry_look(retry, result);
    } while (!result->done && !result->stuck && !stop_signal && cp_boottime_ns() < deadline);
    cp_quarantine_retry_stop(retry);
    if (result->done)
        return CP_OK;
    return cp_error_set(err, result->stuck ? CP_E_SERVER : CP_E_TIMEOUT,
                        "table %s: not all rows could be sent%s%s; what is left goes on with the next retry",
                        table->name, result->text[0] ? ": " : "", result->text);
}

static json_object *result_json(const char *table, const cp_quarantine_result *result, const char *error)
{
    json_object *item = json_object_new_object();
    cp_json_add_string(item, "table", table);
    cp_json_add_uint(item, "rows", result->rows);
    cp_json_add_uint(item, "delivered", result->delivered);
    cp_json_add_uint(item, "refused", result->refused);
    cp_json_add_uint(item, "kept", result->kept);
    cp_json_add_bool(item, "done", result->done);
    cp_json_add_string(item, "error", error);
    return item;
}

static void result_print(const char *table, const cp_quarantine_result *result)
{
    char rows[CP_HUMAN_TEXT];
    char delivered[CP_HUMAN_TEXT];
    char refused[CP_HUMAN_TEXT];
    printf("%s: %s rows, %s delivered, %s refused again", table, cp_human_count(rows, result->rows),
           cp_human_count(delivered, result->delivered), cp_human_count(refused, result->refused));
    if (result->kept)
        printf(", %s of another schema and not sent", cp_human_count(rows, result->kept));
    putchar('\n');
    if (result->refused && result->text[0])
        printf("  %s\n", result->text);
}

static int retry_run(const quarantine_args *args, const cp_config *config, cp_error *err)
{
    json_object *tables = json_object_new_array();
    int status = CP_EXIT_OK;
    for (uint32_t i = 0; i < config->table_count && !stop_signal; i++) {
        const cp_table_config *table = &config->tables[i];
        cp_quarantine_result result = {0};
        *err = (cp_error){0};
        if (!is_wanted(args, table))
            continue;
        const int rc = table_retry(args, config, table, &result, err);
        if (rc == CP_E_ABSENT && !args->table)
            continue;
        const bool empty = rc == CP_E_ABSENT;
        if (rc < 0 && !empty)
            status = cp_fail(err);
        else if (status == CP_EXIT_OK && result.refused + result.kept > 0)
            status = CP_EXIT_FAILED;
        result.done |= empty;
        json_object_array_add(tables, result_json(table->name, &result, rc < 0 && !empty ? err->text : NULL));
        if (!args->common.json)
            result_print(table->name, &result);
    }
    if (!args->common.json) {
        json_object_put(tables);
        return cp_output_finish() == CP_EXIT_OK ? status : CP_EXIT_IO;
    }
    json_object *answer = cp_json_begin("quarantine");
    cp_json_add(answer, "tables", tables);
    return cp_json_end(answer) == CP_EXIT_OK ? status : CP_EXIT_IO;
}

/* ---- drop --------------------------------------------------------------------------------------------------------- */

/* *moved: there was something. Then what has lain in the trash long enough goes. */
static int files_drop(const cp_config *config, const cp_table_config *table, bool *moved, cp_error *err)
{
    cp_quarantine quarantine;
    uint32_t deleted;
    int rc =
        cp_quarantine_init(&quarantine, config->quarantine_dir, table->name, config->quarantine_limit, err);
    if (rc == CP_OK)
        rc = cp_quarantine_at_rest(&quarantine, err);
    if (rc == CP_OK)
        rc = cp_quarantine_lock(&quarantine, err);
    if (rc == CP_OK)
        rc = cp_quarantine_trash(&quarantine, false, "dropped", moved, err);
    cp_quarantine_unlock(&quarantine);
    if (rc == CP_OK)
        rc = cp_trash_expire(config->quarantine_dir, config->trash_keep_ns, cp_realtime_ns(), &deleted, err);
    return rc;
}

static int drop_run(const quarantine_args *args, const cp_config *config, const cp_table_config *table,
                    cp_error *err)
{
    cp_quarantine_list list;
    int rc = list_of(config, table, &list, err);
    if (rc < 0)
        return cp_fail(err);
    const uint64_t rows = list.count;
    cp_quarantine_list_free(&list);
    if (!cp_confirm_is_given(&args->confirm)) {
        cp_message("%" PRIu64 " rows of %s would go to %s/trash: say --yes --confirm=%s", rows, table->name,
                   config->quarantine_dir, table->name);
        return CP_EXIT_USAGE;
    }
    bool moved = false;
    rc = files_drop(config, table, &moved, err);
    if (rc == CP_OK && !moved)
        rc = cp_error_set(err, CP_E_ABSENT, "table %s has no rows in quarantine", table->name);
    if (rc < 0)
        return cp_fail(err);
    if (args->common.json) {
        json_object *answer = cp_json_begin("quarantine");
        cp_json_add_string(answer, "table", table->name);
        cp_json_add_uint(answer, "dropped", rows);
        return cp_json_end(answer);
    }
    cp_message("%" PRIu64 " rows of %s are in %s/trash", rows, table->name, config->quarantine_dir);
    return CP_EXIT_OK;
}

/* ---- the verb ----------------------------------------------------------------------------------------------------- */

static const struct argp_option quarantine_options[] = {
    {"limit", OPTION_LIMIT, "N", 0, "show: rows at most (20)", 0},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "retry: how long, per table (10m)", 0},
    {0},
};

static void check_arguments(const quarantine_args *args, struct argp_state *state)
{
    static const char *const actions[] = {"ls", "show", "retry", "drop"};
    bool known = false;
    for (size_t i = 0; args->action && i < sizeof actions / sizeof actions[0]; i++)
        known = known || strcmp(actions[i], args->action) == 0;
    if (!known)
        argp_error(state, "say what: ls [TABLE], show TABLE, retry [TABLE] or drop TABLE");
    if (args->table)
        cp_confirm_check(&args->confirm, args->table, state);
    if (known && !args->table && (args->action[0] == 's' || args->action[0] == 'd'))
        argp_error(state, "%s: of which table?", args->action);
}

static error_t quarantine_parse(int key, char *arg, struct argp_state *state)
{
    quarantine_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        state->child_inputs[1] = &args->confirm;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "one table at a time");
        *(state->arg_num == 0 ? &args->action : &args->table) = arg;
        return 0;
    case OPTION_LIMIT:
        if (!cp_number_parse(arg, 1, UINT64_MAX, &args->limit))
            argp_error(state, "--limit: '%s' is not a number of rows", arg);
        return 0;
    case OPTION_TIMEOUT:
        if (!cp_duration_parse(arg, &args->timeout_ns))
            argp_error(state, "--timeout: '%s' is not a time such as 30s", arg);
        return 0;
    case ARGP_KEY_END:
        check_arguments(args, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int action_run(const quarantine_args *args, const cp_config *config, cp_error *err)
{
    const cp_table_config *table = NULL;
    for (uint32_t i = 0; args->table && i < config->table_count; i++)
        table = strcmp(config->tables[i].name, args->table) == 0 ? &config->tables[i] : table;
    if (args->table && !table) {
        cp_error_set(err, CP_E_INVAL, "the configuration has no table '%s'", args->table);
        return cp_fail(err);
    }
    if (args->action[0] == 'l')
        return ls_run(args, config, err);
    if (args->action[0] == 'r')
        return retry_run(args, config, err);
    if (!table) /* check_arguments has seen to it */
        return CP_EXIT_USAGE;
    return args->action[0] == 's' ? show_run(args, config, table, err) : drop_run(args, config, table, err);
}

int cp_verb_quarantine(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {&cp_common_argp, 0, NULL, 0}, {&cp_confirm_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = quarantine_options,
        .parser = quarantine_parse,
        .args_doc = "ls [TABLE]\nshow TABLE\nretry [TABLE]\ndrop TABLE --yes --confirm=TABLE",
        .doc =
            "Rows that ClickHouse refuses one by one, with its reasons.\v"
            "retry sends them again, each once whatever is killed, and keeps those that are refused again. "
            "drop moves them to trash/ in the quarantine's directory, where they lie for trash.keep at "
            "least. Exit "
            "codes: 0 done, 1 not all rows were taken, 69 nothing there, or another process is at it.",
        .children = children};
    quarantine_args args = {.limit = 20, .timeout_ns = 600 * (uint64_t)CP_NS_PER_S};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    cp_log_set_level(CP_LOG_ERROR);
    cp_error err = {0};
    cp_config *config = NULL;
    const int rc = cp_place_config(&args.common, &config, &err);
    const int status = rc < 0 ? cp_fail(&err) : action_run(&args, config, &err);
    cp_config_free(config);
    return status;
}
