/* Samples of a made-up /proc, whose figures are known, and of the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feeds/proc_sampler.h"

#define S UINT64_C(1000000000)

static char dir[64];
static cp_proc_sample sample;

static void write_proc(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static const char net_head[] =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n";

static void write_net(uint64_t rx, uint64_t tx)
{
    char text[1024];
    snprintf(text, sizeof text,
             "%s    lo: 999999999 1 0 0 0 0 0 0 999999999 1 0 0 0 0 0 0\n"
             "  eth0:%llu 5 0 0 0 0 0 0 %llu 6 0 0 0 0 0 0\n"
             " wlan0: 7 5 0 0 0 0 0 0 8 6 0 0 0 0 0 0\n",
             net_head, (unsigned long long)rx, (unsigned long long)tx);
    write_proc("net/dev", text);
}

static int setup(void **state)
{
    (void)state;
    char net[80];
    snprintf(dir, sizeof dir, "/tmp/cp_proc_%d", (int)getpid());
    snprintf(net, sizeof net, "%s/net", dir);
    if (mkdir(dir, 0700) != 0 || mkdir(net, 0700) != 0)
        return -1;
    write_proc("meminfo", "MemTotal:        1000000 kB\nMemFree: 1 kB\nMemAvailable:     250000 kB\n");
    write_proc("loadavg", "0.50 1.25 10.00 1/100 12345\n");
    write_proc(
        "stat",
        "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 100 0 100 800 0 0 0 0 0 0\ncpu1 0 0 0 500 500 0 0 0\nintr 1 2 3\n");
    write_net(1000000, 2000000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"meminfo", "loadavg", "stat", "net/dev", "net", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        remove(path);
    }
    return 0;
}

static cp_proc_sampler *sampler_open(const char *iface, int expected)
{
    cp_proc_sampler *sampler = NULL;
    cp_error err = {0};
    assert_int_equal(cp_proc_sampler_open(&sampler, dir, iface, &err), expected);
    return sampler;
}

static void near(double value, double expected)
{
    if (fabs(value - expected) > 1e-6)
        fail_msg("%f is not %f", value, expected);
}

static void test_rates(void **state)
{
    (void)state;
    cp_error err = {0};
    cp_proc_sampler *sampler = sampler_open(NULL, CP_OK);
    assert_int_equal(cp_proc_sampler_take(sampler, 10 * S, &sample, &err), CP_OK);
    assert_string_equal(sample.iface, "eth0"); /* the busiest, but for the loopback */
    near(sample.net_rx_mb_s, 0);
    near(sample.mem_available_gb, 0.256);
    near(sample.mem_used_gb, 0.768);
    near(sample.mem_pct, 75);
    near(sample.load[0], 0.5);
    near(sample.load[2], 10);
    assert_int_equal(sample.cpu_count, 2);
    near(sample.cpu_busy_pct[0], 20);
    near(sample.cpu_busy_pct[1], 0);
    write_net(3000000, 2500000);
    write_proc("stat", "cpu  1 2 3 4\ncpu0 150 0 100 850 0 0 0 0 0 0\ncpu1 100 0 0 500 500 0 0 0\n");
    assert_int_equal(cp_proc_sampler_take(sampler, 10 * S + S / 2, &sample, &err), CP_OK);
    near(sample.net_rx_mb_s, 4);
    near(sample.net_tx_mb_s, 1);
    near(sample.cpu_busy_pct[0], 50);
    near(sample.cpu_busy_pct[1], 100);
    write_net(5, 5); /* counters that went back: an interface made anew */
    assert_int_equal(cp_proc_sampler_take(sampler, 11 * S, &sample, &err), CP_OK);
    near(sample.net_rx_mb_s, 0);
    cp_proc_sampler_close(sampler);
}

static void test_interfaces(void **state)
{
    (void)state;
    cp_error err = {0};
    cp_proc_sampler *sampler = sampler_open("wlan0", CP_OK);
    assert_int_equal(cp_proc_sampler_take(sampler, S, &sample, &err), CP_OK);
    assert_string_equal(sample.iface, "wlan0");
    cp_proc_sampler_close(sampler);
    sampler_open("eth", CP_E_ABSENT);
    write_proc("net/dev", net_head);
    sampler = sampler_open(NULL, CP_OK);
    assert_int_equal(cp_proc_sampler_take(sampler, S, &sample, &err), CP_OK);
    assert_string_equal(sample.iface, "");
    cp_proc_sampler_close(sampler);
    write_net(1000000, 2000000);
}

static void test_odd_files(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text;
    } cases[] = {{"meminfo", ""},
                 {"meminfo", "MemTotal: 0 kB\nMemAvailable: 1 kB\n"},
                 {"loadavg", "x y z\n"},
                 {"stat", "cpu 1 2 3 4\n"},
                 {"stat", "cpu0 1\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cp_error err = {0};
        cp_proc_sampler *sampler = sampler_open(NULL, CP_OK);
        write_proc(cases[i].name, cases[i].text);
        assert_int_equal(cp_proc_sampler_take(sampler, S, &sample, &err), CP_E_CORRUPT);
        assert_non_null(strstr(err.text, cases[i].name));
        cp_proc_sampler_close(sampler);
        teardown(NULL);
        assert_int_equal(setup(NULL), 0);
    }
}

static void test_this_host(void **state)
{
    (void)state;
    cp_error err = {0};
    cp_proc_sampler *sampler = NULL;
    assert_int_equal(cp_proc_sampler_open(&sampler, "/proc", NULL, &err), CP_OK);
    assert_int_equal(cp_proc_sampler_take(sampler, S, &sample, &err), CP_OK);
    assert_true(sample.mem_pct > 0 && sample.mem_pct < 100);
    assert_true(sample.cpu_count >= 1 && sample.cpu_count >= (uint32_t)sysconf(_SC_NPROCESSORS_ONLN));
    cp_proc_sampler_close(sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rates), cmocka_unit_test(test_interfaces),
                                       cmocka_unit_test(test_odd_files), cmocka_unit_test(test_this_host)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
