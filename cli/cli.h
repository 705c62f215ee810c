/* What all verbs of `coldpath` share: exit codes, the options every verb takes, and messages.
 *
 * Data goes to standard output, messages to standard error. On a terminal tables are aligned and their headings bold
 * (unless NO_COLOR is set); otherwise they are tab-separated text. With --json standard output gets one JSON object,
 * which begins {"schema_version":1,"verb":…}; stat gives one such line per interval. */
#ifndef CP_CLI_CLI_H
#define CP_CLI_CLI_H

#include <argp.h>
#include <coldpath/error.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CP_EXIT_OK = 0,
    CP_EXIT_FAILED = 1,
    CP_EXIT_UNHEALTHY = 2, /* the recorder runs, but not well; or a difference was found */
    CP_EXIT_USAGE = 64,    /* these four as in <sysexits.h>; argp exits with the first by itself */
    CP_EXIT_ABSENT =
        69, /* no region or no recorder, or the region cannot be used: busy, damaged, another version */
    CP_EXIT_IO = 74,
    CP_EXIT_CONFIG = 78
};

enum { CP_JSON_SCHEMA_VERSION = 1 };

/* The options that every verb takes. */
typedef struct cp_common {
    bool json;
    const char *config; /* --config, or NULL */
    const char *region; /* --region, or NULL: from the configuration */
} cp_common;

/* The argp child of a verb for these options; its input is a cp_common. */
extern const struct argp cp_common_argp;

/* The argp parser of a verb that takes these options and no others; its input is the cp_common. */
error_t cp_common_parse_only(int key, char *arg, struct argp_state *state);

/* Prints "coldpath: <text>" to standard error (and nothing else) and returns the exit code for err->code. */
int cp_fail(const cp_error *err);

/* "coldpath: …" to standard error. */
void cp_message(const char *fmt, ...) CP_PRINTF(1, 2);

/* Parses a decimal number between min and max. False when it is none. */
bool cp_number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* Starts the answer of a verb under --json: an object with schema_version and verb. Never NULL: ends the
 * program when there is no memory. */
json_object *cp_json_begin(const char *verb);

/* Adds a member; value is owned by object afterwards. Ends the program when there is no memory. */
void cp_json_add(json_object *object, const char *key, json_object *value);
void cp_json_add_uint(json_object *object, const char *key, uint64_t value);
void cp_json_add_double(json_object *object, const char *key, double value);
void cp_json_add_string(json_object *object, const char *key,
                        const char *value); /* NULL gives null; what is no UTF-8 gives ? */
/* The same at the end of an array; text is not NULL. */
void cp_json_append_string(json_object *array, const char *text);
void cp_json_add_bool(json_object *object, const char *key, bool value);
/* text: allocated, one value in JSON, taken over; it is written as it stands, and so numbers keep all their digits. NULL gives null. */
void cp_json_add_made(json_object *object, const char *key, char *text);

/* Prints the object on one line of standard output and frees it. Returns CP_EXIT_OK or CP_EXIT_IO. */
int cp_json_end(json_object *object);

/* Flushes standard output. A full disk becomes CP_EXIT_IO and a message. A reader that has seen enough and closed its
 * pipe (`| head -1`) is no failure: nothing is said, CP_EXIT_OK. */
int cp_output_finish(void);

/* True when standard output is a pipe or socket that nobody reads any more: nothing further need be written. */
bool cp_output_closed(void);

/* Seconds, bytes and counts for people: "1.5 s", "64.0 MiB", "1,046,204". Returns out. */
enum { CP_HUMAN_TEXT = 32 };
char *cp_human_count(char out[CP_HUMAN_TEXT], uint64_t value);
char *cp_human_bytes(char out[CP_HUMAN_TEXT], uint64_t bytes);
char *cp_human_ns(char out[CP_HUMAN_TEXT], uint64_t ns);

#endif
