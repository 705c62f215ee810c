#include "tests/simulate/thread.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "shm/sigbus_guard.h"
#include "tests/simulate/host.h"
#include "tests/simulate/process.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK = 1024 * 1024, GUARD = 4096, NAME = 16 };

typedef struct thread {
    bool used;
    bool ended;
    int process;
    char name[NAME];
    uint8_t *stack;
    void *saved; /* stack pointer */
    void *fake;  /* AddressSanitizer's */
    void *(*run)(void *);
    void *argument;
    const void *object; /* it waits for; NULL: the time alone */
    bool told;
    uint64_t until_ns;
} thread;

static thread threads[SIM_THREADS];
static thread *running; /* NULL: the scheduler */
static void *scheduler_saved;
static bool killed;
#if defined(__SANITIZE_ADDRESS__)
static void *scheduler_fake;
static const void *scheduler_bottom;
static size_t scheduler_size;
#endif

void *__real_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *at, size_t size);

/* ---- switching stacks ---- */

/* Saves what a call must keep, and the stack pointer in *from; goes on at `to`, which was saved so. */
void sim_switch_(void **from, void *to);
void sim_thread_begin_(void);
__asm__(".text\n"
        ".globl sim_switch_\n"
        ".hidden sim_switch_\n"
        ".type sim_switch_,@function\n"
        "sim_switch_:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp,(%rdi)\n"
        "  movq %rsi,%rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size sim_switch_,.-sim_switch_\n"
        ".section .note.GNU-stack,\"\",@progbits\n"
        ".text\n");

static void to_scheduler(bool ends)
{
    thread *self = running;
    running = NULL;
    sim_process_now = SIM_NOBODY;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(ends ? NULL : &self->fake, scheduler_bottom, scheduler_size);
#else
    (void)ends;
#endif
    sim_switch_(&self->saved, scheduler_saved);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(self->fake, &scheduler_bottom, &scheduler_size);
#endif
}

void sim_thread_begin_(void)
{
    thread *self = running;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, &scheduler_bottom, &scheduler_size);
#endif
    self->run(self->argument);
    self->ended = true;
    sim_tell(self);
    to_scheduler(true);
    abort();
}

void sim_thread_run(int number)
{
    thread *next = &threads[number];
    running = next;
    sim_process_now = next->process;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake, next->stack + GUARD, STACK);
#endif
    sim_switch_(&scheduler_saved, next->saved);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake, NULL, NULL);
#endif
}

/* ---- threads ---- */

int sim_thread_start(void *(*run)(void *), void *argument, const char *name)
{
    for (int i = 0; i < SIM_THREADS; i++) {
        thread *new = &threads[i];
        if (new->used)
            continue;
        *new = (thread){.used = true, .run = run, .argument = argument, .process = SIM_RECORDER};
        snprintf(new->name, sizeof new->name, "%s", name);
        new->stack = __real_mmap(NULL, STACK + GUARD, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (new->stack == MAP_FAILED || mprotect(new->stack, GUARD, PROT_NONE) != 0)
            abort();
        void **top = (void **)(void *)(new->stack + GUARD + STACK);
        *--top = NULL; /* where the first function would return to; keeps the stack aligned as after a call */
        *--top = (void *)(uintptr_t)sim_thread_begin_;
        top -= 6; /* registers */
        memset(top, 0, 6 * sizeof *top);
        new->saved = top;
        return i;
    }
    abort();
}

bool sim_in_thread(void)
{
    return running != NULL;
}

void sim_wait(const void *object, uint64_t until_ns)
{
    thread *self = running;
    if (!self)
        abort();
    self->object = object;
    self->told = false;
    self->until_ns = until_ns;
    to_scheduler(false);
    self->object = NULL;
}

void sim_tell(const void *object)
{
    for (int i = 0; i < SIM_THREADS; i++) {
        if (threads[i].used && threads[i].object == object)
            threads[i].told = true;
    }
}

static bool is_ready(const thread *one)
{
    return one->used && !one->ended && (one->told || sim.now_ns >= one->until_ns);
}

int sim_threads_ready(int numbers[SIM_THREADS])
{
    int count = 0;
    for (int i = 0; i < SIM_THREADS; i++) {
        if (is_ready(&threads[i]))
            numbers[count++] = i;
    }
    return count;
}

uint64_t sim_threads_next_ns(void)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < SIM_THREADS; i++) {
        const thread *one = &threads[i];
        if (!one->used || one->ended)
            continue;
        const uint64_t at = one->told ? sim.now_ns : one->until_ns;
        next = at < next ? at : next;
    }
    return next;
}

bool sim_thread_ended(int number)
{
    return threads[number].ended;
}

const char *sim_thread_name(int number)
{
    return threads[number].name;
}

void sim_thread_kill_here(void)
{
    killed = true;
    to_scheduler(true);
    abort();
}

bool sim_thread_killed(void)
{
    return killed;
}

static void thread_drop(thread *one)
{
#if defined(__SANITIZE_ADDRESS__)
    if (one->stack) /* what its frames have left must not be found by who gets the place next */
        ASAN_UNPOISON_MEMORY_REGION(one->stack + GUARD, STACK);
#endif
    if (one->stack)
        __real_munmap(one->stack, STACK + GUARD);
    memset(one, 0, sizeof *one);
}

void sim_threads_drop(void)
{
    for (int i = 0; i < SIM_THREADS; i++)
        thread_drop(&threads[i]);
    killed = false;
    cp_sigbus_armed_ = false;
}

/* ---- what the product calls ---- */

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_join(pthread_t handle, void **result);
int __wrap_pthread_setname_np(pthread_t handle, const char *name);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_sem_init(sem_t *semaphore, int shared, unsigned value);
int __wrap_sem_destroy(sem_t *semaphore);
int __wrap_sem_post(sem_t *semaphore);
int __wrap_sem_wait(sem_t *semaphore);
int __wrap_nanosleep(const struct timespec *span, struct timespec *left);
int __wrap_usleep(useconds_t span);
int __wrap_prctl(int option, ...);

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    (void)attributes;
    *out = (pthread_t)sim_thread_start(run, argument, "thread");
    return 0;
}

/* A number may be given to another thread from then on. */
int __wrap_pthread_join(pthread_t handle, void **result)
{
    thread *other = &threads[handle];
    while (!other->ended)
        sim_wait(other, UINT64_MAX);
    if (result)
        *result = NULL;
    thread_drop(other);
    return 0;
}

/* Some threads name themselves, by a real handle, others are named by whom they are started. */
int __wrap_pthread_setname_np(pthread_t handle, const char *name)
{
    thread *named = handle < SIM_THREADS ? &threads[handle] : running;
    if (named)
        snprintf(named->name, sizeof named->name, "%s", name);
    return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    (void)how;
    (void)set;
    (void)old;
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t left = (until->tv_sec - now.tv_sec) * (int64_t)CP_NS_PER_S + until->tv_nsec - now.tv_nsec;
    pthread_mutex_unlock(mutex);
    sim_wait(condition, sim.now_ns + (left > 0 ? (uint64_t)left : 0));
    pthread_mutex_lock(mutex);
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
    sim_tell(condition);
    return 0;
}

/* The count stands in the semaphore's own bytes. */
static unsigned *count_of(sem_t *semaphore)
{
    return (unsigned *)(void *)semaphore;
}

int __wrap_sem_init(sem_t *semaphore, int shared, unsigned value)
{
    (void)shared;
    *count_of(semaphore) = value;
    return 0;
}

int __wrap_sem_destroy(sem_t *semaphore)
{
    (void)semaphore;
    return 0;
}

int __wrap_sem_post(sem_t *semaphore)
{
    ++*count_of(semaphore);
    sim_tell(semaphore);
    return 0;
}

int __wrap_sem_wait(sem_t *semaphore)
{
    while (*count_of(semaphore) == 0)
        sim_wait(semaphore, UINT64_MAX);
    --*count_of(semaphore);
    return 0;
}

int __wrap_nanosleep(const struct timespec *span, struct timespec *left)
{
    (void)left;
    sim_wait(NULL, sim.now_ns + (uint64_t)span->tv_sec * CP_NS_PER_S + (uint64_t)span->tv_nsec);
    return 0;
}

int __wrap_usleep(useconds_t span)
{
    sim_wait(NULL, sim.now_ns + span * (uint64_t)CP_NS_PER_US);
    return 0;
}

int __wrap_prctl(int option, ...)
{
    (void)option;
    return 0;
}
