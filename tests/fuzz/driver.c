/* Runs a fuzz target without libFuzzer: each file named on the command line as it is, then random mutations of them, for
 * CP_SECONDS (3). Blind, unlike libFuzzer, but any compiler builds it, so that every test run has some of it.
 *
 * A mutation is a few edits: flip a bit, write an interesting byte, delete or repeat a span, copy a span from another
 * file, cut the end. The seed, from CP_SEED or the clock, is printed; an input that crashes is left in
 * crash-<target>.bin of the working directory when it is written before the run, which CP_FUZZ_KEEP=1 asks for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 1 << 16, FILES_MAX = 2048, EDITS_MAX = 8, SPAN_MAX = 64, DEFAULT_SECONDS = 3 };

typedef struct input {
    uint8_t bytes[INPUT_MAX];
    size_t len;
} input;

typedef struct seed_file {
    uint8_t *bytes;
    size_t len;
} seed_file;

static seed_file seeds[FILES_MAX];
static size_t seed_count;

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t below(uint64_t *state, size_t limit)
{
    return limit ? (size_t)(random_next(state) % limit) : 0;
}

static int seed_load(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = seed_count < FILES_MAX ? fopen(path, "rb") : NULL;
    if (!file) {
        perror(path);
        return -1;
    }
    seed_file *seed = &seeds[seed_count];
    seed->len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    seed->bytes = malloc(seed->len + 1);
    if (!seed->bytes)
        return -1;
    memcpy(seed->bytes, bytes, seed->len);
    seed_count++;
    return 0;
}

/* Replaces the span [at, at + gone) by len bytes; does nothing when the result would be too long. */
static void splice(input *it, size_t at, size_t gone, const uint8_t *bytes, size_t len)
{
    uint8_t copy[SPAN_MAX];
    if (at + gone > it->len || it->len - gone + len > sizeof it->bytes || len > sizeof copy)
        return;
    memcpy(copy, bytes, len); /* bytes may lie in what is moved */
    memmove(it->bytes + at + len, it->bytes + at + gone, it->len - at - gone);
    memcpy(it->bytes + at, copy, len);
    it->len = it->len - gone + len;
}

static void edit(uint64_t *random, input *it)
{
    static const uint8_t bytes[] = "()[]{}'\"`,;.=\\\n \0\xff\x80-+09aZ_#/*";
    const size_t at = below(random, it->len + 1);
    const size_t span = below(random, SPAN_MAX) + 1;
    const seed_file *other = &seeds[below(random, seed_count)];
    const size_t from = below(random, other->len + 1);
    switch (below(random, 6)) {
    case 0:
        if (at < it->len)
            it->bytes[at] ^= (uint8_t)(1u << below(random, 8));
        break;
    case 1:
        splice(it, at, below(random, 2), &bytes[below(random, sizeof bytes)], 1);
        break;
    case 2:
        splice(it, at, span, it->bytes, 0);
        break;
    case 3:
        splice(it, at, 0, it->bytes + at, it->len - at < span ? it->len - at : span);
        break;
    case 4:
        splice(it, at, below(random, span), other->bytes + from,
               other->len - from < span ? other->len - from : span);
        break;
    default:
        if (below(random, 8) == 0)
            it->len = at;
    }
}

/* Runs the target on its own allocation, so that a sanitizer sees every byte read too far. */
static void run(const uint8_t *bytes, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);
    if (!exact)
        exit(EXIT_FAILURE);
    memcpy(exact, bytes, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static void keep(const char *program, const input *it)
{
    char path[256];
    const char *name = strrchr(program, '/');
    snprintf(path, sizeof path, "crash-%s.bin", name ? name + 1 : program);
    FILE *file = fopen(path, "wb");
    if (file) {
        (void)fwrite(it->bytes, 1, it->len, file);
        fclose(file);
    }
}

int main(int argc, char **argv)
{
    const char *seconds = getenv("CP_SECONDS");
    const char *seed_text = getenv("CP_SEED");
    const time_t end = time(NULL) + (seconds ? atol(seconds) : DEFAULT_SECONDS);
    const uint64_t clock_seed = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
    uint64_t random = seed_text ? (uint64_t)strtoull(seed_text, NULL, 0) : clock_seed;
    printf("CP_SEED=%llu\n", (unsigned long long)random);
    fflush(stdout);
    for (int i = 1; i < argc; i++) {
        if (seed_load(argv[i]) < 0)
            return EXIT_FAILURE;
        run(seeds[i - 1].bytes, seeds[i - 1].len);
    }
    input *it = malloc(sizeof *it);
    if (!it || seed_count == 0) {
        fprintf(stderr, "usage: %s FILE...\n", argv[0]);
        free(it);
        return EXIT_FAILURE;
    }
    unsigned long runs = 0;
    for (; time(NULL) < end; runs++) {
        const seed_file *from = &seeds[below(&random, seed_count)];
        memcpy(it->bytes, from->bytes, from->len);
        it->len = from->len;
        for (size_t n = below(&random, EDITS_MAX) + 1; n > 0; n--)
            edit(&random, it);
        if (getenv("CP_FUZZ_KEEP"))
            keep(argv[0], it);
        run(it->bytes, it->len);
    }
    printf("%lu inputs\n", runs);
    free(it);
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].bytes);
    return EXIT_SUCCESS;
}
