/* The verbs of `coldpath`. One table (verb.c) names them all; help, usage errors, suggestions and dispatch
 * are made from it, so that a verb cannot be missing from one of them. */
#ifndef CP_CLI_VERB_H
#define CP_CLI_VERB_H

#include <stdbool.h>

typedef struct cp_verb {
    const char *name;
    const char *arguments;             /* "TABLE [FILE]", or "" */
    const char *summary;               /* one line for `coldpath help` */
    bool changes;                      /* false: read-only */
    int (*run)(int argc, char **argv); /* argv[0] is "coldpath <name>"; returns an exit code */
} cp_verb;

/* All verbs, ended by an entry whose name is NULL. */
extern const cp_verb cp_verbs[];

/* Runs the verb argv[1] names, with the arguments behind it. Returns the program's exit code. */
int cp_verb_dispatch(int argc, char **argv);

int cp_verb_audit(int argc, char **argv);
int cp_verb_bench(int argc, char **argv);
int cp_verb_check(int argc, char **argv);
int cp_verb_completion(int argc, char **argv);
int cp_verb_degrade(int argc, char **argv);
int cp_verb_doctor(int argc, char **argv);
int cp_verb_errors(int argc, char **argv);
int cp_verb_export(int argc, char **argv);
int cp_verb_flush(int argc, char **argv);
int cp_verb_help(int argc, char **argv);
int cp_verb_import(int argc, char **argv);
int cp_verb_init(int argc, char **argv);
int cp_verb_monitor(int argc, char **argv);
int cp_verb_latency(int argc, char **argv);
int cp_verb_latest(int argc, char **argv);
int cp_verb_maintain(int argc, char **argv);
int cp_verb_pause(int argc, char **argv);
int cp_verb_purge(int argc, char **argv);
int cp_verb_put(int argc, char **argv);
int cp_verb_quarantine(int argc, char **argv);
int cp_verb_query(int argc, char **argv);
int cp_verb_reload(int argc, char **argv);
int cp_verb_replay(int argc, char **argv);
int cp_verb_resume(int argc, char **argv);
int cp_verb_rotate(int argc, char **argv);
int cp_verb_schema(int argc, char **argv);
int cp_verb_stat(int argc, char **argv);
int cp_verb_status(int argc, char **argv);
int cp_verb_tables(int argc, char **argv);
int cp_verb_tail(int argc, char **argv);
int cp_verb_top(int argc, char **argv);
int cp_verb_wal(int argc, char **argv);

#endif
