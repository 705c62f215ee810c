#include "cli/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "schema/suggest.h"

const cp_verb cp_verbs[] = {
    {"help", "[VERB]", "This list, or the options of a verb", false, cp_verb_help},
    {"status", "", "The recorder's state and every table's ledger", false, cp_verb_status},
    {"stat", "[TABLE]", "What happens per second, table by table", false, cp_verb_stat},
    {"top", "", "The recorder, its logs and every table, live", false, cp_verb_top},
    {"doctor", "", "What is wrong with this host, the region or ClickHouse's tables, and how to mend it",
     false, cp_verb_doctor},
    {"errors", "", "What went wrong, each kind once, with or without a recorder", false, cp_verb_errors},
    {"tail", "TABLE", "Rows as they pass through shared memory", false, cp_verb_tail},
    {"latency", "[TABLE]", "How long rows take until they are drained, durable, delivered", false,
     cp_verb_latency},
    {"tables", "", "The tables of the region", false, cp_verb_tables},
    {"schema", "show|gen|diff|apply [TABLE]", "Declarations: show, gen, diff; apply changes the server", true,
     cp_verb_schema},
    {"check", "[FILE ...]",
     "Check the configuration and the host's room for it; --values prints what it comes to", false,
     cp_verb_check},
    {"audit", "[TABLE]", "The ledger, held against what ClickHouse has", false, cp_verb_audit},
    {"monitor", "", "Metrics, status and a page over HTTP, with or without a recorder", false,
     cp_verb_monitor},
    {"bench", "put|encode|ship|e2e|wal|recover",
     "What puts, inserts, durable commits, reading a log back cost here", false, cp_verb_bench},
    {"query", "[SQL]", "Run one statement on the configured ClickHouse", false, cp_verb_query},
    {"latest", "TABLE", "The newest row of a table in ClickHouse, or of every key", false, cp_verb_latest},
    {"export", "TABLE", "A table's days as Parquet, Arrow or JSON files", false, cp_verb_export},
    {"completion", "bash|zsh", "The shell's completion, to be sourced", false, cp_verb_completion},
    {"wal", "ls|dump|verify|repair [TABLE]", "Logs of critical tables: ls, dump, verify; repair", true,
     cp_verb_wal},
    {"init", "", "Make the region, and the tables in ClickHouse", true, cp_verb_init},
    {"put", "TABLE [FILE]", "Put rows (JSONEachRow, CSV, TSV; gzip too) from FILE or standard input", true,
     cp_verb_put},
    {"import", "KIND ...", "Move rows of older recorders in: spool, jsonl, csv, wal", true, cp_verb_import},
    {"flush", "", "Ship now, without waiting for batches to fill; --wait until delivered", true,
     cp_verb_flush},
    {"reload", "", "Make the running recorder read its configuration anew", true, cp_verb_reload},
    {"pause", "TABLE|all", "Send nothing more of a table to ClickHouse, until it is resumed", true,
     cp_verb_pause},
    {"resume", "TABLE|all", "Send again what was paused", true, cp_verb_resume},
    {"degrade", "TABLE none|suppress|conflate|drop|auto",
     "Hold a lossy table on a rung of its pressure ladder; auto lets it go", true, cp_verb_degrade},
    {"rotate", "[TABLE]", "Let the logs of critical tables go on in another segment", true, cp_verb_rotate},
    {"maintain", "[TABLE]", "Drop what is past its TTL, rolled up before; --yes does it", true,
     cp_verb_maintain},
    {"replay", "", "Deliver what critical tables' logs hold, without a recorder; or send it again", true,
     cp_verb_replay},
    {"purge", "TABLE", "Give up rows of a critical table's log that ClickHouse does not have; to trash/",
     true, cp_verb_purge},
    {"quarantine", "ls|show|retry|drop [TABLE]", "Rows that ClickHouse refuses: ls, show; retry, drop", true,
     cp_verb_quarantine},
    {NULL, NULL, NULL, false, NULL},
};

enum {
    VERB_TITLE = 64,
    VERB_COLUMN = 26 /* a longer title has a line of its own */
};

static const cp_verb *verb_find(const char *name)
{
    for (const cp_verb *verb = cp_verbs; verb->name; verb++) {
        if (strcmp(verb->name, name) == 0)
            return verb;
    }
    return NULL;
}

static void print_verbs(FILE *out, bool changes)
{
    for (const cp_verb *verb = cp_verbs; verb->name; verb++) {
        if (verb->changes != changes)
            continue;
        char title[VERB_TITLE];
        snprintf(title, sizeof title, "%s %s", verb->name, verb->arguments);
        if (strlen(title) > VERB_COLUMN)
            fprintf(out, "  %s\n  %-*s %s\n", title, VERB_COLUMN, "", verb->summary);
        else
            fprintf(out, "  %-*s %s\n", VERB_COLUMN, title, verb->summary);
    }
}

static void print_help(FILE *out)
{
    fputs("Usage: coldpath VERB [OPTION...] [ARGUMENT...]\n\n"
          "Records rows into shared memory, from where coldpathd ships them to ClickHouse.\n\n"
          "Looking:\n",
          out);
    print_verbs(out, false);
    fputs("\nChanging:\n", out);
    print_verbs(out, true);
    fputs("\nEvery verb takes --json, --config FILE, --region PATH and --help.\n"
          "Exit codes: 0 ok, 1 failed, 2 unhealthy or a difference found, 64 usage, 69 recorder absent, or "
          "region\n"
          "absent, busy, damaged or of another version, 74 input/output, 78 configuration. A reader that "
          "closes\n"
          "its end of a pipe early (| head) changes none of them.\n",
          out);
}

static int print_help_json(void)
{
    json_object *answer = cp_json_begin("help");
    json_object *verbs = json_object_new_array();
    for (const cp_verb *verb = cp_verbs; verb->name; verb++) {
        json_object *item = json_object_new_object();
        cp_json_add_string(item, "name", verb->name);
        cp_json_add_string(item, "arguments", verb->arguments);
        cp_json_add_string(item, "summary", verb->summary);
        cp_json_add_bool(item, "changes", verb->changes);
        json_object_array_add(verbs, item);
    }
    cp_json_add(answer, "verbs", verbs);
    return cp_json_end(answer);
}

static int unknown_verb(const char *name)
{
    cp_suggestion meant = {.word = name, .len = strlen(name)};
    for (const cp_verb *verb = cp_verbs; verb->name; verb++)
        cp_suggest_offer(&meant, verb->name);
    if (meant.best)
        cp_message("there is no verb '%s'; did you mean '%s'?", name, meant.best);
    else
        cp_message("there is no verb '%s'; `coldpath help` lists them", name);
    return CP_EXIT_USAGE;
}

static int verb_run(const cp_verb *verb, int argc, char **argv)
{
    char title[VERB_TITLE];
    snprintf(title, sizeof title, "coldpath %s", verb->name);
    argv[0] = title;
    return verb->run(argc, argv);
}

struct help_args {
    cp_common common;
    const char *verb;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t help_parse(int key, char *arg, struct argp_state *state)
{
    struct help_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case ARGP_KEY_ARG:
        if (args->verb)
            argp_error(state, "one verb at a time");
        args->verb = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cp_verb_help(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cp_common_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {.parser = help_parse,
                                     .args_doc = "[VERB]",
                                     .doc = "Lists the verbs, or the options of one.",
                                     .children = children};
    struct help_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    if (!args.verb) {
        if (args.common.json)
            return print_help_json();
        print_help(stdout);
        return cp_output_finish();
    }
    const cp_verb *verb = verb_find(args.verb);
    if (!verb)
        return unknown_verb(args.verb);
    char help[] = "--help";
    char *verb_argv[] = {NULL, help, NULL};
    return verb_run(verb, 2, verb_argv);
}

int cp_verb_dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return CP_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-?") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts("coldpath " COLDPATH_VERSION);
        return cp_output_finish();
    }
    const cp_verb *verb = verb_find(name);
    return verb ? verb_run(verb, argc - 1, argv + 1) : unknown_verb(name);
}
