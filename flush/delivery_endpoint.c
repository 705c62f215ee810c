/* The part of a delivery that knows where what is under way goes.
 *
 *     new batch                         to the chosen endpoint
 *     not stored anywhere for sure      follows, when another endpoint is chosen: refused connections, definite errors
 *     perhaps stored, without a word    tied: to the endpoint that it was sent to,
 *                                       or to another replica of the same table, which knows the same tokens
 *
 * A plain MergeTree keeps its tokens for itself: what is tied to it waits until it answers again, or until the configuration says
 * that it will not (`abandoned`). */
#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "flush/delivery_private.h"
#include "flush/held_sender.h"
#include "flush/url.h"

enum { ASIDE_AGAIN_S = 10 };

/* The part of the URL that is the same for every batch. */
static bool url_build_head(cp_url *url, const cp_delivery *delivery)
{
    const cp_table *table = delivery->table;
    const char *database = table->database ? table->database : delivery->env->config->database;
    cp_url_add(url, delivery->at->base);
    cp_url_add(url, "/?wait_end_of_query=1");
    if (database) {
        cp_url_add(url, "&database=");
        cp_url_add_encoded(url, database);
    }
    cp_url_add(url, "&query=");
    cp_url_add_encoded(url, "INSERT INTO ");
    cp_url_add_identifier(url, cp_table_target(table));
    for (uint32_t i = 0; i < table->column_count; i++) {
        cp_url_add_encoded(url, i ? "," : " (");
        cp_url_add_identifier(url, table->columns[i].name);
    }
    cp_url_add_encoded(url, ") FORMAT Native");
    return !url->overflow;
}

bool cp_delivery_url_head_(cp_delivery *delivery)
{
    cp_url url;
    cp_url_begin(&url, delivery->url, delivery->url_capacity);
    const bool complete = url_build_head(&url, delivery);
    delivery->url_head = url.size;
    return complete;
}

/* What is under way may be sent there, though it may have been stored elsewhere. */
static bool may_follow(const cp_delivery *delivery, const cp_endpoint *to)
{
    const cp_abilities *abilities = to->abilities;
    return delivery->at->abandoned ||
           (delivery->group != 0 && cp_abilities_known(abilities) && cp_abilities_has_token(abilities) &&
            cp_abilities_group(abilities, delivery->index) == delivery->group);
}

void cp_delivery_aim_(cp_delivery *delivery)
{
    cp_endpoint *to = cp_endpoints_chosen(delivery->env->endpoints);
    if (to == delivery->at || cp_delivery_is_sending(delivery))
        return;
    const bool under_way = delivery->state == CP_DELIVERY_FROZEN;
    if (under_way && delivery->tied && !may_follow(delivery, to))
        return;
    /* A frozen body stays as it is, and waits for its endpoint when another one does not read it. */
    if (under_way && delivery->encoded && delivery->batch.zstd && cp_abilities_known(to->abilities) &&
        !cp_abilities_has_zstd(to->abilities))
        return;
    if (under_way && delivery->tied)
        cp_log(CP_LOG_WARN,
               delivery->at->abandoned
                   ? "a batch that may have been stored at an abandoned endpoint goes to another"
                   : "a batch that may have been stored goes to another replica",
               "table=%s rows=%u from=%s to=%s remedy=\"coldpath audit, once both are there\"",
               delivery->table->name, delivery->batch.rows, delivery->at->base, to->base);
    delivery->at = to;
    const bool complete = cp_delivery_url_head_(delivery);
    assert(complete); /* URL_ROOM has room for any server's name */
    (void)complete;
    if (!under_way)
        return;
    delivery->prepared = false;
    delivery->retry_at = 0;
}

void cp_delivery_group_note_(cp_delivery *delivery)
{
    if (!delivery->tied)
        delivery->group = cp_abilities_group(delivery->at->abilities, delivery->index);
}

cp_endpoint *cp_delivery_at(const cp_delivery *delivery)
{
    return delivery->at;
}

void cp_delivery_turn(cp_delivery *delivery)
{
    cp_delivery_aim_(delivery);
}

const cp_table *cp_delivery_table(const cp_delivery *delivery)
{
    return delivery->table;
}

const cp_batch_policy *cp_delivery_policy(const cp_delivery *delivery)
{
    return &delivery->policy;
}

bool cp_delivery_held_dir(const cp_delivery *delivery, char *dir)
{
    return delivery->has_quarantine &&
           snprintf(dir, CP_HELD_PATH, "%s/held", delivery->quarantine.dir) < CP_HELD_PATH;
}

const cp_endpoint *cp_delivery_endpoint(const cp_delivery *delivery)
{
    return delivery->state == CP_DELIVERY_IDLE ? NULL : delivery->at;
}

bool cp_delivery_holds_on(const cp_delivery *delivery)
{
    return delivery->state == CP_DELIVERY_FROZEN && delivery->tied && delivery->group == 0;
}

/* ---- setting aside ---------------------------------------------------------------------------------------------- */

static bool may_set_aside(const cp_delivery *delivery, uint64_t now_ns)
{
    const cp_endpoint *chosen = cp_endpoints_chosen(delivery->env->endpoints);
    return delivery->env->held && delivery->state == CP_DELIVERY_FROZEN && delivery->tied &&
           !delivery->late && delivery->at != chosen && delivery->prepared &&
           cp_endpoint_is_down(delivery->at, now_ns) && !cp_endpoint_is_down(chosen, now_ns);
}

bool cp_delivery_set_aside_(cp_delivery *delivery, uint64_t now_ns)
{
    char dir[CP_HELD_PATH];
    char path[CP_HELD_PATH];
    cp_held_header header;
    cp_error err = {0};
    char quoted[CP_ERROR_TEXT + 64];
    if (now_ns < delivery->aside_at || !may_set_aside(delivery, now_ns) ||
        !cp_delivery_held_dir(delivery, dir) ||
        !cp_held_path(path, dir, delivery->table->name, delivery->batch.token))
        return false;
    if (cp_delivery_rest_write_(delivery, path, dir, &header, &err) < 0) {
        cp_log(CP_LOG_ERROR, "a batch that may have been stored cannot be set aside: its table waits with it",
               "table=%s error=%s", delivery->table->name, cp_log_quote(quoted, sizeof quoted, err.text));
        delivery->aside_at = now_ns + ASIDE_AGAIN_S * (uint64_t)CP_NS_PER_S;
        return false;
    }
    cp_log(CP_LOG_WARN, "a batch that may have been stored is set aside, until its endpoint answers",
           "table=%s rows=%u endpoint=%s consequence=\"its table goes on at another endpoint\"",
           delivery->table->name, header.rows, delivery->at->base);
    cp_failpoint(CP_FP_BATCH_HELD);
    cp_held_sender_add(delivery->env->held, delivery->index, delivery, path, &header);
    delivery->sends = 0; /* how it ended is said when it has */
    cp_delivery_settled_(delivery);
    return true;
}
