/* `coldpath`: the verbs are in verb.c. */
#include <signal.h>

#include "base/failpoint.h"
#include "base/secret_name.h"
#include "cli/cli.h"
#include "cli/verb.h"

int main(int argc, char **argv)
{
    /* A reader that closes its pipe must not kill a program that is putting rows; cp_output_finish sees to the rest. */
    signal(SIGPIPE, SIG_IGN);
    cp_failpoint_arm();
    if (!cp_secret_arguments_check(argc, argv))
        return CP_EXIT_USAGE;
    return cp_verb_dispatch(argc, argv);
}
