/* Memory for bulk: zeros, aligned for direct I/O, there from the start, and marked for huge pages when it is large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pages.h"

enum { PAGE = 4096 };

static bool all_zero(const uint8_t *memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (memory[i] != 0)
            return false;
    }
    return true;
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {1, PAGE, PAGE + 1, CP_HUGE_PAGE - 1, CP_HUGE_PAGE, 3 * CP_HUGE_PAGE + 1};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *memory = cp_pages_take(sizes[i]);
        unsigned char there;
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % (sizes[i] < CP_HUGE_PAGE ? PAGE : CP_HUGE_PAGE), 0);
        assert_true(all_zero(memory, sizes[i]));
        assert_int_equal(mincore(memory + (sizes[i] - 1) / PAGE * PAGE, 1, &there), 0);
        assert_int_equal(there & 1, 1);
        memset(memory, 0xff, sizes[i]); /* so that the next one's zeros are its own */
        cp_pages_free(memory, sizes[i]);
    }
    assert_null(cp_pages_take(SIZE_MAX));
}

/* What the kernel says of the mapping that holds an address: its flags, as a line of /proc/self/smaps. */
static bool flags_of(const void *address, char *flags, size_t room)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    bool inside = false;
    assert_non_null(file);
    while (fgets(flags, (int)room, file)) {
        uintptr_t begin;
        uintptr_t end;
        if (sscanf(flags, "%zx-%zx ", &begin, &end) == 2)
            inside = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (inside && strncmp(flags, "VmFlags:", 8) == 0)
            break;
        flags[0] = 0;
    }
    fclose(file);
    return flags[0] != 0;
}

static void test_huge(void **state)
{
    char flags[512];
    (void)state;
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0)
        skip();
    void *memory = cp_pages_take(CP_HUGE_PAGE);
    assert_non_null(memory);
    assert_true(flags_of(memory, flags, sizeof flags));
    assert_non_null(strstr(flags, " hg"));
    cp_pages_free(memory, CP_HUGE_PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_huge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
