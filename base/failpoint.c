#include "base/failpoint.h"

#ifdef COLDPATH_FAILPOINTS

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILPOINT_NAME(id, name) name,
static const char *const names[] = {CP_FAILPOINTS(FAILPOINT_NAME)};

int cp_failpoint_armed_ = -1;
static long passes_left; /* atomic: points lie on several threads */

static void list_and_exit(void)
{
    for (int i = 0; i < CP_FAILPOINT_COUNT; i++)
        puts(names[i]);
    exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

void cp_failpoint_arm(void)
{
    const char *wish = getenv("COLDPATH_FAILPOINT");
    if (!wish || !*wish)
        return;
    if (strcmp(wish, "list") == 0)
        list_and_exit();
    const size_t length = strcspn(wish, ":");
    for (int i = 0; i < CP_FAILPOINT_COUNT; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], wish, length) == 0)
            cp_failpoint_armed_ = i;
    }
    if (cp_failpoint_armed_ < 0) {
        fprintf(stderr, "COLDPATH_FAILPOINT: there is no '%s'; =list prints those there are\n", wish);
        exit(64);
    }
    passes_left = wish[length] == ':' ? strtol(wish + length + 1, NULL, 10) : 1;
}

void cp_failpoint_hit_(void)
{
    if (__atomic_sub_fetch(&passes_left, 1, __ATOMIC_RELAXED) <= 0)
        kill(getpid(), SIGKILL);
}

#endif
