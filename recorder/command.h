/* What may be asked of a running recorder, as bytes: one message there, one back, each of one size, over a Unix socket of type SEQPACKET
 * in the region (recorder/command_socket.h), which keeps messages apart.
 *
 *   coldpath pause quotes                                coldpathd
 *     cp_command 256 B ──► <region>/recorder.socket ──► who asks? ──► cp_command_parse ──► main thread obeys
 *     cp_command_reply 1056 B ◄───────────────────────────────────────────────────────────────┘
 *
 * Both ends are of one host, but may be of different versions: each message begins with magic and version. Reserved bytes are 0, and
 * refused when they are not, so that they can mean something one day. */
#ifndef CP_RECORDER_COMMAND_H
#define CP_RECORDER_COMMAND_H

#include <assert.h>
#include <coldpath/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/region.h"

#define CP_COMMAND_MAGIC  0x31304d4d4f434c43ull /* "CLCOMM01" */
#define CP_COMMAND_SOCKET CP_REGION_SOCKET

enum {
    CP_COMMAND_VERSION = 1,
    CP_COMMAND_TABLE = 128, /* a table's name and its NUL */
    CP_COMMAND_TEXT = 1024,
    CP_COMMAND_AUTO = 4 /* a level of DEGRADE: the ladder moves by itself again */
};

typedef enum cp_command_kind {
    CP_COMMAND_FLUSH = 1,   /* as SIGUSR1 */
    CP_COMMAND_RELOAD = 2,  /* as SIGHUP; the outcome is in the region */
    CP_COMMAND_PAUSE = 3,   /* nothing more of the table is sent to ClickHouse, ... */
    CP_COMMAND_RESUME = 4,  /* ... until this */
    CP_COMMAND_DEGRADE = 5, /* a lossy table is held on a rung of its pressure ladder */
    CP_COMMAND_ROTATE = 6,  /* a critical table's log goes on in another segment */
    CP_COMMAND_KINDS = 7
} cp_command_kind;

typedef struct cp_command {
    uint64_t magic;
    uint32_t version;
    uint32_t kind;  /* cp_command_kind */
    uint32_t level; /* of DEGRADE: cp_rung, or CP_COMMAND_AUTO; else 0 */
    uint32_t reserved0;
    char table[CP_COMMAND_TABLE]; /* "": all that it makes sense for; 0 behind it */
    uint8_t reserved[104];
} cp_command;
static_assert(sizeof(cp_command) == 256, "a command");

typedef struct cp_command_reply {
    uint64_t magic;
    uint32_t version;
    int32_t code;     /* CP_OK, or why not; then nothing was changed */
    uint32_t tables;  /* that it concerned */
    uint32_t changed; /* of them, which were not so before */
    uint64_t reserved;
    char text[CP_COMMAND_TEXT]; /* of an error: what, and what to do; "" otherwise */
} cp_command_reply;
static_assert(sizeof(cp_command_reply) == 1056, "a reply");

/* "pause"; never NULL. */
const char *cp_command_name(uint32_t kind);

/* A command of that kind for a table, or for all (NULL). False: the name is too long for any table's. */
bool cp_command_make(cp_command *command, cp_command_kind kind, const char *table);

/* Takes bytes from a stranger apart. CP_E_INVAL, CP_E_ABI: *command is not to be used. Whether there is such a table is another
 * question. */
int cp_command_parse(cp_command *command, const void *bytes, size_t size, cp_error *err);

/* Likewise a reply. */
int cp_command_reply_parse(cp_command_reply *reply, const void *bytes, size_t size, cp_error *err);

#endif
