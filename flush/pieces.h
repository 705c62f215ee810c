/* The plan by which a refused batch is sent in pieces until every row is settled: taken by ClickHouse, or refused by itself.
 *
 *     rows     ├── settled ──┤── the piece ──┤········ unsent ········┤
 *                            first           first + count
 *
 * Pieces go from left to right, so two numbers say everything that a successor must know. A refused piece is halved; when
 * its left part is taken, the refused row must be in the rest, which is halved without being tried first: a single bad row
 * in n costs about log2 n sends. A row that the server's message names is cut out at once. Behind a bad row the next piece
 * is as large as the stretches between bad rows have been lately, and doubles while pieces are taken: so the cost of a bad
 * row falls with their distance, down to one send when they are neighbours.
 *
 * A piece of which ClickHouse holds a part (delivery_doubt.c) is halved, too; behind it pieces double while all or nothing of them is
 * held.
 *
 * When at least half of the last 64 rows that were judged were refused, looking for the good ones stops: more and more rows are
 * tried together, and a group that is refused goes to the quarantine whole. So a table that takes nothing costs
 * a handful of sends, between which its delivery waits as for a parked table.
 *
 * No clock, no memory, no I/O: an object to be tested against a model. */
#ifndef CP_FLUSH_PIECES_H
#define CP_FLUSH_PIECES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CP_PIECES_WINDOW = 64,     /* judged rows that say whether most are bad; bits of a word */
    CP_PIECES_GROUP_MAX = 1024 /* rows that are given up on together at most */
};

#define CP_PIECES_NO_HINT UINT32_MAX

typedef struct cp_pieces {
    bool exhaustive;  /* every row is tried by itself before it counts as refused, however many there are */
    uint32_t rows;    /* of the batch */
    uint32_t first;   /* the piece */
    uint32_t count;   /*   0: the batch goes whole */
    uint32_t bad_end; /* some row of [first, bad_end) is known to be refused; 0: nothing is known */
    uint32_t hinted;  /* the row that the server named, if > first; 0: none */
    uint32_t most;    /* rows of a piece: larger ones were too much at once */
    bool mixed;       /* some of the batch's rows are stored already, others not */
    /* kept from batch to batch */
    uint32_t gap;    /* taken rows between two refused ones, lately; 0: none was refused yet */
    uint32_t run;    /* taken since the last refused one */
    uint32_t group;  /* rows that are given up on together; 0: most rows are good */
    uint32_t judged; /* rows in recent */
    uint64_t recent; /* a bit per judged row: 1, refused */
} cp_pieces;

/* A batch of rows, whole. What earlier batches taught is kept; zeros at first. */
void cp_pieces_begin(cp_pieces *pieces, uint32_t rows);

/* A predecessor's plan: rows before first are settled, [first, first + count) is in doubt. False: there is no such piece. */
bool cp_pieces_resume(cp_pieces *pieces, uint32_t rows, uint32_t first, uint32_t count);

/* True when the batch is not, or no longer, sent whole. */
static inline bool cp_pieces_in_use(const cp_pieces *pieces)
{
    return pieces->count > 0;
}

/* True when every row is settled. */
bool cp_pieces_done(const cp_pieces *pieces);

/* The piece, or the whole batch, was taken. */
void cp_pieces_taken(cp_pieces *pieces);

/* Some row of the piece, or of the batch, is refused. hint: its index in the piece as the server's message has it, or
 * CP_PIECES_NO_HINT. True: the next piece is set, and smaller, or the first of a batch. False: this piece's rows are to be
 * quarantined, then cp_pieces_quarantined says so. So no row is quarantined but as, or in, a piece. */
bool cp_pieces_refused(cp_pieces *pieces, uint32_t hint);
void cp_pieces_quarantined(cp_pieces *pieces);

/* The piece, or the batch, is too much at once. False: it is a single row. */
bool cp_pieces_too_big(cp_pieces *pieces);

/* Some rows of the piece, or of the batch, are stored already and others are not: it is halved, and from now on pieces double while
 * they are settled. False: it is a single row. */
bool cp_pieces_mixed(cp_pieces *pieces);

/* A batch that goes whole is its only piece from now on. */
void cp_pieces_one(cp_pieces *pieces);

/* True while most rows are refused: the table, not its rows, is probably what is wrong. */
bool cp_pieces_mostly_bad(const cp_pieces *pieces);

#endif
