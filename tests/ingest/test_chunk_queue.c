/* The queue alone, and under two threads that check order and the visibility of what the chunk holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "ingest/chunk_queue.h"

static void test_capacity(void **state)
{
    (void)state;
    assert_null(cp_chunk_queue_create(0));
    assert_null(cp_chunk_queue_create(3));
    assert_null(cp_chunk_queue_create(CP_CHUNK_QUEUE_MAX * 2u));
    cp_chunk_queue *queue = cp_chunk_queue_create(1);
    assert_non_null(queue);
    cp_chunk chunk;
    assert_true(cp_chunk_queue_push(queue, &chunk));
    assert_false(cp_chunk_queue_push(queue, &chunk));
    assert_ptr_equal(cp_chunk_queue_pop(queue), &chunk);
    assert_null(cp_chunk_queue_pop(queue));
    assert_true(cp_chunk_queue_push(queue, &chunk));
    cp_chunk_queue_free(queue);
    cp_chunk_queue_free(NULL);
}

static void test_order_and_peek(void **state)
{
    (void)state;
    cp_chunk chunks[6];
    cp_chunk_queue *queue = cp_chunk_queue_create(4);
    assert_non_null(queue);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 4; i++)
            assert_true(cp_chunk_queue_push(queue, &chunks[i]));
        assert_false(cp_chunk_queue_push(queue, &chunks[4]));
        assert_int_equal(cp_chunk_queue_size(queue), 4);
        for (unsigned i = 0; i < 4; i++)
            assert_ptr_equal(cp_chunk_queue_peek(queue, i), &chunks[i]);
        assert_null(cp_chunk_queue_peek(queue, 4));
        assert_ptr_equal(cp_chunk_queue_pop(queue), &chunks[0]);
        assert_true(cp_chunk_queue_push(queue, &chunks[5]));
        assert_ptr_equal(cp_chunk_queue_peek(queue, 3), &chunks[5]);
        assert_ptr_equal(cp_chunk_queue_pop(queue), &chunks[1]);
        assert_ptr_equal(cp_chunk_queue_pop(queue), &chunks[2]);
        assert_ptr_equal(cp_chunk_queue_pop(queue), &chunks[3]);
        assert_ptr_equal(cp_chunk_queue_pop(queue), &chunks[5]);
        assert_int_equal(cp_chunk_queue_size(queue), 0);
    }
    cp_chunk_queue_free(queue);
}

enum { POOL = 64, ROUNDS = 200 * 1000 };

typedef struct pair {
    cp_chunk_queue *there;
    cp_chunk_queue *back;
} pair;

/* Takes chunks from the pool (back), stamps them, sends them. */
static void *producer(void *arg)
{
    pair *queues = arg;
    for (uint64_t i = 0; i < ROUNDS;) {
        cp_chunk *chunk = cp_chunk_queue_pop(queues->back);
        if (!chunk) {
            sched_yield();
            continue;
        }
        chunk->begin = i++;
        chunk->end = ~chunk->begin;
        while (!cp_chunk_queue_push(queues->there, chunk))
            sched_yield();
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    static cp_chunk chunks[POOL];
    pair queues = {cp_chunk_queue_create(16), cp_chunk_queue_create(POOL)};
    assert_non_null(queues.there);
    assert_non_null(queues.back);
    for (unsigned i = 0; i < POOL; i++)
        assert_true(cp_chunk_queue_push(queues.back, &chunks[i]));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, producer, &queues), 0);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < ROUNDS;) {
        cp_chunk *chunk = cp_chunk_queue_pop(queues.there);
        if (!chunk) {
            sched_yield();
            continue;
        }
        wrong += chunk->begin != i || chunk->end != ~i;
        i++;
        while (!cp_chunk_queue_push(queues.back, chunk))
            sched_yield();
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(cp_chunk_queue_size(queues.back), POOL);
    cp_chunk_queue_free(queues.there);
    cp_chunk_queue_free(queues.back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_order_and_peek),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
