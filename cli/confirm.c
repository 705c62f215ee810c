#include "cli/confirm.h"

#include <string.h>

enum { OPTION_YES = 0x2600, OPTION_CONFIRM };

static const struct argp_option confirm_options[] = {
    {"yes", OPTION_YES, NULL, 0, "Really give the rows up, ...", 0},
    {"confirm", OPTION_CONFIRM, "TABLE", 0, "... of this table, once more by its name", 0},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t confirm_parse(int key, char *arg, struct argp_state *state)
{
    cp_confirm *confirm = state->input;
    switch (key) {
    case OPTION_YES:
        confirm->yes = true;
        return 0;
    case OPTION_CONFIRM:
        confirm->table = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cp_confirm_argp = {.options = confirm_options, .parser = confirm_parse};

void cp_confirm_check(const cp_confirm *confirm, const char *table, const struct argp_state *state)
{
    if (confirm->table && strcmp(confirm->table, table) != 0)
        argp_error(state, "--confirm=%s is not the table '%s'", confirm->table, table);
    if (confirm->yes && !confirm->table)
        argp_error(state, "--yes needs the table's name once more: --confirm=%s", table);
}

bool cp_confirm_is_given(const cp_confirm *confirm)
{
    return confirm->yes && confirm->table;
}
