#include "link.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/error.h"

/* Guards the list, and the fields ring and region against a fork in the middle of a change. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static cp_py_link *list;

static void before_fork(void)
{
    pthread_mutex_lock(&list_lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&list_lock);
}

/* Puts memory of the child's own where the ring's data were: a row whose construction goes on there must neither fault nor
 * write into the parent's. Nothing else runs in the child yet, so the place is free. */
static void ring_leave(cp_py_link *link)
{
    void *data = link->ring->data;
    link->left_size = 2 * (link->ring->mask + 1);
    cp_ring_close(link->ring);
    link->left = mmap(data, link->left_size, PROT_READ | PROT_WRITE,
                      MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (link->left == MAP_FAILED)
        link->left = NULL;
}

static void after_fork_in_child(void)
{
    for (cp_py_link *link = list; link; link = link->next) {
        if (link->ring && link->refs > 1) {
            ring_leave(link);
        } else if (link->ring) {
            cp_ring_close(link->ring);
            cp_detach(link->region);
            link->region = NULL;
        }
        link->ring = NULL;
    }
    pthread_mutex_unlock(&list_lock);
}

int cp_py_link_init(void)
{
    static int result = -1;
    if (result != 0)
        result = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    return result;
}

int cp_py_link_open(cp_py_link **out, const char *path, const char *table, uint64_t schema_hash,
                    const char *producer, cp_error *err)
{
    cp_region *region = NULL;
    cp_ring *ring = NULL;
    cp_py_link *link = calloc(1, sizeof *link);
    *out = NULL;
    if (!link)
        return cp_error_set(err, CP_E_NOMEM, "no memory for a table handle");
    /* All of it under the lock: a fork in between would leave the child with a slot's descriptor that nobody knows of. */
    pthread_mutex_lock(&list_lock);
    int rc = cp_attach(&region, path, err);
    if (rc == CP_OK)
        rc = cp_ring_open(&ring, region, table, schema_hash, producer, err);
    if (rc == CP_OK) {
        *link = (cp_py_link){.region = region, .ring = ring, .refs = 1, .next = list};
        if (list)
            list->previous = link;
        list = link;
    }
    pthread_mutex_unlock(&list_lock);
    if (rc < 0) {
        cp_detach(region);
        free(link);
        return rc;
    }
    *out = link;
    return CP_OK;
}

void cp_py_link_release(cp_py_link *link)
{
    if (!link || --link->refs > 0)
        return;
    pthread_mutex_lock(&list_lock);
    if (link->previous)
        link->previous->next = link->next;
    else
        list = link->next;
    if (link->next)
        link->next->previous = link->previous;
    cp_ring_close(link->ring);
    cp_detach(link->region);
    if (link->left)
        munmap(link->left, link->left_size);
    pthread_mutex_unlock(&list_lock);
    free(link);
}
