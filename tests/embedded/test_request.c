/* Requests: which URL parameters are words of the interface, settings or substitutions; who is let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "embedded/request.h"

static int parameter(cp_request *request, const char *name, const char *value)
{
    cp_fault fault = {0};
    const int code = cp_request_parameter(request, name, value, strlen(value), &fault);
    assert_int_equal(code, fault.code);
    cp_fault_clear(&fault);
    return code;
}

static int header(cp_request *request, const char *name, const char *value)
{
    cp_fault fault = {0};
    const int code = cp_request_header(request, name, value, &fault);
    cp_fault_clear(&fault);
    return code;
}

static void test_words_settings_and_substitutions(void **state)
{
    (void)state;
    cp_request *request = cp_request_new();
    assert_int_equal(parameter(request, "query", "SELECT 1"), 0);
    assert_int_equal(parameter(request, "database", "db"), 0);
    assert_int_equal(parameter(request, "wait_end_of_query", "1"), 0);
    assert_int_equal(parameter(request, "session_timeout", "77"), 0);
    assert_int_equal(parameter(request, "param_x", "a\tb"), 0);
    assert_int_equal(parameter(request, "max_threads", "2"), 0);
    assert_int_equal(parameter(request, "insert_deduplication_token", "it's \\ `x`"), 0);
    assert_int_equal(parameter(request, "", "ignored"), 0);
    assert_int_equal(parameter(request, "quota_key", "ignored"), 0);
    assert_string_equal(request->query.data, "SELECT 1");
    assert_string_equal(request->database, "db");
    assert_true(request->wait_end_of_query);
    assert_int_equal(request->session_timeout, 77);
    assert_int_equal(request->params.count, 1);
    assert_string_equal(request->params.names[0], "x");
    assert_int_equal(request->settings.count, 2);
    cp_text sql = {0};
    cp_request_set(request, &sql);
    assert_string_equal(sql.data, "SET max_threads = '2', insert_deduplication_token = 'it\\'s \\\\ `x`'");
    cp_text_free(&sql);
    cp_request_unset(request, &sql);
    assert_string_equal(sql.data, "SET max_threads = DEFAULT, insert_deduplication_token = DEFAULT");
    cp_text_free(&sql);
    cp_request_free(request);
}

static void test_bad_parameters(void **state)
{
    (void)state;
    cp_request *request = cp_request_new();
    assert_int_equal(parameter(request, "x = 1, y", "1"), CP_FAULT_UNKNOWN_SETTING);
    assert_int_equal(parameter(request, "1x", "1"), CP_FAULT_UNKNOWN_SETTING);
    assert_int_equal(parameter(request, "session_timeout", "3601"), CP_FAULT_INVALID_SESSION_TIMEOUT);
    assert_int_equal(parameter(request, "session_timeout", "-1"), CP_FAULT_INVALID_SESSION_TIMEOUT);
    assert_int_equal(parameter(request, "wait_end_of_query", "maybe"), CP_FAULT_BAD_ARGUMENTS);
    assert_int_equal(parameter(request, "buffer_size", "1e9"), CP_FAULT_BAD_ARGUMENTS);
    assert_int_equal(parameter(request, "query_id", "a\r\nSet-Cookie: b"), CP_FAULT_BAD_ARGUMENTS);
    assert_int_equal(header(request, "X-ClickHouse-Query-Id", "a\x01"), CP_FAULT_BAD_ARGUMENTS);
    cp_request_free(request);
}

static void test_more_pairs_than_room(void **state)
{
    (void)state;
    cp_request *request = cp_request_new();
    for (int i = 0; i < CP_REQUEST_PAIRS; i++) {
        char name[32];
        snprintf(name, sizeof name, "setting_%d", i);
        assert_int_equal(parameter(request, name, "1"), 0);
    }
    assert_int_equal(parameter(request, "one_more", "1"), CP_FAULT_BAD_ARGUMENTS);
    cp_request_free(request);
}

static void test_settings_of_the_interface(void **state)
{
    (void)state;
    cp_request *request = cp_request_new();
    assert_int_equal(parameter(request, "max_query_size", "1000000"), 0);
    assert_int_equal(request->query_size, 1000000);
    assert_int_equal(parameter(request, "max_query_size", "0"), 0);
    assert_int_equal(request->query_size, CP_QUERY_SIZE_LIMIT);
    assert_int_equal(parameter(request, "buffer_size", "10"), 0);
    assert_int_equal(request->buffer_size, CP_BUFFER_SIZE);
    assert_int_equal(parameter(request, "enable_http_compression", "0"), 0);
    assert_false(request->http_compression);
    assert_int_equal(parameter(request, "http_zlib_compression_level", "9"), 0);
    assert_int_equal(request->compression_level, 9);
    cp_request_free(request);
}

static void test_headers_come_first(void **state)
{
    (void)state;
    cp_request *request = cp_request_new();
    assert_int_equal(header(request, "x-clickhouse-database", "from_header"), 0);
    assert_int_equal(header(request, "X-ClickHouse-Format", "JSON"), 0);
    assert_int_equal(header(request, "User-Agent", "x"), 0);
    assert_int_equal(parameter(request, "database", "from_url"), 0);
    assert_string_equal(request->database, "from_header");
    assert_string_equal(request->default_format, "JSON");
    cp_request_free(request);
}

enum way { NONE, URL, HEADER, BASIC, HEADER_AND_URL, BEARER };

static int authenticate(enum way way, const char *user, const char *password)
{
    cp_request *request = cp_request_new();
    cp_fault fault = {0};
    if (way == URL || way == HEADER_AND_URL) {
        parameter(request, "user", user);
        parameter(request, "password", password);
    }
    if (way == HEADER || way == HEADER_AND_URL) {
        header(request, "X-ClickHouse-User", user);
        header(request, "X-ClickHouse-Key", password);
    }
    if (way == BASIC)
        cp_request_basic(request, user, password, &fault);
    request->other_authorization = way == BEARER;
    const int code = cp_request_authenticate(request, "writer", "secret", &fault);
    cp_fault_clear(&fault);
    cp_request_free(request);
    return code;
}

static void test_authentication(void **state)
{
    (void)state;
    for (int way = URL; way <= BASIC; way++) {
        assert_int_equal(authenticate((enum way)way, "writer", "secret"), 0);
        assert_int_equal(authenticate((enum way)way, "writer", "secre"), CP_FAULT_AUTHENTICATION_FAILED);
        assert_int_equal(authenticate((enum way)way, "writer", "secrets"), CP_FAULT_AUTHENTICATION_FAILED);
        assert_int_equal(authenticate((enum way)way, "writer", "secretsecret"),
                         CP_FAULT_AUTHENTICATION_FAILED);
        assert_int_equal(authenticate((enum way)way, "writer", ""), CP_FAULT_AUTHENTICATION_FAILED);
        assert_int_equal(authenticate((enum way)way, "default", "secret"), CP_FAULT_AUTHENTICATION_FAILED);
    }
    assert_int_equal(authenticate(NONE, "", ""), CP_FAULT_AUTHENTICATION_FAILED);
    assert_int_equal(authenticate(HEADER_AND_URL, "writer", "secret"), CP_FAULT_AUTHENTICATION_FAILED);
    assert_int_equal(authenticate(BEARER, "", ""), CP_FAULT_AUTHENTICATION_FAILED);
}

static void test_no_credentials_are_the_default_user(void **state)
{
    (void)state;
    cp_request *request = cp_request_new();
    cp_fault fault = {0};
    assert_int_equal(cp_request_authenticate(request, "default", "", &fault), 0);
    assert_int_equal(cp_request_authenticate(request, "default", "x", &fault),
                     CP_FAULT_AUTHENTICATION_FAILED);
    cp_fault_clear(&fault);
    cp_request_free(request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_settings_and_substitutions),
        cmocka_unit_test(test_bad_parameters),
        cmocka_unit_test(test_more_pairs_than_room),
        cmocka_unit_test(test_settings_of_the_interface),
        cmocka_unit_test(test_headers_come_first),
        cmocka_unit_test(test_authentication),
        cmocka_unit_test(test_no_credentials_are_the_default_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
