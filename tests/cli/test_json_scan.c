/* The scan before json-c: numbers get quotes, and nothing else changes. What json-c refuses stays refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/json_scan.h"

static cp_json_scan scan;

static void check_scan(const char *line, const char *expected, size_t members)
{
    assert_int_equal(cp_json_scan_line(&scan, line, strlen(line)), 0);
    if (scan.len != strlen(expected) || memcmp(scan.text, expected, scan.len) != 0)
        fail_msg("%s became %.*s", line, (int)scan.len, scan.text);
    assert_int_equal(scan.members, members);
}

static void test_quotes(void **state)
{
    (void)state;
    check_scan("{\"a\":1}", "{\"a\":\"1\"}", 1);
    check_scan("{\"a\" : -12.50e+3 , \"b\":[0,1 ,\t2]}",
               "{\"a\" : \"-12.50e+3\" , \"b\":[\"0\",\"1\" ,\t\"2\"]}", 2);
    check_scan("{\"a\":{\"b\":1,\"c\":2},\"d\":true}", "{\"a\":{\"b\":\"1\",\"c\":\"2\"},\"d\":true}", 2);
    check_scan("{\"a:1,\\\"\":\"[1,2]\"}", "{\"a:1,\\\"\":\"[1,2]\"}", 1);
    check_scan("{\"a\":01,\"b\":1.,\"c\":-,\"d\":1e,\"e\":.5}",
               "{\"a\":01,\"b\":1.,\"c\":-,\"d\":1e,\"e\":.5}", 5);
    check_scan("{1:2}", "{1:\"2\"}", 1);
    check_scan("{\"a\":1", "{\"a\":1", 1);
    check_scan("", "", 0);
    check_scan("}}}{\"a\":1}", "}}}{\"a\":\"1\"}", 1);
}

static void test_origin(void **state)
{
    (void)state;
    const char line[] = "{\"a\":12,\"b\":[3,\"4\"]}";
    assert_int_equal(cp_json_scan_line(&scan, line, strlen(line)), 0);
    for (size_t at = 0; at < scan.len; at++) {
        const size_t origin = cp_json_scan_origin(&scan, line, strlen(line), at);
        assert_true(origin <= at && origin < strlen(line));
        if (scan.text[at] != '"')
            assert_int_equal(scan.text[at], line[origin]);
    }
    assert_int_equal(cp_json_scan_origin(&scan, line, strlen(line), scan.len), strlen(line));
}

static void test_names(void **state)
{
    (void)state;
    const char line[] = " { \"a\" : \"x\" , \"b\\\"\":{\"c\":1,\"d\":2},\"e\":[\"f\",\"g\"], \"\" :null}";
    static const char *const names[] = {"\"a\"", "\"b\\\"\"", "\"e\"", "\"\""};
    static const char *const values[] = {"\"x\"", "{\"c\":1,\"d\":2}", "[\"f\",\"g\"]", "null"};
    size_t at = 0;
    size_t size;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *name = cp_json_scan_name(line, strlen(line), &at, &size);
        assert_non_null(name);
        assert_int_equal(size, strlen(names[i]));
        assert_memory_equal(name, names[i], size);
        const char *value = cp_json_scan_value(line, strlen(line), at, &size);
        assert_int_equal(size, strlen(values[i]));
        assert_memory_equal(value, values[i], size);
    }
    assert_null(cp_json_scan_name(line, strlen(line), &at, &size));
}

static bool parses(json_tokener *tokener, const char *text, size_t len)
{
    json_tokener_reset(tokener);
    json_object_put(json_tokener_parse_ex(tokener, text, (int)len));
    return json_tokener_get_error(tokener) == json_tokener_success;
}

/* Random near-JSON: the parser takes the scanned line exactly when it takes the line. */
static void test_random(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "{",  "}",  "[", "]",      ":",  ",",     "\"a\"", "\"",   "\\", " ", "1", "0",       "-1",      ".5",
        "e3", "E+", "-", "\"b\":", ":1", "[1,2]", "true",  "null", "1",  "x", ",", "\"c\":2", "{\"a\":", "}"};
    const char *given = getenv("CP_SEED");
    const unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
    print_message("CP_SEED=%u\n", seed);
    srandom(seed);
    json_tokener *tokener = json_tokener_new_ex(8);
    assert_non_null(tokener);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    int good = 0;
    for (int round = 0; round < 400000; round++) {
        char line[128] = "{\"a\":";
        size_t used = strlen(line);
        for (long i = random() % 7; i >= 0; i--)
            used += (size_t)snprintf(line + used, sizeof line - used, "%s",
                                     parts[(size_t)random() % (sizeof parts / sizeof parts[0])]);
        if (round % 2)
            snprintf(line + used, sizeof line - used, "}");
        const bool before = parses(tokener, line, strlen(line));
        assert_int_equal(cp_json_scan_line(&scan, line, strlen(line)), 0);
        if (parses(tokener, scan.text, scan.len) != before)
            fail_msg("%s is %s, but %.*s is not", line, before ? "JSON" : "no JSON", (int)scan.len,
                     scan.text);
        good += before;
    }
    assert_true(good > 1000);
    json_tokener_free(tokener);
}

static int teardown(void **state)
{
    (void)state;
    cp_json_scan_free(&scan);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
