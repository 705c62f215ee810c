/* Whether bodies go compressed or plain, where the configuration leaves that open (compression: auto): whichever has so far brought
 * rows to the server sooner.
 *
 *     ns per byte of a body before compression = (making it + from its first byte sent to the answer) ÷ bytes
 *
 * That holds all that differs: the CPU that compresses here, the line, the CPU that decompresses there. Both ways are averaged over
 * their last bodies (weight AVERAGE_WEIGHT); the other way is tried now and then, ever more seldom while it keeps losing. Plain must
 * win clearly, for compressed bodies spare the line for others. Small bodies are compressed and not measured: what an insert costs
 * by itself is most of their time. One thread. */
#ifndef CP_FLUSH_COMPRESS_CHOICE_H
#define CP_FLUSH_COMPRESS_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

enum { CP_CHOICE_LEAST_BYTES = 1024 * 1024 };

typedef struct cp_compress_choice {
    double ns_per_byte[2]; /* plain, compressed; 0: not known */
    bool plain;            /* what is better, as far as is known */
    uint32_t since;        /* bodies since the other way was tried */
    uint32_t pause;        /* how many of them there have to be */
} cp_compress_choice;

/* Knows nothing: the first body is compressed, the next one not. */
void cp_compress_choice_init(cp_compress_choice *choice);

/* Whether a body of so many bytes is to be compressed. */
bool cp_compress_choice_next(cp_compress_choice *choice, uint64_t bytes);

/* A body has been answered, at the first attempt. */
void cp_compress_choice_learn(cp_compress_choice *choice, bool compressed, uint64_t bytes, uint64_t ns);

#endif
