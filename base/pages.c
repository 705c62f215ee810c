#include "base/pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

void *cp_pages_take(size_t bytes)
{
    const size_t page = bytes >= CP_HUGE_PAGE ? CP_HUGE_PAGE : PAGE;
    const size_t whole = (bytes + page - 1) / page * page;
    void *memory = whole < bytes ? NULL : aligned_alloc(page, whole);
    if (!memory)
        return NULL;
    if (page == CP_HUGE_PAGE)
        madvise(memory, whole, MADV_HUGEPAGE); /* where it is refused, ordinary pages do */
    memset(memory, 0, whole);
    return memory;
}
