/* The entry point of every fuzz target, as libFuzzer calls it (https://llvm.org/docs/LibFuzzer.html). */
#ifndef CP_TESTS_FUZZ_H
#define CP_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
