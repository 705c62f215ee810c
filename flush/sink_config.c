#include "flush/sink_config.h"

#include <stdlib.h>
#include <string.h>

static char *copy_text(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;
    *failed |= text && !copy;
    return copy;
}

/* Wipes and frees a string that config owns. */
static void drop_text(const char *text)
{
    if (!text)
        return;
    void *bytes = (void *)(uintptr_t)text;
    explicit_bzero(bytes, strlen(text));
    free(bytes);
}

bool cp_sink_config_copy(cp_sink_config *to, const cp_sink_config *from)
{
    bool failed = false;
    *to = *from;
    to->url = copy_text(from->url, &failed);
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS - 1; i++)
        to->others[i] = copy_text(from->others[i], &failed);
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS; i++)
        to->abandoned[i] = copy_text(from->abandoned[i], &failed);
    to->user = copy_text(from->user, &failed);
    to->password = copy_text(from->password, &failed);
    to->database = copy_text(from->database, &failed);
    to->ca_file = copy_text(from->ca_file, &failed);
    to->instance = copy_text(from->instance ? from->instance : "", &failed);
    to->stamp_source = copy_text(from->stamp_source, &failed);
    to->stamp_environment = copy_text(from->stamp_environment, &failed);
    to->quarantine_dir = copy_text(from->quarantine_dir, &failed);
    return !failed;
}

void cp_sink_config_drop(cp_sink_config *config)
{
    drop_text(config->url);
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS - 1; i++)
        drop_text(config->others[i]);
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS; i++)
        drop_text(config->abandoned[i]);
    drop_text(config->user);
    drop_text(config->password);
    drop_text(config->database);
    drop_text(config->ca_file);
    drop_text(config->instance);
    drop_text(config->stamp_source);
    drop_text(config->stamp_environment);
    drop_text(config->quarantine_dir);
}

static bool text_differs(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) != 0 : a != b;
}

bool cp_sink_credentials_differ(const cp_sink_config *a, const cp_sink_config *b)
{
    return text_differs(a->user, b->user) || text_differs(a->password, b->password) ||
           text_differs(a->ca_file, b->ca_file);
}
