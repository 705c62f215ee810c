#include "flush/dictionary.h"

#include <coldpath/error.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "flush/leb128.h"

enum {
    SLOTS_FIRST = 512 /* 12 KiB: stays in the first-level cache for columns of few values */
};

static uint64_t hash_seed;
static pthread_once_t hash_seed_once = PTHREAD_ONCE_INIT;

static void hash_seed_make(void)
{
    if (getrandom(&hash_seed, sizeof hash_seed, GRND_NONBLOCK) != (ssize_t)sizeof hash_seed)
        hash_seed = cp_boottime_ns() * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t cp_dictionary_hash_(const uint8_t *bytes, uint32_t length)
{
    return XXH3_64bits_withSeed(bytes, length, hash_seed);
}

/* Where probing for a value begins: a full multiplication of both words with the seed, folded. */
static uint32_t slot_of(const cp_dictionary *dictionary, uint64_t word, uint32_t length)
{
    const unsigned __int128 product =
        (unsigned __int128)(word ^ hash_seed) * (UINT64_C(0xa0761d6478bd642f) ^ ((uint64_t)length << 32));
    return ((uint32_t)(product >> 64) ^ (uint32_t)product) & dictionary->mask;
}

static cp_dictionary_slot *slots_take(cp_arena *arena, uint32_t count)
{
    cp_dictionary_slot *slots = cp_arena_take(arena, count * sizeof *slots);
    if (slots)
        memset(slots, 0, count * sizeof *slots);
    return slots;
}

/* Appends a value in its Native form. */
static bool value_append(cp_dictionary *dictionary, const uint8_t *bytes, uint32_t length)
{
    uint8_t *to = cp_stream_reserve(&dictionary->values, (size_t)length + CP_LEB128_MAX);
    if (!to)
        return false;
    if (dictionary->counted)
        to = cp_leb128_put(to, length);
    if (length)
        memcpy(to, bytes, length);
    cp_stream_commit(&dictionary->values, to + length);
    return true;
}

int cp_dictionary_begin(cp_dictionary *dictionary, cp_arena *arena, bool nullable, uint32_t fixed_size)
{
    pthread_once(&hash_seed_once, hash_seed_make);
    *dictionary = (cp_dictionary){.arena = arena, .nullable = nullable, .counted = fixed_size == 0};
    cp_stream_begin(&dictionary->values, arena);
    dictionary->slots = slots_take(arena, SLOTS_FIRST);
    dictionary->mask = SLOTS_FIRST - 1;
    dictionary->count = nullable ? 2 : 1;
    if (!dictionary->slots)
        return CP_E_TOO_BIG;
    for (uint32_t i = 0; i < dictionary->count; i++) {
        uint8_t *to = cp_stream_reserve(&dictionary->values, (size_t)fixed_size + 1);
        if (!to)
            return CP_E_TOO_BIG;
        /* A String's default is its length 0; a fixed value's is fixed_size zeros. */
        const uint32_t zeros = fixed_size ? fixed_size : 1;
        memset(to, 0, zeros);
        cp_stream_commit(&dictionary->values, to + zeros);
    }
    return CP_OK;
}

static bool dictionary_grow(cp_dictionary *dictionary)
{
    const uint32_t old_count = dictionary->mask + 1;
    if (old_count > UINT32_MAX / 2)
        return false;
    const cp_dictionary_slot *old = dictionary->slots;
    cp_dictionary_slot *slots = slots_take(dictionary->arena, old_count * 2);
    if (!slots)
        return false;
    dictionary->slots = slots;
    dictionary->mask = old_count * 2 - 1;
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].key == 0)
            continue;
        uint32_t at = slot_of(dictionary, old[i].word, old[i].length);
        while (slots[at].key)
            at = (at + 1) & dictionary->mask;
        slots[at] = old[i];
    }
    return true;
}

uint32_t cp_dictionary_probe_(cp_dictionary *dictionary, const uint8_t *bytes, uint32_t length, uint64_t word)
{
    uint32_t at = slot_of(dictionary, word, length);
    for (;;) {
        const cp_dictionary_slot *slot = &dictionary->slots[at];
        if (slot->key == 0)
            break;
        if (slot->word == word && slot->length == length &&
            (length <= 8 || memcmp(slot->bytes, bytes, length) == 0)) {
            dictionary->last = *slot;
            return slot->key;
        }
        at = (at + 1) & dictionary->mask;
    }
    if (dictionary->count == CP_DICTIONARY_FULL || !value_append(dictionary, bytes, length))
        return CP_DICTIONARY_FULL;
    dictionary->last = (cp_dictionary_slot){word, bytes, length, dictionary->count++};
    dictionary->slots[at] = dictionary->last;
    if (dictionary->count > dictionary->mask / 2 && !dictionary_grow(dictionary))
        return CP_DICTIONARY_FULL;
    return dictionary->last.key;
}
