#include "feeds/market_csv.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

enum { MOST_COLUMNS = 9 };

/* Columns of every kind come first, in this order. */
enum { RECV_TS, EXCH_TS, VENUE, SYMBOL, FIRST_OWN };

static const char *const kind_names[CP_EVENT_KINDS] = {"L2 updates", "quotes", "trades"};
static const char *const kind_columns[CP_EVENT_KINDS][MOST_COLUMNS + 1] = {
    {"recv_ts_ns", "exch_ts_ms", "venue", "symbol", "first_update_id", "final_update_id", "side", "price",
     "qty", NULL},
    {"recv_ts_ns", "exch_ts_ms", "venue", "symbol", "update_id", "bid_px", "bid_qty", "ask_px", "ask_qty",
     NULL},
    {"recv_ts_ns", "exch_ts_ms", "venue", "symbol", "trade_id", "price", "qty", "buyer_is_maker", NULL},
};

struct cp_market_csv {
    cp_csv_reader *reader;
    cp_event_kind kind;
    int column[MOST_COLUMNS]; /* of the file, in the order of kind_columns */
};

/* The first column of a kind that the file lacks, or NULL. */
static const char *column_missing(cp_market_csv *csv, cp_event_kind kind)
{
    for (int i = 0; kind_columns[kind][i]; i++) {
        csv->column[i] = cp_csv_reader_column(csv->reader, kind_columns[kind][i]);
        if (csv->column[i] < 0)
            return kind_columns[kind][i];
    }
    return NULL;
}

static int kind_find(cp_market_csv *csv, cp_event_kind wanted, cp_error *err)
{
    const char *name = cp_csv_reader_name(csv->reader);
    if (wanted < CP_EVENT_KINDS) {
        const char *missing = column_missing(csv, wanted);
        csv->kind = wanted;
        if (!missing)
            return CP_OK;
        return cp_error_set(err, CP_E_SCHEMA, "%s:1: a file of %s needs a column '%s'", name,
                            kind_names[wanted], missing);
    }
    for (cp_event_kind kind = 0; kind < CP_EVENT_KINDS; kind++) {
        csv->kind = kind;
        if (!column_missing(csv, kind))
            return CP_OK;
    }
    return cp_error_set(
        err, CP_E_SCHEMA,
        "%s:1: the header is none of L2 updates (…first_update_id…side…), quotes (…bid_px…ask_px…) or "
        "trades (…trade_id…buyer_is_maker)",
        name);
}

int cp_market_csv_open(cp_market_csv **out, const char *path, cp_event_kind kind, cp_error *err)
{
    cp_market_csv *csv = calloc(1, sizeof *csv);
    if (!csv)
        return cp_error_set(err, CP_E_NOMEM, "no memory for reading %s", path);
    int rc = cp_csv_reader_open(&csv->reader, path, err);
    if (rc == CP_OK)
        rc = kind_find(csv, kind, err);
    if (rc < 0) {
        cp_market_csv_close(csv);
        return rc;
    }
    *out = csv;
    return CP_OK;
}

cp_event_kind cp_market_csv_kind(const cp_market_csv *csv)
{
    return csv->kind;
}

void cp_market_csv_close(cp_market_csv *csv)
{
    if (!csv)
        return;
    cp_csv_reader_close(csv->reader);
    free(csv);
}

static bool unsigned_parse(const char *text, size_t len, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (len == 0 || len > 20)
        return false;
    for (size_t i = 0; i < len; i++) {
        const unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9 || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool cp_price_parse(const char *text, size_t len, int64_t *out)
{
    const char *end = text + len;
    const bool negative = len > 0 && *text == '-';
    int64_t value = 0;
    int decimals = -1; /* before the point */
    int digits = 0;
    for (text += negative; text < end; text++) {
        const unsigned digit = (unsigned)(unsigned char)*text - '0';
        if (*text == '.' && decimals < 0 && digits > 0) {
            decimals = 0;
            continue;
        }
        if (digit > 9)
            return false;
        digits++;
        if (decimals == CP_PRICE_SCALE) { /* more decimals must be zeros */
            if (digit != 0)
                return false;
            continue;
        }
        decimals += decimals >= 0;
        if (value > (CP_PRICE_MAX - (int)digit) / 10)
            return false;
        value = value * 10 + (int)digit;
    }
    if (digits == 0 || end[-1] == '.')
        return false;
    for (decimals += decimals < 0; decimals < CP_PRICE_SCALE; decimals++) {
        if (value > CP_PRICE_MAX / 10)
            return false;
        value *= 10;
    }
    *out = negative ? -value : value;
    return true;
}

/* Reading one row: fields by their place in kind_columns. The first that fails decides; later reads do
 * nothing. */
typedef struct row_reader {
    const cp_market_csv *csv;
    cp_error *err;
    int rc;
} row_reader;

static void read_unsigned(row_reader *row, int place, uint64_t max, uint64_t *out)
{
    const int column = row->csv->column[place];
    const cp_csv_field field = cp_csv_reader_field(row->csv->reader, column);
    if (row->rc == CP_OK && !unsigned_parse(field.text, field.len, max, out))
        row->rc = cp_csv_reader_reject(row->csv->reader, column, "is not a whole number in range", row->err);
}

static void read_price(row_reader *row, int place, int64_t *out)
{
    const int column = row->csv->column[place];
    const cp_csv_field field = cp_csv_reader_field(row->csv->reader, column);
    if (row->rc == CP_OK && !cp_price_parse(field.text, field.len, out))
        row->rc = cp_csv_reader_reject(
            row->csv->reader, column,
            "is not a decimal number of at most ten digits before and eight behind the point", row->err);
}

static void read_name(row_reader *row, int place, cp_event_name *out)
{
    const int column = row->csv->column[place];
    const cp_csv_field field = cp_csv_reader_field(row->csv->reader, column);
    if (row->rc != CP_OK)
        return;
    if (field.len == 0 || field.len > CP_NAME_MAX) {
        row->rc = cp_csv_reader_reject(row->csv->reader, column, "is not a name of 1 to 31 bytes", row->err);
        return;
    }
    out->len = (uint8_t)field.len;
    memcpy(out->text, field.text, field.len);
}

/* A field of one byte that is one of two; returns whether it is the second. */
static bool read_choice(row_reader *row, int place, const char choices[3], const char *what)
{
    const int column = row->csv->column[place];
    const cp_csv_field field = cp_csv_reader_field(row->csv->reader, column);
    if (row->rc != CP_OK)
        return false;
    if (field.len == 1 && (field.text[0] == choices[0] || field.text[0] == choices[1]))
        return field.text[0] == choices[1];
    row->rc = cp_csv_reader_reject(row->csv->reader, column, what, row->err);
    return false;
}

static void read_common(row_reader *row, cp_event *event)
{
    uint64_t recv_ts = 0;
    uint64_t exch_ts = 0;
    read_unsigned(row, RECV_TS, INT64_MAX, &recv_ts);
    event->has_exch_ts = row->csv->kind == CP_EVENT_TRADE ||
                         cp_csv_reader_field(row->csv->reader, row->csv->column[EXCH_TS]).len > 0;
    if (event->has_exch_ts)
        read_unsigned(row, EXCH_TS, INT64_MAX / CP_NS_PER_MS, &exch_ts);
    event->recv_ts_ns = (int64_t)recv_ts;
    event->exch_ts_ms = (int64_t)exch_ts;
    read_name(row, VENUE, &event->venue);
    read_name(row, SYMBOL, &event->symbol);
}

int cp_market_csv_next(cp_market_csv *csv, cp_event *event, cp_error *err)
{
    const int rc = cp_csv_reader_next(csv->reader, err);
    if (rc != 1)
        return rc;
    row_reader row = {.csv = csv, .err = err};
    event->kind = csv->kind;
    read_common(&row, event);
    switch (csv->kind) {
    case CP_EVENT_L2:
        read_unsigned(&row, FIRST_OWN, UINT64_MAX, &event->l2.first_update_id);
        read_unsigned(&row, FIRST_OWN + 1, UINT64_MAX, &event->l2.final_update_id);
        event->l2.side = read_choice(&row, FIRST_OWN + 2, "BA", "is neither B (bid) nor A (ask)") ? 'A' : 'B';
        read_price(&row, FIRST_OWN + 3, &event->l2.price);
        read_price(&row, FIRST_OWN + 4, &event->l2.qty);
        break;
    case CP_EVENT_QUOTE:
        read_unsigned(&row, FIRST_OWN, UINT64_MAX, &event->quote.update_id);
        read_price(&row, FIRST_OWN + 1, &event->quote.bid_px);
        read_price(&row, FIRST_OWN + 2, &event->quote.bid_qty);
        read_price(&row, FIRST_OWN + 3, &event->quote.ask_px);
        read_price(&row, FIRST_OWN + 4, &event->quote.ask_qty);
        break;
    default:
        read_unsigned(&row, FIRST_OWN, UINT64_MAX, &event->trade.trade_id);
        read_price(&row, FIRST_OWN + 1, &event->trade.price);
        read_price(&row, FIRST_OWN + 2, &event->trade.qty);
        event->trade.buyer_is_maker = read_choice(&row, FIRST_OWN + 3, "01", "is neither 0 nor 1");
        break;
    }
    return row.rc == CP_OK ? 1 : row.rc;
}
