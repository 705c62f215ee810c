#include "cli/query_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"

typedef struct answer {
    char *text;
    size_t used;
    size_t room;
} answer;

static int answer_take(void *ctx, const void *data, size_t size)
{
    answer *a = ctx;
    if (size > CP_QUERY_TEXT_MAX - a->used)
        return -1;
    if (a->used + size + 1 > a->room) {
        const size_t room = 2 * (a->used + size + 1);
        char *text = realloc(a->text, room);
        if (!text)
            return -1;
        a->text = text;
        a->room = room;
    }
    memcpy(a->text + a->used, data, size);
    a->used += size;
    a->text[a->used] = '\0';
    return 0;
}

int cp_query_text(const cp_sink_config *sink, const char *database, const char *sql, char **out,
                  cp_error *err)
{
    answer a = {0};
    int rc = cp_query_run(sink, database, sql, answer_take, &a, err);
    if (rc == CP_OK && !a.text && !(a.text = strdup("")))
        rc = cp_error_set(err, CP_E_NOMEM, "no memory for an answer");
    if (rc < 0) {
        free(a.text);
        a.text = NULL;
    }
    *out = a.text;
    return rc;
}

int cp_query_number(const cp_sink_config *sink, const char *database, const char *sql, uint64_t *out,
                    cp_error *err)
{
    char *text = NULL;
    const int rc = cp_query_text(sink, database, sql, &text, err);
    if (rc < 0)
        return rc;
    text[strcspn(text, "\n")] = '\0';
    const bool number = cp_number_parse(text, 0, UINT64_MAX, out);
    free(text);
    return number ? CP_OK : cp_error_set(err, CP_E_SERVER, "ClickHouse answered no number to: %.200s", sql);
}
