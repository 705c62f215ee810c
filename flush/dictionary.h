/* The dictionary of one LowCardinality column in one block: gives each distinct value a key, in order of appearance.
 *
 * An open-addressing table with linear probing, at most half full. A slot holds what decides equality without leaving
 * the cache line: values of up to 8 bytes are compared as one word; longer ones by XXH3 and length first, then by their
 * bytes in the chunk. The value seen last is remembered, as market data repeats itself. The hash is seeded at random
 * per process, so that no producer can aim at collisions; keys do not depend on it.
 *
 *     key 0 (plain)            the type's default: "" or zero bytes
 *     keys 0 and 1 (Nullable)  NULL, the default
 *
 * Memory comes from the arena: the table (it doubles as it fills) and the values in Native form. */
#ifndef CP_FLUSH_DICTIONARY_H
#define CP_FLUSH_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/arena.h"

typedef struct cp_dictionary_slot {
    uint64_t word; /* the value's bytes when length ≤ 8, else its hash */
    const uint8_t *bytes;
    uint32_t length;
    uint32_t key; /* 0: the slot is empty; the default value is never in the table */
} cp_dictionary_slot;

typedef struct cp_dictionary {
    cp_arena *arena;
    cp_stream values; /* the dictionary as Native wants it */
    cp_dictionary_slot *slots;
    uint32_t mask;
    uint32_t count; /* keys given, slots 0 (and 1) included */
    bool nullable;
    bool counted; /* values carry a LEB128 length (String); else all have the same size */
    cp_dictionary_slot last;
} cp_dictionary;

enum { CP_DICTIONARY_FULL = UINT32_MAX }; /* no key: the arena has no room */

/* Starts a dictionary.
 *   fixed_size  bytes of every value, or 0 for Strings
 * CP_E_TOO_BIG when the arena has no room. */
int cp_dictionary_begin(cp_dictionary *dictionary, cp_arena *arena, bool nullable, uint32_t fixed_size);

/* The slow half of cp_dictionary_key: probes the table, adds the value when it is new. */
uint32_t cp_dictionary_probe_(cp_dictionary *dictionary, const uint8_t *bytes, uint32_t length,
                              uint64_t word);

/* The first 8 bytes at bytes, of which length (≤ 8) count; the others read as 0. Reads up to limit, no further. */
static inline uint64_t cp_short_word(const uint8_t *bytes, uint32_t length, const uint8_t *limit)
{
    uint64_t word = 0;
    if (__builtin_expect(limit - bytes >= 8, 1)) {
        __builtin_memcpy(&word, bytes, 8);
        return length == 8 ? word : word & ((UINT64_C(1) << (length * 8)) - 1);
    }
    __builtin_memcpy(&word, bytes, length);
    return word;
}

/* XXH3 of a long value, with the process's seed. */
uint64_t cp_dictionary_hash_(const uint8_t *bytes, uint32_t length);

/* The key of a value: length bytes at bytes, which must stay where they are until the block is done; limit is the end
 * of the memory they lie in. CP_DICTIONARY_FULL when the arena has no room. */
static inline uint32_t cp_dictionary_key(cp_dictionary *dictionary, const uint8_t *bytes, uint32_t length,
                                         const uint8_t *limit)
{
    if (length == 0)
        return dictionary->nullable;
    const cp_dictionary_slot *last = &dictionary->last;
    if (length <= 8) {
        const uint64_t word = cp_short_word(bytes, length, limit);
        if (last->length == length && last->word == word)
            return last->key;
        return cp_dictionary_probe_(dictionary, bytes, length, word);
    }
    if (last->length == length && __builtin_memcmp(last->bytes, bytes, length) == 0)
        return last->key;
    return cp_dictionary_probe_(dictionary, bytes, length, cp_dictionary_hash_(bytes, length));
}

#endif
