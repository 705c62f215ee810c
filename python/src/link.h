/* A link: one mapping of a region and one ring in it. What a table handle puts through, and what is exchanged when the
 * region is replaced.
 *
 *     table handle ──► link ──► cp_region, cp_ring          refs: the handle, and every wait under way
 *
 * All links of the process are in one list. When the process forks, the child lets go of every mapping and descriptor
 * before anything else runs in it (pthread_atfork): the slot's lock belongs to the open file, which parent and child
 * share, so a child that kept it would keep the slot busy after its parent's end. ring is NULL from then on. Where a row was
 * under construction, by Python code that forked in the middle of it, the row's memory becomes the child's own, and the
 * descriptors stay until the row is given up.
 *
 * Links are counted under the GIL. Opening and closing may be called without it. */
#ifndef CP_PYTHON_LINK_H
#define CP_PYTHON_LINK_H

#include <coldpath/coldpath.h>

typedef struct cp_py_link {
    cp_region *region;
    cp_ring *ring; /* NULL: the process is a fork of the one that opened it */
    uint32_t refs; /* under the GIL; 1: nobody but the handle is in the middle of anything */
    void *left;    /* in a forked child: anonymous memory where the ring was */
    size_t left_size;
    struct cp_py_link *next;
    struct cp_py_link *previous;
} cp_py_link;

/* Attaches and takes a slot; refs is 1. schema_hash as in cp_ring_open. Errors of cp_attach and cp_ring_open. */
int cp_py_link_open(cp_py_link **out, const char *path, const char *table, uint64_t schema_hash,
                    const char *producer, cp_error *err);

/* Gives one reference back; the last one closes. NULL is allowed. Needs the GIL. */
void cp_py_link_release(cp_py_link *link);

/* Registers the fork handlers, once. 0, or an errno. */
int cp_py_link_init(void);

#endif
