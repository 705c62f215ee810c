/* Random mutations of a good configuration, and of pieces of YAML: whatever the bytes are, loading gives a
 * configuration or an error, and leaves nothing behind (run under the address sanitizer to see to that).
 * CP_SEED chooses the mutations, CP_SECONDS how long they go on (default 5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "config_fixture.h"

enum { DEFAULT_SECONDS = 5, ROOM = 16 * 1024, MAX_MUTATIONS = 12 };

static uint64_t random_state;

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016. */
static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(2685821657736338717);
}

static size_t below(size_t limit)
{
    return limit ? (size_t)(next_random() % limit) : 0;
}

static const char *const pieces[] = {
    "&a ",
    "*a",
    "<<: *a\n",
    "\n  ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "- ",
    "|\n   ",
    ">\n  ",
    "---\n",
    "...\n",
    "!!str ",
    "? ",
    "\"",
    "'",
    "\\",
    "#",
    "%YAML 1.2\n",
    "\t",
    "~",
    "null",
    "\xc2\x85",
    "\xe2\x80\xa8",
    "\xef\xbb\xbf",
    "99999999999999999999",
    "-1",
    "64MiB",
    "250ms",
    "\r\n",
    "\r",
    "tables:\n  quotes:\n",
    "flush: {rows: 1}",
    "password: x\n",
    "http://a:b@c",
    "\x1b[2J",
    "0600",
    "..",
    "/",
};

static size_t mutate(char *text, size_t len)
{
    const size_t at = below(len + 1);
    const char *piece = pieces[below(sizeof pieces / sizeof pieces[0])];
    size_t n = strlen(piece);
    switch (below(5)) {
    case 0: /* insert a piece */
        if (len + n > ROOM)
            return len;
        memmove(text + at + n, text + at, len - at);
        memcpy(text + at, piece, n);
        return len + n;
    case 1: /* delete a span */
        n = below(len - at + 1) % 40;
        memmove(text + at, text + at + n, len - at - n);
        return len - n;
    case 2: /* repeat a span */
        n = below(len - at + 1) % 200;
        if (len + n > ROOM)
            return len;
        memmove(text + at + n, text + at, len - at);
        return len + n;
    case 3: /* flip a bit */
        if (at < len)
            text[at] = (char)(text[at] ^ (1 << below(8)));
        return len;
    default: /* overwrite with any byte */
        if (at < len)
            text[at] = (char)next_random();
        return len;
    }
}

static size_t start_text(char *text)
{
    static const char good[] =
        "namespace: demo\nregion: &r {dir: /dev/shm/x, mode: 0660, group: g}\n"
        "recorder: {drain_cpu: 0, poll: busy, memory_limit: 64MiB}\n"
        "clickhouse:\n  url: http://127.0.0.1:8123\n  user: 'u'\n  database: \"d\"\n"
        "  retry_min: 100ms\ntable_defaults: {class: lossy}\n"
        "tables:\n  quotes: &q {ring_size: 1MiB, flush: {rows: 5}}\n  trades: {<<: *q}\n";
    return (size_t)snprintf(text, ROOM, "%s%s", good, fixture_schema());
}

static void load_once(const char *text, size_t len)
{
    cp_config *config = NULL;
    cp_error err = {0, ""};
    char *report = NULL;
    size_t report_len = 0;
    fixture_write_bytes("coldpath.yaml", text, len);
    FILE *stream = open_memstream(&report, &report_len);
    assert_non_null(stream);
    const int rc = cp_config_load(&config, "coldpath.yaml", stream, &err);
    if (rc == CP_OK)
        cp_config_print(config, stream, true, below(2));
    assert_int_equal(fclose(stream), 0);
    assert_true((rc == CP_OK) == (config != NULL));
    assert_true(rc == CP_OK || (err.code == rc && err.text[0] != '\0' && report_len > 0));
    assert_null(memchr(report, '\x1b', report_len));
    cp_config_free(config);
    free(report);
}

static void mutations(void **state)
{
    const char *seed = getenv("CP_SEED"), *seconds = getenv("CP_SECONDS");
    random_state = seed ? strtoull(seed, NULL, 10) : cp_realtime_ns();
    print_message("CP_SEED=%llu\n", (unsigned long long)random_state);
    random_state = random_state * 2 + 1; /* never 0 */
    const uint64_t limit = seconds ? strtoull(seconds, NULL, 10) : DEFAULT_SECONDS;
    const uint64_t end = cp_boottime_ns() + limit * CP_NS_PER_S;
    static char text[2 * ROOM];
    uint64_t loads = 0;
    (void)state;
    while (cp_boottime_ns() < end) {
        size_t len = start_text(text);
        for (size_t n = 1 + below(MAX_MUTATIONS); n > 0; n--)
            len = mutate(text, len);
        load_once(text, len);
        loads++;
    }
    print_message("%llu configurations\n", (unsigned long long)loads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mutations, fixture_enter, fixture_leave)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
