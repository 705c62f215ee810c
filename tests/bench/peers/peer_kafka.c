/* librdkafka: rd_kafka_produce with a copy of the row, to the broker that the library simulates for tests. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>

#include "peer.h"

static rd_kafka_t *kafka;
static rd_kafka_topic_t *topic;

static bool kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return true;
    fprintf(stderr, "peers: librdkafka: %s\n", why);
    return false;
}

static bool kafka_open(int consumer_cpu)
{
    (void)consumer_cpu; /* its threads run where the kernel puts them */
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!kafka_set(conf, "test.mock.num.brokers", "1") ||
        !kafka_set(conf, "queue.buffering.max.messages", "200000") || !kafka_set(conf, "linger.ms", "5") ||
        !kafka_set(conf, "log_level", "3")) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!kafka) {
        fprintf(stderr, "peers: librdkafka: %s\n", why);
        rd_kafka_conf_destroy(conf);
        return false;
    }
    topic = rd_kafka_topic_new(kafka, "rows", NULL);
    return topic != NULL;
}

static bool kafka_put(const void *row)
{
    /* The library takes const data with MSG_F_COPY, but its prototype has no const. */
    union {
        const void *from;
        void *to;
    } bytes = {.from = row};
    if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, bytes.to, PEER_ROW, NULL, 0,
                         NULL) == 0)
        return true;
    rd_kafka_poll(kafka, 0);
    return false;
}

static void kafka_settle(void)
{
    rd_kafka_flush(kafka, 20 * 1000);
}

static void kafka_close(void)
{
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(kafka);
}

const peer peer_kafka = {"librdkafka",
                         "rd_kafka_produce of 120 bytes; simulated broker in the process",
                         4,
                         kafka_open,
                         kafka_put,
                         kafka_settle,
                         kafka_close};
