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

#include "base/log.h"
#include "flush/delivery_private.h"
#include "flush/url.h"

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

const cp_endpoint *cp_delivery_endpoint(const cp_delivery *delivery)
{
    return delivery->state == CP_DELIVERY_IDLE ? NULL : delivery->at;
}

bool cp_delivery_holds_on(const cp_delivery *delivery)
{
    return delivery->state == CP_DELIVERY_FROZEN && delivery->tied && delivery->group == 0;
}
