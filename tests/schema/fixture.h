/* What the tests of schema/ share: tables from text, rows from values, a seeded random stream. */
#ifndef CP_TESTS_SCHEMA_FIXTURE_H
#define CP_TESTS_SCHEMA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/row.h"
#include "schema/table.h"

/* The table of a statement that must parse. */
static inline cp_table *table_of(const char *ddl)
{
    cp_table *table = NULL;
    cp_error err = {0, ""};
    if (cp_table_parse(&table, "t.sql", ddl, strlen(ddl), &err) < 0)
        fail_msg("%s\n%s", err.text, ddl);
    return table;
}

static inline cp_table *table_load(const char *path)
{
    cp_table *table = NULL;
    cp_error err = {0, ""};
    if (cp_table_load(&table, path, &err) < 0)
        fail_msg("%s", err.text);
    return table;
}

/* The index of a column that must be there. */
static inline uint32_t column_of(const cp_table *table, const char *name)
{
    const int index = cp_table_find(table, name, strlen(name));
    if (index < 0)
        fail_msg("no column '%s'", name);
    return (uint32_t)index;
}

/* splitmix64, seeded from CP_SEED or a constant; prints the seed so that a failure can be run again. */
static inline uint64_t random_start(void)
{
    const char *text = getenv("CP_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 0) : 20240808;
    print_message("CP_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
