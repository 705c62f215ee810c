#include "cli/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "flush/query.h"
#include "recorder/config_apply.h"

int cp_place_config(const cp_common *common, cp_config **out, cp_error *err)
{
    const int rc = cp_config_load(out, common->config, stderr, err);
    if (rc == CP_E_ABSENT) /* of the file: the region may well be there */
        err->code = CP_E_CONFIG;
    return rc == CP_E_ABSENT ? CP_E_CONFIG : rc;
}

void cp_place_reachable(cp_config *config)
{
    for (uint32_t i = 0; i < CP_MAX_ENDPOINTS - 1 && config->others[i]; i++) {
        cp_sink_config sink;
        cp_error err = {0};
        cp_config_sink(config, &sink);
        if (sink.request_timeout_ms >
            sink.connect_timeout_ms) /* one that accepts and is silent is as good as away */
            sink.request_timeout_ms = sink.connect_timeout_ms;
        if (cp_query_run(&sink, NULL, "SELECT 1", NULL, NULL, &err) != CP_E_NET)
            return;
        char *away = config->url;
        config->url = config->others[i];
        config->others[i] = away;
        cp_message("asking %s, the next of clickhouse.url: %s", config->url, err.text);
    }
}

void cp_place_name_next(const cp_config *config, const char *verb, cp_error *err)
{
    const size_t used = strlen(err->text);
    if (err->code == CP_E_NET && config && config->others[0])
        snprintf(err->text + used, sizeof err->text - used,
                 "; what writes goes to no other by itself: COLDPATH_CLICKHOUSE__URL=%s coldpath %s",
                 config->others[0], verb);
}

/* A bare name means a directory under $COLDPATH_REGION_DIR, as in cp_attach. */
static int region_option(const char *region, char path[PATH_MAX], cp_error *err)
{
    const char *base = getenv("COLDPATH_REGION_DIR");
    const bool bare = !strchr(region, '/');
    const int len =
        bare ? snprintf(path, PATH_MAX, "%s/%s", base && *base ? base : "/dev/shm/coldpath", region)
             : snprintf(path, PATH_MAX, "%s", region);
    if (len >= PATH_MAX)
        return cp_error_set(err, CP_E_TOO_BIG, "the region's path is over %d bytes", PATH_MAX - 1);
    for (size_t end = strlen(path); end > 1 && path[end - 1] == '/'; end--) /* completion adds them */
        path[end - 1] = '\0';
    return CP_OK;
}

int cp_place_region_of(const cp_common *common, const cp_config *config, char path[PATH_MAX], cp_error *err)
{
    return region_option(common->region ? common->region : config->region_dir, path, err);
}

int cp_place_region(const cp_common *common, char path[PATH_MAX], cp_error *err)
{
    if (common->region)
        return cp_place_region_of(common, NULL, path, err);
    cp_config *config;
    int rc = cp_place_config(common, &config, err);
    if (rc < 0)
        return rc;
    rc = cp_place_region_of(common, config, path, err);
    cp_config_free(config);
    return rc;
}

bool cp_place_is_same_file(const char *a, const char *b)
{
    struct stat is[2];
    return stat(a, &is[0]) == 0 && stat(b, &is[1]) == 0 && is[0].st_dev == is[1].st_dev &&
           is[0].st_ino == is[1].st_ino;
}

cp_monitor_config cp_place_monitor(const cp_config *config, const char *region)
{
    if (!config)
        return (cp_monitor_config){.region_dir = region, .listen = CP_MONITOR_LISTEN};
    return (cp_monitor_config){.region_dir = region,
                               .listen = config->monitor_listen ? config->monitor_listen : CP_MONITOR_LISTEN,
                               .access = {.certificate_file = config->monitor_certificate_file,
                                          .key_file = config->monitor_key_file,
                                          .token_file = config->monitor_token_file,
                                          .health_open = config->monitor_health_open,
                                          .unprotected = config->monitor_unprotected}};
}
