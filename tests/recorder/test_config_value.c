/* Values of the configuration: what is taken, what is refused and with which words, and how they are printed.
 */
#include "recorder/config/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const fruits[] = {"apple", "banana", "cherry", NULL};

static const cp_config_key size_key = {.path = "k", .kind = CP_CONFIG_SIZE, .max = UINT64_MAX};
static const cp_config_key ring_key = {.path = "k", .kind = CP_CONFIG_SIZE2, .min = 65536, .max = 1 << 30};
static const cp_config_key time_key = {.path = "k", .kind = CP_CONFIG_DURATION, .max = UINT64_MAX};
static const cp_config_key count_key = {.path = "k", .kind = CP_CONFIG_COUNT, .min = 1, .max = 64};
static const cp_config_key any_count = {.path = "k", .kind = CP_CONFIG_COUNT, .max = UINT64_MAX};
static const cp_config_key cpu_key = {.path = "k", .kind = CP_CONFIG_CPU, .max = 4095};
static const cp_config_key mode_key = {.path = "k", .kind = CP_CONFIG_MODE};
static const cp_config_key url_key = {.path = "k", .kind = CP_CONFIG_URLS};
static const cp_config_key name_key = {.path = "k", .kind = CP_CONFIG_NAME};
static const cp_config_key choice_key = {.path = "k", .kind = CP_CONFIG_CHOICE, .choices = fruits};

static void takes(const cp_config_key *key, const char *text, uint64_t want)
{
    uint64_t got = 0;
    cp_config_refusal why;
    if (!cp_config_value_parse(key, text, strlen(text), &got, &why))
        fail_msg("\"%s\" refused: %s", text, why.what);
    assert_int_equal(got, want);
}

static void refuses(const cp_config_key *key, const char *text, const char *what, const char *remedy)
{
    uint64_t got = 0;
    cp_config_refusal why;
    if (cp_config_value_parse(key, text, strlen(text), &got, &why))
        fail_msg("\"%s\" was taken", text);
    assert_string_equal(why.what, what);
    assert_string_equal(why.remedy, remedy);
}

static void numbers_are_exact(void **state)
{
    (void)state;
    takes(&size_key, "0", 0);
    takes(&size_key, "64MiB", UINT64_C(64) << 20);
    takes(&size_key, "64 MiB", UINT64_C(64) << 20);
    takes(&size_key, "512k", 512 * 1024);
    takes(&size_key, "17179869183GiB", UINT64_C(17179869183) << 30);
    takes(&size_key, "18446744073709551615", UINT64_MAX);
    takes(&time_key, "250ms", 250 * UINT64_C(1000000));
    takes(&time_key, "50us", 50000);
    takes(&time_key, "2m", UINT64_C(120000000000));
    takes(&time_key, "1h", UINT64_C(3600000000000));
    takes(&cpu_key, "any", CP_CONFIG_ANY_CPU);
    takes(&cpu_key, "0", 0);
    takes(&mode_key, "0660", 0660);
    takes(&mode_key, "0o600", 0600);
    takes(&choice_key, "cherry", 2);
}

static void numbers_that_are_none(void **state)
{
    static const char *const sizes[] = {"",
                                        "MiB",
                                        "-1",
                                        "+1",
                                        "1.5MiB",
                                        "1MB",
                                        "1 000",
                                        "0x10",
                                        "1MiBx",
                                        "1e3",
                                        " 1",
                                        "18446744073709551616",
                                        "17179869184GiB",
                                        "99999999999999999999GiB"};
    uint64_t number;
    cp_config_refusal why;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_false(cp_config_value_parse(&size_key, sizes[i], strlen(sizes[i]), &number, &why));
    assert_false(cp_config_value_parse(&any_count, "18446744073709551616", 20, &number, &why));
    assert_false(cp_config_value_parse(&any_count, "1\0", 2, &number, &why));
    refuses(&size_key, "12 apples", "k: \"12 apples\" is not a size",
            "write a whole number of bytes, or one with KiB, MiB or GiB (64MiB)");
    refuses(&time_key, "5", "k: \"5\" is not a time",
            "write a whole number and a unit: ns, us, ms, s, m, h (250ms)");
    refuses(&any_count, "5,000", "k: \"5,000\" is not a whole number",
            "write digits alone, without sign, point or separators (5000)");
    refuses(&cpu_key, "all", "k: \"all\" is not a CPU", "write \"any\" or a CPU's number, from 0");
}

static void ranges_and_powers(void **state)
{
    (void)state;
    takes(&count_key, "1", 1);
    takes(&count_key, "64", 64);
    refuses(&count_key, "0", "k: 0 is too small", "give a value from 1 to 64");
    refuses(&count_key, "65", "k: 65 is too large", "give a value from 1 to 64");
    takes(&ring_key, "64KiB", 65536);
    takes(&ring_key, "1GiB", 1 << 30);
    refuses(&ring_key, "3MiB", "k: 3MiB is not a power of two", "the nearest are 2MiB and 4MiB");
    refuses(&ring_key, "65537", "k: 65537 is not a power of two", "the nearest are 64KiB and 128KiB");
    refuses(&ring_key, "32KiB", "k: 32KiB is too small", "give a value from 64KiB to 1GiB");
}

static void urls(void **state)
{
    static const char *const good[] = {"http://h", "https://h.example:8443", "http://[::1]:8123",
                                       "http://127.0.0.1:1/", "HTTP://h:65535"};
    static const char *const bad[] = {
        "http://",     "http://h:0",     "http://h:65536", "http://h:",  "http://h x",
        "http://[::1", "http://h:80:80", "ftp://h",        "h:8123",     "http://h?a=b",
        "http://h#f",  "http://h/db",    "http://u:p@h/",  "http://u@h", "http://[zz]:1"};
    uint64_t number;
    cp_config_refusal why;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        takes(&url_key, good[i], 1); /* one URL */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (cp_config_value_parse(&url_key, bad[i], strlen(bad[i]), &number, &why))
            fail_msg("%s was taken", bad[i]);
    refuses(&url_key, "http://u:secret@h", "k has a user or password in it",
            "put the user into clickhouse.user and the password into a file named by password_file");
}

static void names_and_choices(void **state)
{
    (void)state;
    takes(&name_key, "dolphin_green-2", 0);
    refuses(&name_key, "../x", "k: \"../x\" cannot be a name", "letters, digits, _ and, not first, -");
    refuses(&name_key, "-x", "k: \"-x\" cannot be a name", "letters, digits, _ and, not first, -");
    refuses(&name_key, "a\033[2J", "k has a control character at byte 2",
            "control characters, line ends among them, cannot be part of it");
    refuses(&choice_key, "bannana", "k: \"bannana\" is not known here", "did you mean \"banana\"?");
    refuses(&choice_key, "walrus", "k: \"walrus\" is not known here", "one of: apple, banana, cherry");
    refuses(&mode_key, "0777", "k: \"0777\" is not a mode for producers",
            "0600: producers of the same user; 0660: of the region's group; 0666: of every user");
}

static void printing_reads_back(void **state)
{
    static const uint64_t numbers[] = {0, 1, 1023, 1024, 1025, 3 << 20, UINT64_C(5) << 30, UINT64_MAX};
    char text[64];
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        cp_config_value_format(&size_key, numbers[i], text, sizeof text);
        takes(&size_key, text, numbers[i]);
        cp_config_value_format(&time_key, numbers[i], text, sizeof text);
        takes(&time_key, text, numbers[i]);
    }
    cp_config_value_format(&time_key, UINT64_C(1500000000), text, sizeof text);
    assert_string_equal(text, "1500ms");
    cp_config_value_format(&cpu_key, CP_CONFIG_ANY_CPU, text, sizeof text);
    assert_string_equal(text, "any");
    cp_config_value_format(&mode_key, 0600, text, sizeof text);
    assert_string_equal(text, "0600");
}

static void quoting_is_safe(void **state)
{
    char out[80];
    char longer[200];
    (void)state;
    assert_string_equal(cp_config_quote(out, sizeof out, "a\x1b[31m\n\x7f", 8), "a?[31m??");
    assert_string_equal(cp_config_quote(out, sizeof out, "\xc2\x9b.", 3), "??.");
    assert_string_equal(cp_config_quote(out, sizeof out, "Grüße", 7), "Grüße");
    memset(longer, 'x', sizeof longer);
    memcpy(longer + 59, "\xc3\xbc", 2); /* the cut would fall into it */
    cp_config_quote(out, sizeof out, longer, sizeof longer);
    assert_int_equal(strlen(out), 59 + 3);
    assert_string_equal(out + 59, "…");
}

static void nearest_names(void **state)
{
    static const char *const names[] = {"ring_size", "slots", "row_max", "flush"};
    (void)state;
    assert_int_equal(cp_config_nearest(names, 4, "ring_sise", 9), 0);
    assert_int_equal(cp_config_nearest(names, 4, "RING_SIZE", 9), 0);
    assert_int_equal(cp_config_nearest(names, 4, "solts", 5), 1); /* two letters swapped count as one edit */
    assert_int_equal(cp_config_nearest(names, 4, "flsuh", 5), 3);
    assert_int_equal(cp_config_nearest(names, 4, "zebra", 5), -1);
    assert_int_equal(cp_config_nearest(names, 4, "", 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_exact), cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(ranges_and_powers), cmocka_unit_test(urls),
        cmocka_unit_test(names_and_choices), cmocka_unit_test(printing_reads_back),
        cmocka_unit_test(quoting_is_safe),   cmocka_unit_test(nearest_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
