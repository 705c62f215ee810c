/* Faults: the engine's texts come out as a server sends them, and every number has the server's status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "embedded/fault.h"

static void check(const char *engine, int code, const char *expected)
{
    cp_fault fault = {0};
    assert_int_equal(cp_fault_take(&fault, engine), code);
    assert_string_equal(fault.text, expected);
    cp_fault_clear(&fault);
    assert_int_equal(fault.code, 0);
}

static void test_engine_texts(void **state)
{
    (void)state;
    check("Code: 60. DB::Exception: No x. (UNKNOWN_TABLE)", 60,
          "Code: 60. DB::Exception: No x. (UNKNOWN_TABLE) (version 9.9)");
    check("Code: 60. DB::Exception: No x. (UNKNOWN_TABLE) (version 9.9)", 60,
          "Code: 60. DB::Exception: No x. (UNKNOWN_TABLE) (version 9.9)");
    check("Code: 73. DB::Exception: Code: 73. DB::Exception: Code: 73. DB::Exception: No f. (UNKNOWN_FORMAT) "
          "(version "
          "9.9). (UNKNOWN_FORMAT) (version 9.9). (UNKNOWN_FORMAT)",
          73, "Code: 73. DB::Exception: No f. (UNKNOWN_FORMAT) (version 9.9)");
    check("Code: 76. DB::ErrnoException: No y. (CANNOT_OPEN_FILE)", 76,
          "Code: 76. DB::ErrnoException: No y. (CANNOT_OPEN_FILE) (version 9.9)");
    check("no number", CP_FAULT_ENGINE,
          "Code: 1002. DB::Exception: no number. (UNKNOWN_EXCEPTION) (version 9.9)");
    check("", CP_FAULT_ENGINE, "Code: 1002. DB::Exception: . (UNKNOWN_EXCEPTION) (version 9.9)");
    check("Code: 60. DB::Exception: Code: 61. DB::Exception: ", 60,
          "Code: 60. DB::Exception: Code: 61. DB::Exception:  (version 9.9)");
}

static void test_first_cause_stays(void **state)
{
    (void)state;
    cp_fault fault = {0};
    assert_int_equal(cp_fault_set(&fault, CP_FAULT_SYNTAX_ERROR, "Empty %s.", "query"), 62);
    assert_int_equal(cp_fault_set(&fault, CP_FAULT_ABORTED, "later"), 62);
    assert_int_equal(cp_fault_take(&fault, "Code: 60. DB::Exception: x (Y)"), 62);
    assert_string_equal(fault.text, "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR) (version 9.9)");
    cp_fault_clear(&fault);
}

static void test_statuses(void **state)
{
    (void)state;
    const int expected[][2] = {{60, 404},  {62, 400},  {81, 404},  {115, 404},  {27, 400},
                               {48, 501},  {516, 403}, {194, 401}, {159, 408},  {241, 500},
                               {252, 500}, {164, 500}, {229, 413}, {381, 411},  {76, 503},
                               {202, 500}, {0, 500},   {-1, 500},  {99999, 500}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_int_equal(cp_fault_http_status(expected[i][0]), expected[i][1]);
}

int main(void)
{
    cp_fault_set_version("9.9");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_texts),
        cmocka_unit_test(test_first_cause_stays),
        cmocka_unit_test(test_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
