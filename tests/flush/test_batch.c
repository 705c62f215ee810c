/* Spans and tokens of batches, classes of errors, backoff and URLs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <string.h>

#include "base/clock.h"
#include "flush/backoff.h"
#include "flush/batch.h"
#include "flush/error_class.h"
#include "flush/url.h"

static cp_chunk chunk_of(uint16_t slot, uint64_t epoch, uint64_t begin, uint64_t end)
{
    return (cp_chunk){
        .slot = slot, .epoch = epoch, .begin = begin, .end = end, .row_count = 2, .rejected = 1};
}

static void test_spans(void **state)
{
    (void)state;
    cp_batch batch;
    assert_int_equal(cp_batch_init(&batch, 1 << 20), CP_OK);
    const cp_chunk chunks[] = {
        chunk_of(1, 7, 0, 100),
        chunk_of(2, 7, 50, 60),
        chunk_of(1, 7, 100, 300),
        chunk_of(1, 8, 300, 310),
        /* another epoch */ chunk_of(2, 7, 70, 80), /* a gap */
    };
    for (unsigned i = 0; i < 5; i++)
        assert_true(cp_batch_add_span(&batch, &chunks[i]));
    assert_int_equal(batch.span_count, 4);
    assert_int_equal(batch.spans[0].begin, 0);
    assert_int_equal(batch.spans[0].end, 300);
    assert_int_equal(batch.spans[0].rows, 4);
    assert_int_equal(batch.spans[0].rejected, 2);
    assert_int_equal(batch.spans[2].epoch, 8);
    cp_batch_clear(&batch);
    for (unsigned i = 0; i < CP_MAX_TABLE_SLOTS; i++) {
        const cp_chunk chunk = chunk_of((uint16_t)i, 1, 0, 8);
        assert_true(cp_batch_add_span(&batch, &chunk));
    }
    const cp_chunk more = chunk_of(3, 1, 8, 16);
    const cp_chunk new = chunk_of(3, 2, 16, 24);
    assert_true(cp_batch_add_span(&batch, &more));
    assert_false(cp_batch_add_span(&batch, &new));
    cp_batch_destroy(&batch);
}

/* Makes the token of one span. */
static void token_of(char *token, const char *instance, const char *table, cp_chunk chunk)
{
    cp_batch batch;
    assert_int_equal(cp_batch_init(&batch, 4096), CP_OK);
    assert_true(cp_batch_add_span(&batch, &chunk));
    cp_batch_make_token(&batch, instance, table);
    memcpy(token, batch.token, CP_TOKEN_MAX);
    cp_batch_destroy(&batch);
}

static void test_token(void **state)
{
    (void)state;
    static const cp_chunk others[] = {
        {.slot = 2, .epoch = 7, .begin = 100, .end = 300},
        {.slot = 1, .epoch = 8, .begin = 100, .end = 300},
        {.slot = 1, .epoch = 7, .begin = 101, .end = 300},
        {.slot = 1, .epoch = 7, .begin = 100, .end = 301},
    };
    char first[CP_TOKEN_MAX];
    char token[CP_TOKEN_MAX];
    token_of(first, "ns:1", "quotes", chunk_of(1, 7, 100, 300));
    /* However the same rows were cut into chunks, whatever was valid in them, at whatever time. */
    cp_batch batch;
    const cp_chunk parts[] = {chunk_of(1, 7, 100, 200), chunk_of(1, 7, 200, 300)};
    assert_int_equal(cp_batch_init(&batch, 4096), CP_OK);
    assert_true(cp_batch_add_span(&batch, &parts[0]));
    assert_true(cp_batch_add_span(&batch, &parts[1]));
    cp_batch_make_token(&batch, "ns:1", "quotes");
    assert_string_equal(first, batch.token);
    cp_batch_destroy(&batch);
    /* The value is part of the contract with deduplication windows that outlive this program. */
    assert_string_equal(first, "ns:1:quotes:f6d1757816cb1ad0d2083bd57ab7c1a1");
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        token_of(token, "ns:1", "quotes", others[i]);
        assert_string_not_equal(first, token);
    }
    token_of(token, "ns:2", "quotes", chunk_of(1, 7, 100, 300));
    assert_string_not_equal(first, token);
    token_of(token, "ns:1", "trades", chunk_of(1, 7, 100, 300));
    assert_string_not_equal(first, token);
    char name[1000];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    token_of(first, name, name, chunk_of(1, 7, 100, 300));
    name[990] = 'm'; /* beyond what the token shows */
    token_of(token, name, name, chunk_of(1, 7, 100, 300));
    assert_string_not_equal(first, token);
}

static void test_classes_of_codes(void **state)
{
    (void)state;
    static const struct {
        int code;
        cp_error_class class;
    } cases[] = {
        {241, CP_CLASS_TRANSIENT},     {999, CP_CLASS_TRANSIENT},     {319, CP_CLASS_IN_DOUBT},
        {252, CP_CLASS_THROTTLE},      {158, CP_CLASS_SPLIT},         {27, CP_CLASS_POISON},
        {33, CP_CLASS_MALFORMED},      {60, CP_CLASS_PARK_TABLE},     {497, CP_CLASS_PARK_TABLE},
        {516, CP_CLASS_PARK_ENDPOINT}, {115, CP_CLASS_PARK_ENDPOINT}, {77777, CP_CLASS_UNKNOWN},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cp_error_class_of_code(cases[i].code), cases[i].class);
    for (int class = 0; class < CP_CLASS_COUNT; class ++)
        assert_non_null(cp_error_class_name((cp_error_class) class));
}

static void test_classes_of_replies(void **state)
{
    (void)state;
    static const struct {
        cp_http_reply reply;
        cp_error_class class;
    } cases[] = {
        {{.status = 200, .whole = true}, CP_CLASS_OK},
        {{.status = 200}, CP_CLASS_IN_DOUBT},
        {{.status = 200, .whole = true, .body_size = 1}, CP_CLASS_IN_DOUBT},
        {{.status = 200, .whole = true, .exception_header = true}, CP_CLASS_IN_DOUBT},
        {{.status = 200, .whole = true, .exception_header = true, .exception_code = 241}, CP_CLASS_TRANSIENT},
        {{.status = 204, .whole = true}, CP_CLASS_IN_DOUBT},
        {{.status = 302}, CP_CLASS_PARK_ENDPOINT},
        {{.status = 404}, CP_CLASS_PARK_ENDPOINT},
        {{.status = 404, .exception_code = 60}, CP_CLASS_PARK_TABLE},
        {{.status = 500, .exception_code = 252, .body = "Code: 252. DB::Exception: Too many parts (300)"},
         CP_CLASS_THROTTLE},
        {{.status = 500,
          .exception_code = 252,
          .body = "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100)."},
         CP_CLASS_SPLIT},
        {{.status = 400}, CP_CLASS_UNKNOWN},
        {{.status = 413}, CP_CLASS_SPLIT},
        {{.status = 429}, CP_CLASS_TRANSIENT},
        {{.status = 500}, CP_CLASS_IN_DOUBT},
        {{.status = 503}, CP_CLASS_TRANSIENT},
        {{.net = CURLE_COULDNT_CONNECT}, CP_CLASS_TRANSIENT},
        {{.net = CURLE_OPERATION_TIMEDOUT}, CP_CLASS_IN_DOUBT},
        {{.net = CURLE_RECV_ERROR, .status = 200}, CP_CLASS_IN_DOUBT},
        {{.net = CURLE_PARTIAL_FILE, .status = 200}, CP_CLASS_IN_DOUBT},
        {{.net = CURLE_PEER_FAILED_VERIFICATION}, CP_CLASS_PARK_ENDPOINT},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cp_error_classify(&cases[i].reply), cases[i].class);
}

static void test_backoff(void **state)
{
    (void)state;
    const cp_sink_config config = {.retry_min_ms = 100, .retry_max_ms = 1000};
    for (uint32_t attempt = 1; attempt < 100; attempt++) {
        uint64_t middle = 100 * (uint64_t)CP_NS_PER_MS << (attempt < 20 ? attempt - 1 : 20);
        const uint64_t most = 1000 * (uint64_t)CP_NS_PER_MS;
        const uint64_t plain = cp_backoff_ns(&config, attempt, false);
        const uint64_t parked = cp_backoff_ns(&config, attempt, true);
        const uint64_t parked_middle = middle > CP_PARK_FACTOR * most ? CP_PARK_FACTOR * most : middle;
        middle = middle > most ? most : middle;
        assert_in_range(plain, middle / 2, middle / 2 * 3);
        assert_in_range(parked, parked_middle / 2, parked_middle / 2 * 3);
    }
    assert_true(cp_backoff_ns(&config, UINT32_MAX, false) >= 500 * (uint64_t)CP_NS_PER_MS);
    const cp_sink_config zero = {0};
    assert_true(cp_backoff_ns(&zero, 5, false) > 0);
}

static void test_url(void **state)
{
    (void)state;
    char buffer[64];
    cp_url url;
    cp_url_begin(&url, buffer, sizeof buffer);
    cp_url_add(&url, "/?q=");
    cp_url_add_encoded(&url, "a b&\xc3\xa4~");
    cp_url_add_identifier(&url, "x`y\\z");
    assert_string_equal(buffer, "/?q=a%20b%26%C3%A4~%60x%5C%60y%5C%5Cz%60");
    assert_false(url.overflow);
    for (unsigned i = 0; i < 40; i++)
        cp_url_add_encoded(&url, "%");
    assert_true(url.overflow);
    assert_true(strlen(buffer) < sizeof buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_classes_of_codes),
        cmocka_unit_test(test_classes_of_replies),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
