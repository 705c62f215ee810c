/* `coldpath`: the verbs are in verb.c. */
#include <signal.h>

#include "cli/verb.h"

int main(int argc, char **argv)
{
    signal(SIGPIPE,
           SIG_IGN); /* a closed pipe is a write error like any other: exit code 74, not a killed program */
    return cp_verb_dispatch(argc, argv);
}
