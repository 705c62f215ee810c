/* Memory for what is moved in bulk: on huge pages where the kernel gives them (transparent ones, set to madvise or always).
 *
 * A megabyte on ordinary pages lies in 256 places of the machine's memory. A block device takes so many pieces in a request (virtio:
 * 254), so that a direct write of it becomes two requests, each a list of addresses to put together and to follow; on a huge page it is
 * one request of one piece. */
#ifndef CP_BASE_PAGES_H
#define CP_BASE_PAGES_H

#include <stddef.h>

enum { CP_HUGE_PAGE = 2 * 1024 * 1024 };

/* How many bytes cp_pages_take takes for so many: whole pages. */
size_t cp_pages_whole(size_t bytes);

/* `bytes` (> 0) of zeros, each page supplied by the kernel at its first use. From CP_HUGE_PAGE on they are huge pages, whole ones, below
 * ordinary ones. NULL: no memory. Any thread. Not from malloc, whose memory may have been used before, on
 * ordinary pages, and keeps them. */
void *cp_pages_map(size_t bytes);

/* Likewise, but all of them supplied already, so that no page fault comes later. */
void *cp_pages_take(size_t bytes);

/* Takes it back; bytes as it was asked for. NULL is allowed. */
void cp_pages_free(void *memory, size_t bytes);

#endif
