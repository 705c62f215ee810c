/* A screenful of `coldpath top`. Every line is put together as plain text first and cut to the terminal's width; colours are put
 * around what is left, so that a narrow terminal never gets half an escape sequence. See top.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/top.h"

enum {
    LINE = 512,
    NAME_WIDTH = 24, /* longer names of tables are cut */
    REASONS = 4,     /* lines of them; the rest are counted */
    CELL = 16
};

#define BOLD  "1"
#define RED   "1;97;41"
#define AMBER "1;30;43"
#define GREEN "32"
#define GREY  "2"

typedef struct screen {
    const cp_top_look *look;
    FILE *out;
    unsigned lines;
} screen;

const char *cp_top_sort_name(cp_top_sort sort)
{
    static const char *const names[] = {"region", "rows/s", "ring", "waiting"};
    return names[sort];
}

/* One line; style: an SGR sequence, or NULL. What is not printable ASCII becomes '?'. */
static void line_write(screen *to, const char *style, const char *fmt, ...) CP_PRINTF(3, 4);

static void line_write(screen *to, const char *style, const char *fmt, ...)
{
    char text[LINE];
    va_list args;
    if (to->look->height && to->lines >= to->look->height)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (strlen(text) > to->look->width)
        text[to->look->width] = '\0';
    for (char *c = text; *c; c++)
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    if (to->lines > 0)
        fputs(to->look->line_end, to->out);
    if (style && to->look->styled)
        fprintf(to->out, "\033[%sm%s\033[0m", style, text);
    else
        fputs(text, to->out);
    to->lines++;
}

static const char *cell_rate(char out[CELL], double rate)
{
    if (rate >= 1e6)
        snprintf(out, CELL, "%.2fM", rate / 1e6);
    else if (rate >= 1e4)
        snprintf(out, CELL, "%.1fk", rate / 1e3);
    else
        snprintf(out, CELL, "%.0f", rate);
    return out;
}

static const char *cell_count(char out[CELL], uint64_t count)
{
    if (count < 100000)
        snprintf(out, CELL, "%" PRIu64, count);
    else
        cell_rate(out, (double)count);
    return out;
}

static const char *cell_time(char out[CELL], double seconds)
{
    if (seconds < 0)
        snprintf(out, CELL, "-");
    else if (seconds < 1)
        snprintf(out, CELL, "%.0fms", seconds * 1e3);
    else if (seconds < 100)
        snprintf(out, CELL, "%.1fs", seconds);
    else if (seconds < 6000)
        snprintf(out, CELL, "%.0fmin", seconds / 60);
    else if (seconds < 360000)
        snprintf(out, CELL, "%.1fh", seconds / 3600);
    else
        snprintf(out, CELL, "%.0fd", seconds / 86400);
    return out;
}

static const char *cell_ms(char out[CELL], double ms)
{
    return cell_time(out, ms < 0 ? -1 : ms / 1e3);
}

/* ---- the head -------------------------------------------------------------------------------------------------- */

static void recorder_write(screen *to, const cp_top *top)
{
    char age[CELL];
    char up[CELL];
    char cpu[CELL] = "-";
    const double beat =
        top->health.heartbeat_age_ns == UINT64_MAX ? -1 : (double)top->health.heartbeat_age_ns / 1e9;
    if (!top->health.recorder_alive) {
        line_write(to, RED, "recorder  absent (last: %s)   clickhouse %s when it was last seen, %s ago",
                   top->state, top->sink, cell_time(age, beat));
        return;
    }
    if (top->cpu >= 0)
        snprintf(cpu, sizeof cpu, "%.1f %%", top->cpu * 100);
    line_write(to, strcmp(top->sink, "down") == 0 ? RED : NULL,
               "recorder  %s, pid %u, up %s, heartbeat %s ago, cpu %s   clickhouse %s%s", top->state,
               top->pid, cell_time(up, top->up_s), cell_time(age, beat), cpu, top->sink,
               top->health.serving ? "" : " when it was last seen");
}

static void totals_write(screen *to, const cp_top *top)
{
    double in = 0;
    double out = 0;
    uint64_t waiting = 0;
    uint64_t lost = 0;
    uint32_t pressure = 0;
    char cells[4][CELL];
    for (uint32_t i = 0; i < top->row_count; i++) {
        in += top->rows[i].put_per_s;
        out += top->rows[i].delivered_per_s;
        waiting += top->rows[i].waiting;
        lost += top->rows[i].lost;
        if (top->rows[i].pressure > pressure)
            pressure = top->rows[i].pressure;
    }
    line_write(to, lost ? AMBER : NULL,
               "rows      put %s/s, delivered %s/s, waiting %s, lost or refused %s   pressure %u",
               cell_rate(cells[0], in), cell_rate(cells[1], out), cell_count(cells[2], waiting),
               cell_count(cells[3], lost), pressure);
}

static void logs_write(screen *to, const cp_top *top)
{
    char size[CP_HUMAN_TEXT];
    char limit[CP_HUMAN_TEXT];
    char cells[3][CELL];
    if (top->log_limit == 0)
        return;
    const bool soon = top->log_full_s >= 0 && top->log_full_s < 3600;
    line_write(to, soon ? AMBER : NULL,
               "logs      %s of %s, full in %s   sync 99%% %s, put to durable 99%% %s",
               cp_human_bytes(size, top->log_bytes), cp_human_bytes(limit, top->log_limit),
               top->log_full_s < 0 ? "-" : cell_time(cells[0], top->log_full_s),
               cell_ms(cells[1], top->sync_p99_ms), cell_ms(cells[2], top->durable_p99_ms));
}

static void reasons_write(screen *to, const cp_top *top)
{
    const uint32_t count = top->health.reason_count;
    if (count == 0)
        line_write(to, GREEN, "all is well");
    for (uint32_t i = 0; i < count && i < REASONS; i++)
        line_write(to, RED, "! %s", top->health.reasons[i]);
    if (count > REASONS)
        line_write(to, RED, "! and %u more: coldpath status", count - REASONS);
}

/* ---- the tables ------------------------------------------------------------------------------------------------ */

static _Thread_local cp_top_sort sorting; /* qsort has no context */

static double rank_of(const cp_top_row *row)
{
    return sorting == CP_TOP_BY_RATE   ? row->put_per_s
           : sorting == CP_TOP_BY_RING ? row->ring
                                       : (double)row->waiting;
}

static int row_compare(const void *left, const void *right)
{
    const double a = rank_of(*(const cp_top_row *const *)left);
    const double b = rank_of(*(const cp_top_row *const *)right);
    return (a < b) - (a > b);
}

static void row_write(screen *to, const cp_top_row *row, int name_width)
{
    char c[8][CELL];
    const char *style = row->lost                           ? AMBER
                        : row->ring >= 0.9                  ? RED
                        : row->ring >= 0.5 || row->pressure ? AMBER
                                                            : NULL;
    snprintf(c[7], CELL, "%u/%u%s", row->producers, row->slots, row->dead ? "+" : "");
    line_write(to, style, "%-*.*s %-8s %8s %8s %5.1f %5.1f %8s %7s %7s %7s %8s %8s %3u %6s", name_width,
               name_width, row->table, row->critical ? "critical" : "lossy", cell_rate(c[0], row->put_per_s),
               cell_rate(c[1], row->delivered_per_s), row->ring * 100, row->ring_peak * 100,
               cell_count(c[2], row->waiting), row->oldest_unknown ? "?" : cell_time(c[3], row->oldest_s),
               cell_ms(c[4], row->insert_p50_ms), cell_ms(c[5], row->insert_p99_ms),
               cell_count(c[6], row->lost), cell_count((char[CELL]){0}, row->left_out), row->pressure, c[7]);
}

static void rows_write(screen *to, const cp_top *top)
{
    const cp_top_row **order = calloc(top->row_count + 1u, sizeof(void *));
    int name_width = 5;
    if (!order)
        return;
    for (uint32_t i = 0; i < top->row_count; i++) {
        const int len = (int)strlen(top->rows[i].table);
        order[i] = &top->rows[i];
        name_width = len > name_width ? len : name_width;
    }
    name_width = name_width > NAME_WIDTH ? NAME_WIDTH : name_width;
    sorting = to->look->sort;
    if (sorting != CP_TOP_BY_REGION)
        qsort(order, top->row_count, sizeof(void *), row_compare);
    line_write(to, BOLD, "%-*s %-8s %8s %8s %5s %5s %8s %7s %7s %7s %8s %8s %3s %6s", name_width, "table",
               "class", "put/s", "deliv/s", "ring%", "peak%", "waiting", "oldest", "ins 50%", "ins 99%",
               "lost", "left out", "prs", "prods");
    for (uint32_t i = to->look->first; i < top->row_count; i++)
        row_write(to, order[i], name_width);
    free(order);
}

void cp_top_write(const cp_top *top, const cp_top_look *look, FILE *out)
{
    screen to = {.look = look, .out = out};
    const time_t now = time(NULL);
    struct tm local;
    char clock[16] = "";
    if (localtime_r(&now, &local))
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    if (!top->present) {
        line_write(&to, BOLD, "coldpath top  %s  %s", clock, top->region);
        line_write(&to, RED, "! %s", top->absent);
    } else {
        line_write(&to, BOLD, "coldpath top  %s  %s (%s)%s", clock, top->name, top->region,
                   look->paused ? "  PAUSED" : "");
        recorder_write(&to, top);
        totals_write(&to, top);
        logs_write(&to, top);
        reasons_write(&to, top);
        line_write(&to, NULL, "%s", "");
        rows_write(&to, top);
    }
    fputs(look->line_end, out);
}
