#include "tests/simulate/aside.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "flush/held.h"
#include "tests/simulate/host.h"
#include "tests/simulate/life.h"
#include "tests/simulate/mutation.h"
#include "tests/simulate/rows.h"

enum { PATH = 512 };

sim_aside_totals sim_aside_total;

void sim_aside_begin(void)
{
    memset(&sim_aside_total, 0, sizeof sim_aside_total);
}

bool sim_aside_is_empty(void)
{
    char path[PATH];
    bool empty = true;
    snprintf(path, sizeof path, "%s/held", sim_life_quarantine());
    DIR *stream = opendir(path);
    for (const struct dirent *entry; stream && (entry = readdir(stream)) != NULL;)
        empty &= !strstr(entry->d_name, ".held");
    if (stream)
        closedir(stream);
    return empty;
}

static void rows_note(const char *table, cp_chunk *const *chunks, uint32_t count, bool aside)
{
    sim_stretch row = {.table = 0};
    while (row.table < SIM_TABLES && strcmp(sim_tables[row.table].name, table) != 0)
        row.table++;
    for (uint32_t i = 0; row.table < SIM_TABLES && i < count; i++) {
        row.slot = chunks[i]->slot;
        row.epoch = chunks[i]->epoch;
        for (uint32_t at = 0; at < chunks[i]->row_count; at++) {
            row.begin = cp_chunk_row_position(chunks[i], at);
            sim_row_set_aside(&row, aside);
        }
    }
}

int __real_cp_held_write(const char *path, const char *dir, cp_held_header *header, cp_chunk *const *chunks,
                         uint32_t count, cp_error *err);
int __wrap_cp_held_write(const char *path, const char *dir, cp_held_header *header, cp_chunk *const *chunks,
                         uint32_t count, cp_error *err);
int __real_cp_held_remove(const char *path, const char *dir, cp_error *err);
int __wrap_cp_held_remove(const char *path, const char *dir, cp_error *err);
int __real_cp_held_settle(const char *path, const char *dir, cp_error *err);
int __wrap_cp_held_settle(const char *path, const char *dir, cp_error *err);

int __wrap_cp_held_write(const char *path, const char *dir, cp_held_header *header, cp_chunk *const *chunks,
                         uint32_t count, cp_error *err)
{
    if (sim_mutation_is("aside"))
        return CP_OK;
    const int rc = __real_cp_held_write(path, dir, header, chunks, count, err);
    if (rc == CP_OK) {
        sim_aside_total.batches++;
        rows_note(header->table, chunks, count, true);
    }
    return rc;
}

/* The file stands for rows no more, if it is there and that succeeds. */
static int taken_away(const char *path, const char *dir, cp_error *err,
                      int (*real)(const char *path, const char *dir, cp_error *err))
{
    cp_held held;
    const bool there = cp_held_open(&held, path, NULL) == CP_OK;
    const int rc = real(path, dir, err);
    if (there && rc == CP_OK) {
        sim_aside_total.removed++;
        rows_note(held.header->table, held.pointers, held.header->chunk_count, false);
    }
    if (there)
        cp_held_close(&held);
    return rc;
}

int __wrap_cp_held_remove(const char *path, const char *dir, cp_error *err)
{
    return taken_away(path, dir, err, __real_cp_held_remove);
}

int __wrap_cp_held_settle(const char *path, const char *dir, cp_error *err)
{
    return taken_away(path, dir, err, __real_cp_held_settle);
}
