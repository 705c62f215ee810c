/* Consumers in processes of their own, when they take rows out, and the memory they share. */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ingest/drain.h"
#include "peer.h"

int peer_fork(int cpu, void (*run)(void))
{
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    run();
    _exit(0);
}

void peer_reap(int pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

_Static_assert(PEER_LUMP_ROWS == CP_DRAIN_LUMP / 128,
               "what the drain waits for, in records of 120-byte rows");

uint32_t peer_gather(uint32_t (*waiting)(void))
{
    const struct timespec nap = {.tv_nsec = PEER_NAP_NS};
    uint32_t rows = waiting();
    for (uint32_t waited = 0; rows < PEER_LUMP_ROWS && waited < PEER_INTERVAL_NS; waited += PEER_NAP_NS) {
        nanosleep(&nap, NULL);
        rows = waiting();
    }
    return rows;
}

void *peer_share(uint64_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}
