/* A model of one ring, for SPIN: the protocol of put, drain, delivery and acknowledgement, with producer and recorder killed
 * at any step. All interleavings within the bounds are searched; tests/race/test_model.py runs it.
 *
 *   producer ──stores──► [store buffer] ──► cells, published ──► recorder ──► ClickHouse (remembers tokens)
 *      ▲                                                            │
 *      └────────────────── consumed ◄──────── acknowledgement ◄─────┘ intent
 *
 * What it stands for, by name of the real thing: cp_claim and cp_commit (coldpath.h), ring_take_slot (producer.c), the reader's
 * cursor (ring_reader.c), cp_intent_begin … cp_intent_end (intent.c), acks_move and cp_lane_init (lane.c), cp_resume_table.
 *
 * A row is written in two halves, so that a reader which comes too early, or a writer that comes too soon, is seen. x86 keeps stores in
 * order, so the producer's stores go through a queue that another process empties at any pace. Positions count rows and wrap at
 * WRAP, as the real ones do at 2^64. ClickHouse inserts a batch or not; the answer may be lost. Rows carry their ordinal number.
 *
 * Claims: a row is copied out whole, or not at all; no row is overwritten before it was delivered; in ClickHouse each row stands
 * once and in order; when everybody comes to rest, all committed rows are there, and the row counts of producer and recorder
 * agree. BREAK=n removes a protection each; the search must then find an error (see test_model.py). */

#ifndef CELLS
#define CELLS 2
#endif
#ifndef ROWS
#define ROWS 4 /* to be committed in all */
#endif
#ifndef PRODUCER_DEATHS
#define PRODUCER_DEATHS 1
#endif
#ifndef RECORDER_DEATHS
#define RECORDER_DEATHS 2
#endif
#ifndef BREAK
#define BREAK 0
#endif
/* Positions wrap: a multiple of CELLS, more than CELLS. ROWS > WRAP makes them go round. */
#ifndef WRAP
#define WRAP (2 * CELLS)
#endif
#define AHEAD(a, b) (((a) + WRAP - (b)) % WRAP)

/* The ring file: the producer writes. */
byte low[CELLS];
byte high[CELLS];
byte published;
byte counted; /* cp_ring_hot.rows */

/* The control file: the recorder writes. */
byte consumed;
byte settled; /* consumed_rows */
bool half_written; /* the sequence lock's odd number */
mtype = { NONE, SENDING, DELIVERED, ENDED };
mtype intent = NONE;
byte intent_begin, intent_end, intent_rows, intent_settled, intent_token;

/* ClickHouse. */
byte held;          /* rows 1 … held stand in it, in order, once each */
int tokens_seen;   /* a set of bits, by token */

/* The store buffer of the producer's processor. */
mtype = { LOW, HIGH, PUBLISH, COUNT };
chan stores = [4] of { mtype, byte, byte };

byte producer_deaths, recorder_deaths;
bool all_put;

/* What is left in the buffer arrives, whoever is dead. */
active proctype memory()
{
    byte at, value;
end:
    do
    :: atomic { stores ? LOW(at, value) -> low[at] = value }
    :: atomic { stores ? HIGH(at, value) -> high[at] = value }
    :: atomic { stores ? PUBLISH(at, value) -> published = value }
    :: atomic { stores ? COUNT(at, value) -> counted = value }
    od
}

/* Rows between consumed and published are counted anew by whoever takes the slot over. */
proctype producer()
{
    byte write, limit, rows;
    /* ring_take_slot: the kernel's lock was passed on, so the predecessor's stores have arrived. Consumed and its row count are
     * read together, or read again: the sequence lock. */
    empty(stores);
    atomic {
#if BREAK != 5
        !half_written;
#endif
        write = published;
        rows = settled + AHEAD(published, consumed);
        limit = consumed; /* a record may begin when the distance from here is less than CELLS */
    }
    stores ! COUNT(0, rows);
    do
    :: rows == ROWS -> break
    :: rows < ROWS && producer_deaths < PRODUCER_DEATHS -> producer_deaths++; goto dead
    :: rows < ROWS ->
       if
       :: AHEAD(write, limit) >= CELLS -> limit = consumed /* the slow half of cp_claim */
       :: else ->
#if BREAK == 1 /* published before the row is written */
          stores ! PUBLISH(0, (write + 1) % WRAP);
#endif
          stores ! LOW(write % CELLS, rows + 1);
          if
          :: producer_deaths < PRODUCER_DEATHS -> producer_deaths++; goto dead
          :: skip
          fi;
          stores ! HIGH(write % CELLS, rows + 1);
          write = (write + 1) % WRAP;
          rows++;
#if BREAK != 1
          stores ! PUBLISH(0, write);
#endif
          if
          :: producer_deaths < PRODUCER_DEATHS -> producer_deaths++; goto dead
          :: skip
          fi;
          stores ! COUNT(0, rows)
       fi
    od;
    empty(stores);
    all_put = true;
    goto end;
dead:
    empty(stores);
    run producer();
end:
    skip
}

#define MAY_DIE if :: recorder_deaths < RECORDER_DEATHS -> recorder_deaths++; goto dead :: skip fi

/* One batch, [begin, finish) with first its first row's number: ClickHouse takes it, unless it knows the token. */
inline clickhouse_insert(token, first, count)
{
    d_step {
        if
        :: tokens_seen & (1 << token) -> skip
        :: else ->
           tokens_seen = tokens_seen | (1 << token);
           assert(first == held + 1);
           held = held + count
        fi
    }
}

proctype recorder()
{
    byte cursor, seen, row, begin, finish, first, count, number, token;
    bool again;
    /* cp_lane_init: a count that was half written is mended by the row's own number; a begun acknowledgement is finished. */
    if
    :: half_written && consumed != published && BREAK != 4 -> settled = low[consumed % CELLS] - 1; half_written = false
    :: else -> half_written = false
    fi;
    if
    :: intent == DELIVERED -> goto acknowledge
    :: intent == SENDING && BREAK != 2 ->
       begin = intent_begin; finish = intent_end; count = intent_rows; token = intent_token;
       again = true;
       goto copy
    :: else -> skip
    fi;
idle:
    begin = consumed;
    do
    :: MAY_DIE; seen = published;
       if
       :: seen == begin ->
          if
          :: all_put && published == consumed -> goto end
          :: else -> skip
          fi
       :: else -> break
       fi
    od;
    assert(AHEAD(seen, begin) <= CELLS);
    if /* a batch of any size */
    :: finish = seen
    :: AHEAD(seen, begin) > 1 -> finish = (begin + 1) % WRAP
    fi;
    count = AHEAD(finish, begin);
    again = false;
copy:
    cursor = begin;
    first = low[cursor % CELLS];
    number = first;
    do
    :: cursor == finish -> break
    :: else ->
       row = low[cursor % CELLS];
       assert(row == number);
       assert(high[cursor % CELLS] == row);
       number++;
       cursor = (cursor + 1) % WRAP
    od;
    MAY_DIE;
    if
    :: again -> skip /* under the old token */
    :: else ->
       /* cp_intent_begin; the token names the exact rows */
       token = first * 2 + (count - 1);
#if BREAK == 3 /* the state is stored before what it stands for */
       intent = SENDING;
       MAY_DIE;
#else
       intent = NONE;
#endif
       intent_begin = begin; intent_end = finish; intent_rows = count; intent_token = token;
       intent_settled = settled + count;
       MAY_DIE;
#if BREAK != 2
       intent = SENDING
#endif
    fi;
send:
    MAY_DIE;
    if
    :: clickhouse_insert(token, first, count);
       if
       :: skip       /* the answer arrives */
       :: goto send  /* it is lost: same bytes, same token */
       fi
    :: goto send     /* nothing arrived */
    fi;
    MAY_DIE;
#if BREAK != 2
    intent = DELIVERED;
#else
    skip;
#endif
acknowledge:
    MAY_DIE;
    /* acks_move: by absolute numbers, so that doing it again does no harm; the count first, then the position. */
    if
    :: consumed == intent_end -> skip
    :: else ->
       atomic {
           half_written = true;
           settled = intent_settled
       }
       MAY_DIE;
#if BREAK == 6 /* space is given back before ClickHouse has answered for it */
       consumed = (intent_end + 1) % WRAP;
#else
       consumed = intent_end;
#endif
       half_written = false
    fi;
    MAY_DIE;
    intent = ENDED;
    goto idle;
dead:
    run recorder();
end:
    skip
}

init {
    atomic {
        run producer();
        run recorder()
    }
    /* Everybody at rest. */
    (_nr_pr == 2);
    assert(held == ROWS);
    assert(settled == ROWS);
    assert(counted == ROWS);
    assert(!half_written)
}
