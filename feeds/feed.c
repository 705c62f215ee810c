#include "feeds/feed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

enum { WAIT_SLICE_NS = 100 * CP_NS_PER_MS }; /* of a wait, between looks at signals */

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

const volatile sig_atomic_t *cp_feed_catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: sleeps and reads end */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return &stop_signal;
}

int cp_feed_open(cp_feed *feed, const cp_feed_policy *policy, const char *table, uint64_t schema_hash,
                 cp_error *err)
{
    *feed = (cp_feed){.policy = policy,
                      .producer = {.region_path = policy->region,
                                   .table = table,
                                   .name = policy->producer,
                                   .schema_hash = schema_hash}};
    return cp_producer_open(&feed->producer, err);
}

bool cp_feed_was_open(const cp_feed *feed)
{
    return feed->producer.span_count > 0;
}

static int put_failed(const cp_feed *feed, int rc, uint32_t bytes, cp_error *err)
{
    if (rc == CP_E_TIMEOUT)
        return cp_error_set(err, rc,
                            "%s: the ring stayed full for %.1f s; does coldpathd run, and reach ClickHouse?",
                            feed->producer.table, (double)feed->policy->timeout_ns / 1e9);
    if (rc == CP_E_TOO_BIG)
        return cp_error_set(err, rc, "%s: a row of %u bytes is larger than the table takes (row_max)",
                            feed->producer.table, bytes);
    return cp_error_set(err, rc, "%s: %s", feed->producer.table, cp_strerror(rc));
}

static int put_waiting(cp_feed *feed, const void *row, uint32_t bytes)
{
    const uint64_t begin = cp_boottime_ns();
    int rc = CP_E_TIMEOUT;
    feed->waits++;
    while (rc == CP_E_TIMEOUT && !*feed->policy->stopped &&
           cp_boottime_ns() - begin < feed->policy->timeout_ns)
        rc = cp_put_wait(feed->producer.ring, row, bytes, WAIT_SLICE_NS);
    feed->waited_ns += cp_boottime_ns() - begin;
    return rc;
}

/* The put was refused with rc: waits, drops or attaches anew, as it takes. */
static int put_refused(cp_feed *feed, int rc, const void *row, uint32_t bytes, cp_error *err)
{
    const cp_feed_policy *policy = feed->policy;
    const uint64_t begin = cp_boottime_ns();
    for (;;) {
        if (rc == CP_FULL && policy->on_full == CP_ON_FULL_DROP) {
            feed->dropped++;
            return CP_OK;
        }
        if (rc == CP_FULL)
            rc = put_waiting(feed, row, bytes);
        if (rc == CP_OK) {
            feed->rows++;
            return CP_OK;
        }
        if (*policy->stopped)
            return CP_OK;
        if (rc != CP_E_RETIRED || cp_boottime_ns() - begin > policy->timeout_ns)
            return put_failed(feed, rc, bytes, err);
        rc = cp_producer_reopen(&feed->producer, policy->timeout_ns, policy->stopped, err);
        if (rc < 0)
            return *policy->stopped ? CP_OK : rc;
        rc = cp_put(feed->producer.ring, row, bytes);
    }
}

int cp_feed_put(cp_feed *feed, const void *row, uint32_t bytes, cp_error *err)
{
    const uint64_t begin = cp_put_timer_now();
    const int rc = cp_put(feed->producer.ring, row, bytes);
    const uint64_t end = cp_put_timer_now();
    if (CP_UNLIKELY(rc != CP_OK))
        return put_refused(feed, rc, row, bytes, err);
    cp_put_timer_record(feed->policy->timer, begin, end);
    feed->rows++;
    return CP_OK;
}

static void span_json(const cp_ring_span *span, FILE *out)
{
    fprintf(out, "\"epoch\":\"%" PRIu64 "\",\"slot\":%" PRIu32 ",\"first\":%" PRIu64 ",\"last\":%" PRIu64,
            span->epoch, span->slot, span->first, span->last);
}

void cp_feed_json(cp_feed *feed, FILE *out)
{
    const cp_ring_span *spans = cp_producer_spans(&feed->producer);
    const uint32_t count = feed->producer.span_count;
    fprintf(out, "{\"table\":\"%s\",\"rows\":%" PRIu64 ",", feed->producer.table, feed->rows);
    if (count > 0)
        span_json(&spans[count - 1], out);
    fprintf(out, ",\"waits\":%" PRIu64 ",\"waited_seconds\":%.3f,\"dropped\":%" PRIu64 ",\"spans\":[",
            feed->waits, (double)feed->waited_ns / 1e9, feed->dropped);
    for (uint32_t i = 0; i < count; i++) {
        fputs(i == 0 ? "{" : ",{", out);
        span_json(&spans[i], out);
        fputc('}', out);
    }
    fputs("]}", out);
}

void cp_feed_times_json(const cp_put_timer *timer, FILE *out)
{
    cp_put_times times;
    cp_put_timer_read(timer, &times);
    fprintf(out,
            "\"put_p50_ns\":%.1f,\"put_p99_ns\":%.1f,\"put_p999_ns\":%.1f,\"put_max_ns\":%.1f,\"timer_"
            "overhead_ns\":%.1f",
            times.p50_ns, times.p99_ns, times.p999_ns, times.max_ns, times.overhead_ns);
}

void cp_feed_close(cp_feed *feed)
{
    cp_producer_free(&feed->producer);
}
