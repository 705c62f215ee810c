/* One value of the configuration: from text to a checked number or string, and back to text.
 *
 * A key (key.h) says what kind of value it takes and in which range. Parsing is strict: the whole text
 * is the value, nothing is rounded, cut or guessed; a refusal says what is wrong and what would be right. */
#ifndef CP_RECORDER_CONFIG_VALUE_H
#define CP_RECORDER_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cp_config_kind {
    CP_CONFIG_TEXT, /* anything printable */
    CP_CONFIG_NAME, /* letters, digits, - and _ : a namespace, a database, a group */
    CP_CONFIG_PATH, /* a file or directory */
    CP_CONFIG_URLS, /* http(s)://host[:port]; or a list, or one text with commas; the number says how many */
    CP_CONFIG_LISTEN,   /* an IP address and a port: 127.0.0.1:9464, [::1]:9464 */
    CP_CONFIG_COUNT,    /* a whole number */
    CP_CONFIG_SIZE,     /* bytes: 64MiB, 512k, 1048576 */
    CP_CONFIG_SIZE2,    /* bytes, a power of two */
    CP_CONFIG_DURATION, /* nanoseconds: 250ms, 1s, 50us, 2m */
    CP_CONFIG_CPU,      /* "any" (CP_CONFIG_ANY_CPU) or a CPU's number */
    CP_CONFIG_MODE,     /* octal: 0600, 0660, 0666 */
    CP_CONFIG_CHOICE,   /* one of a list; the number is its index */
    CP_CONFIG_PERCENT,  /* 0% … 100%; the number is it */
    CP_CONFIG_NAMES     /* a list, or one text with commas; with choices, the number has a bit set for each */
} cp_config_kind;

enum {
    CP_MAX_CONFIG_VALUE = 4096, /* bytes of one value: PATH_MAX is the longest that makes sense */
    CP_MAX_CONFIG_NAME = 63, /* bytes of a namespace, database or group: a file name with room for affixes */
    CP_CONFIG_WORDS = 320    /* room for each half of a refusal */
};

#define CP_CONFIG_ANY_CPU UINT64_MAX

typedef struct cp_config_key {
    const char *path; /* with dots: "clickhouse.url"; of a table: "flush.rows" */
    uint64_t min;     /* of numbers, in the base unit: bytes, nanoseconds */
    uint64_t max;
    const char *const *choices; /* of CP_CONFIG_CHOICE, ended by NULL */
    const char *fallback;       /* the default as text, or NULL: computed elsewhere, or none */
    const char *help;           /* one line */
    cp_config_kind kind;
    bool secret; /* never printed */
    bool live;   /* a recorder that runs takes a changed value over; else it needs a restart */
} cp_config_key;

/* Why a value was refused. */
typedef struct cp_config_refusal {
    char what[CP_CONFIG_WORDS];
    char remedy[CP_CONFIG_WORDS]; /* "" when what says it all */
} cp_config_refusal;

/* Parses text as key asks. On success sets *number (0 for text kinds) and returns true; else fills *why. A
 * secret's text is not repeated in it. */
bool cp_config_value_parse(const cp_config_key *key, const char *text, size_t len, uint64_t *number,
                           cp_config_refusal *why);

/* Writes number in the shortest exact form ("64MiB", "250ms", "any", "0600", "lossy"). For numeric kinds
 * only. */
void cp_config_value_format(const cp_config_key *key, uint64_t number, char *out, size_t size);

/* Copies text for a message into out: at most 60 bytes, what is not printable replaced by '?', "…" where it
 * was cut. Returns out. */
char *cp_config_quote(char *out, size_t size, const char *text, size_t len);

/* The one of count names that text was probably meant to be: edit distance at most a third of its length (at
 * least 1), case ignored; -1 when none is near. */
int cp_config_nearest(const char *const *names, size_t count, const char *text, size_t len);

#endif
