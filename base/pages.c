#include "base/pages.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static size_t page_of(size_t bytes)
{
    return bytes >= CP_HUGE_PAGE ? CP_HUGE_PAGE : PAGE;
}

size_t cp_pages_whole(size_t bytes)
{
    const size_t page = page_of(bytes);
    return (bytes + page - 1) / page * page;
}

/* A mapping that begins at a multiple of `page`: a larger one without its ends. */
static uint8_t *aligned_map(size_t size, size_t page)
{
    const size_t room = size + page - PAGE;
    uint8_t *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    const size_t before = (page - (uintptr_t)map % page) % page;
    if (before > 0)
        munmap(map, before);
    if (room - before > size)
        munmap(map + before + size, room - before - size);
    return map + before;
}

void *cp_pages_map(size_t bytes)
{
    const size_t size = cp_pages_whole(bytes);
    if (bytes == 0 || bytes > SIZE_MAX - 2 * (size_t)CP_HUGE_PAGE)
        return NULL;
    uint8_t *memory = aligned_map(size, page_of(bytes));
    if (memory && page_of(bytes) == CP_HUGE_PAGE)
        madvise(memory, size, MADV_HUGEPAGE); /* where it is refused, ordinary pages do */
    return memory;
}

void *cp_pages_take(size_t bytes)
{
    void *memory = cp_pages_map(bytes);
    if (memory)
        memset(memory, 0, cp_pages_whole(bytes));
    return memory;
}

void cp_pages_free(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, cp_pages_whole(bytes));
}
