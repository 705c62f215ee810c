/* See check.h. A complaint about two values stands at the later one of those that were given. */
#include "recorder/config/check.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/address.h"

const cp_config_place *cp_config_table_place(const cp_config_layers *layers, uint32_t table,
                                             const cp_config_value *value)
{
    return value ? &value->place : &layers->tables[table].place;
}

static cp_config_place main_file(const cp_config_layers *layers)
{
    cp_config_place place = {.source = layers->none};
    for (const cp_config_source *s = layers->sources; s; s = s->next)
        if (s->is_file && (!place.source->is_file || s->rank < place.source->rank))
            place.source = s;
    return place;
}

static void check_required(cp_config_layers *layers)
{
    const cp_config_place file = main_file(layers);
    if (layers->problems.errors > 0)
        return; /* it may be there, in what could not be read */
    if (!layers->global[CP_KEY_NAMESPACE].set)
        cp_config_problem_add(&layers->problems, &file, "add a line: namespace: NAME",
                              "namespace is missing");
    if (layers->table_count == 0)
        cp_config_problem_add(&layers->problems, &file, "add: tables: { quotes: {} }",
                              "no tables are configured");
}

/* Whether a list of URLs has this one, written alike. */
static bool urls_have(const char *list, const char *url, size_t size)
{
    for (; list && *list; list += strspn(list, ", ")) {
        const size_t length = strcspn(list, ", ");
        if (length == size && strncasecmp(list, url, size) == 0)
            return true;
        list += length;
    }
    return false;
}

/* No endpoint stands in the list twice, or is named and abandoned. */
static void check_endpoints(cp_config_layers *layers)
{
    const cp_config_value *url = &layers->global[CP_KEY_URL];
    const cp_config_value *abandoned = &layers->global[CP_KEY_ABANDONED];
    for (const char *at = url->text; at && *at; at += strspn(at, ", ")) {
        const size_t length = strcspn(at, ", ");
        const char *rest = at + length + strspn(at + length, ", ");
        if (urls_have(rest, at, length))
            cp_config_problem_add(&layers->problems, &url->place, "name each endpoint once",
                                  "clickhouse.url has %.*s twice", (int)length, at);
        if (urls_have(abandoned->text, at, length))
            cp_config_problem_add(&layers->problems, &abandoned->place,
                                  "an endpoint that is used is not abandoned: take it out of one of the two",
                                  "clickhouse.abandoned has %.*s, and so has clickhouse.url", (int)length,
                                  at);
        at += length;
    }
}

static void check_clickhouse(cp_config_layers *layers)
{
    const cp_config_value *password = &layers->global[CP_KEY_PASSWORD],
                          *file = &layers->global[CP_KEY_PASSWORD_FILE];
    if (password->set && file->set && password->place.source == file->place.source)
        cp_config_problem_add(&layers->problems, &password->place, "keep one of the two",
                              "clickhouse.password and clickhouse.password_file are both given");
    const cp_config_value *ca = &layers->global[CP_KEY_CA_FILE], *url = &layers->global[CP_KEY_URL];
    check_endpoints(layers);
    if (ca->set && access(ca->text, R_OK) < 0)
        cp_config_problem_add(&layers->problems, &ca->place,
                              "name a PEM file that the recorder's user can read",
                              "clickhouse.ca_file: %s: %s", ca->text, strerror(errno));
    if (ca->set && (!url->set || !strcasestr(url->text, "https:")))
        cp_config_problem_warn(&layers->problems, &ca->place, "write https:// in clickhouse.url to use it",
                               "clickhouse.ca_file has no effect over http");
    uint64_t min, max;
    const cp_config_value *low = cp_config_layers_value(layers, CP_KEY_RETRY_MIN, &min);
    const cp_config_value *high = cp_config_layers_value(layers, CP_KEY_RETRY_MAX, &max);
    if (min > max)
        cp_config_problem_add(&layers->problems, high ? &high->place : &low->place,
                              "retry_min has to be at most retry_max",
                              "clickhouse.retry_max is smaller than clickhouse.retry_min");
}

/* What is missing keeps the monitor from starting, not the recorder: rows matter more than their metrics. */
static void check_monitor(cp_config_layers *layers)
{
    cp_address address;
    uint64_t unprotected;
    const cp_config_value *listen = &layers->global[CP_KEY_MONITOR_LISTEN];
    const cp_config_value *certificate = &layers->global[CP_KEY_MONITOR_CERTIFICATE_FILE];
    const cp_config_value *key = &layers->global[CP_KEY_MONITOR_KEY_FILE];
    cp_config_layers_value(layers, CP_KEY_MONITOR_UNPROTECTED, &unprotected);
    if (certificate->set != key->set)
        cp_config_problem_warn(&layers->problems, certificate->set ? &certificate->place : &key->place,
                               "give both, or none",
                               "monitor.certificate_file and monitor.key_file need each other");
    if (!listen->set || unprotected || !cp_address_parse(listen->text, strlen(listen->text), &address) ||
        cp_address_is_loopback(&address) ||
        (certificate->set && layers->global[CP_KEY_MONITOR_TOKEN_FILE].set))
        return;
    cp_config_problem_warn(
        &layers->problems, &listen->place,
        "give monitor.certificate_file, key_file and token_file, listen on 127.0.0.1, or say "
        "monitor.unprotected: on",
        "monitor.listen %s is reached from other hosts, without TLS or without a token: it is not served",
        listen->text);
}

/* A limit that one row in time cannot keep would always be passed. */
static void check_canary(cp_config_layers *layers)
{
    uint64_t interval;
    uint64_t limit;
    const cp_config_value *often = cp_config_layers_value(layers, CP_KEY_CANARY_INTERVAL, &interval);
    const cp_config_value *most = cp_config_layers_value(layers, CP_KEY_CANARY_LIMIT, &limit);
    if (limit < 2 * interval)
        cp_config_problem_add(&layers->problems, most ? &most->place : &often->place,
                              "canary.limit has to be at least twice canary.interval",
                              "canary.limit is too small for canary.interval");
}

static void check_region(cp_config_layers *layers)
{
    uint64_t mode;
    cp_config_layers_value(layers, CP_KEY_REGION_MODE, &mode);
    const cp_config_value *group = &layers->global[CP_KEY_REGION_GROUP];
    if (group->set && mode == 0600)
        cp_config_problem_add(&layers->problems, &group->place,
                              "add region.mode: 0660, or leave the group out",
                              "region.group has no effect with region.mode 0600");
    const long cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (cp_config_key_id id = CP_KEY_DRAIN_CPU; id <= CP_KEY_FLUSH_CPU; id++) {
        const cp_config_value *cpu = &layers->global[id];
        if (cpu->set && cpu->number != CP_CONFIG_ANY_CPU && cpus > 0 && cpu->number >= (uint64_t)cpus)
            cp_config_problem_warn(
                &layers->problems, &cpu->place, "\"any\", or a CPU of the machine it will run on",
                "%s: this machine has CPUs 0 to %ld only", cp_config_keys[id].path, cpus - 1);
    }
}

/* a ≤ b, or a complaint at the later given one. */
static void check_order(cp_config_layers *layers, uint32_t table, cp_config_table_key_id small_id,
                        cp_config_table_key_id large_id, uint64_t divisor)
{
    uint64_t small, large;
    const cp_config_value *small_value = cp_config_layers_table_value(layers, table, small_id, &small);
    const cp_config_value *large_value = cp_config_layers_table_value(layers, table, large_id, &large);
    if (small <= large / divisor)
        return;
    const cp_config_key *small_key = &cp_config_table_keys[small_id],
                        *large_key = &cp_config_table_keys[large_id];
    char a[32], b[32], most[32], remedy[160], quarter[16] = "";
    cp_config_value_format(small_key, small, a, sizeof a);
    cp_config_value_format(large_key, large, b, sizeof b);
    cp_config_value_format(small_key, large / divisor, most, sizeof most);
    if (divisor == 4)
        snprintf(quarter, sizeof quarter, "a quarter of ");
    snprintf(remedy, sizeof remedy, "%s of at most %s, or a larger %s", small_key->path, most,
             large_key->path);
    cp_config_problem_add(&layers->problems,
                          cp_config_table_place(layers, table, small_value ? small_value : large_value),
                          remedy, "table %s: %s %s is more than %s%s %s", layers->tables[table].name,
                          small_key->path, a, quarter, large_key->path, b);
}

static void check_table(cp_config_layers *layers, uint32_t table)
{
    check_order(layers, table, CP_TKEY_ROW_MAX, CP_TKEY_RING_SIZE,
                4); /* a full ring still holds several rows */
    check_order(layers, table, CP_TKEY_ROW_MAX, CP_TKEY_FLUSH_MAX_BYTES, 1);
    check_order(layers, table, CP_TKEY_FLUSH_ROWS, CP_TKEY_FLUSH_MAX_ROWS, 1);
    check_order(layers, table, CP_TKEY_FLUSH_BYTES, CP_TKEY_FLUSH_MAX_BYTES, 1);
}

void cp_config_check(cp_config_layers *layers)
{
    check_required(layers);
    check_clickhouse(layers);
    check_region(layers);
    check_canary(layers);
    check_monitor(layers);
    const cp_config_value *ddl = &layers->defaults[CP_TKEY_DDL];
    if (ddl->set)
        cp_config_problem_add(&layers->problems, &ddl->place,
                              "write it under tables.<name>, or use schema.dir",
                              "ddl belongs to one table, it has no default");
    const cp_config_value *version = &layers->defaults[CP_TKEY_VERSION_OF];
    if (version->set)
        cp_config_problem_add(&layers->problems, &version->place, "write it under tables.<name>",
                              "version_of belongs to one table, it has no default");
    for (uint32_t i = 0; i < layers->table_count; i++)
        check_table(layers, i);
}
