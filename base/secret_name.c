#include "base/secret_name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

bool cp_secret_is_named(const char *name, size_t len)
{
    static const char *const words[] = {"pass", "pasw",       "pssw",    "secret",  "secrt",
                                        "toke", "credential", "api-key", "api_key", "apikey"};
    enum { SUFFIX = 4 };
    if (len > SUFFIX && strncasecmp(name + len - SUFFIX, "file", SUFFIX) == 0)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t word = strlen(words[i]);
        for (size_t at = 0; at + word <= len; at++) {
            if (strncasecmp(name + at, words[i], word) == 0)
                return true;
        }
    }
    return false;
}

/* getopt takes the beginning of an option for all of it: --tok for --token-file. */
static bool is_begun(const char *name, size_t len)
{
    static const char token[] = "token";
    return len >= 3 && len < sizeof token - 1 && strncmp(token, name, len) == 0;
}

bool cp_secret_arguments_check(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            continue;
        const char *name = argv[i] + 2;
        const size_t len = strcspn(name, "=");
        const bool is_word = len > 0 && strcspn(name, " \t\n") >= len;
        if (!is_word || !(cp_secret_is_named(name, len) || is_begun(name, len)))
            continue;
        fprintf(stderr,
                "%s: --%.*s: secrets are not given on the command line, where everyone on this host can read "
                "them: "
                "put it into a file (clickhouse.password_file, monitor.token_file, --token-file FILE) or the "
                "environment, and make a new one if this one was real\n",
                argv[0], (int)len, name);
        return false;
    }
    return true;
}
