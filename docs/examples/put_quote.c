#include <coldpath/coldpath.h>
#include <stdio.h>
#include <time.h>

#include "rows/quotes.h"

int main(void)
{
    cp_region *region;
    cp_ring *ring;
    cp_error err;
    if (cp_attach(&region, "demo", &err) < 0 ||
        cp_ring_open(&ring, region, QUOTES_TABLE, QUOTES_SCHEMA_HASH, "put_quote", &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    struct {
        quotes_row row;
        char tail[16]; /* strings lie behind the row, which refers to them */
    } put = {.row = {.recv_ts = time(NULL) * 1000000000,
                     .exch_ts_is_null = true,
                     .bid_px = 6180020000000,
                     .ask_px = 6180030000000}}; /* Decimal(18, 8): 61800.20 times 10^8 */
    cp_tail tail = cp_tail_begin(&put, sizeof put.row, sizeof put);
    cp_tail_put(&tail, &put.row.symbol, "BTCUSDT", 7);
    const int rc = cp_put(ring, &put, tail.used); /* CP_OK or CP_FULL: about the cost of copying the row */
    printf("%s\n", cp_strerror(rc));
    cp_ring_close(ring);
    cp_detach(region);
    return rc == CP_OK ? 0 : 1;
}
