/* A model, for SPIN, of producers that take and leave a slot while the recorder replaces its ring, because the table has another form: files,
 * names, locks and epochs, not bytes (those are ring.pml's). Producer and recorder are killed at any step; tests/race/test_model.py runs it.
 *
 *   producer   control file ─► the name's file ─► its lock ─► does it bear the name still? ─► is its epoch the known one? ─► put
 *   recorder   lock ─► is it empty? ─► another file takes the name ─► another control file takes the place, and knows it ─► unlock
 *
 * What it stands for: cp_ring_map_open, cp_ring_lock (ring_file.c), ring_take_slot (producer.c), require_unused, put_in_place, mend_ring
 * (region.c). A file's number is its epoch. A control file that was opened stays readable when another has taken its place.
 *
 * Claims: one producer at a time puts into a file; when everybody comes to rest, each row that was put was taken out, by a recorder that
 * found it under the name and epoch which its control file has. BREAK=n removes a protection each. */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef TURNS
#define TURNS 2 /* attempts of each to take the slot and put a row */
#endif
#ifndef RECORDER_DEATHS
#define RECORDER_DEATHS 2
#endif
#ifndef PRODUCER_DEATHS
#define PRODUCER_DEATHS 1
#endif
#ifndef BREAK
#define BREAK 0
#endif
#define FORMS 3 /* of the table: it changes twice */
#define FILES (FORMS + 2 * RECORDER_DEATHS)

byte name;         /* the file that bears the ring's name */
byte control;      /* the control file in place, one for each form */
byte known[FORMS]; /* the epoch that each knows */
bool locked[FILES];
byte writers[FILES];
byte rows[FILES];
byte made = 1;
byte put, taken, recorder_deaths, producer_deaths, resting;

proctype producer()
{
    byte form, file, turn;
    do
    :: turn == TURNS -> break
    :: else ->
       turn++;
       form = control; /* cp_attach */
       file = name;    /* open */
       if
       :: atomic { locked[file] -> goto over }
       :: atomic { !locked[file] -> locked[file] = true }
       fi;
#if BREAK != 1
       if
       :: name != file -> goto leave
       :: else -> skip
       fi;
#endif
       if
       :: known[form] != file -> goto leave
       :: else -> skip
       fi;
       writers[file]++;
       assert(writers[file] == 1);
       if /* killed with the lock held: the kernel gives it back */
       :: producer_deaths < PRODUCER_DEATHS -> producer_deaths++; writers[file]--; goto leave
       :: skip
       fi;
       atomic { rows[file]++; put++ }
       writers[file]--;
leave:
       locked[file] = false;
over:
       skip
    od;
    resting++
}

#define MAY_DIE if :: recorder_deaths < RECORDER_DEATHS -> recorder_deaths++; goto dead :: skip fi

proctype recorder()
{
    byte file, next;
    bool holds;
    /* mend_ring: a file that the control file does not know, empty and nobody's, was left by one that was killed. */
    if
    :: name != known[control] ->
       assert(rows[name] == 0);
       next = made; made++;
       name = next;
       MAY_DIE;
       known[control] = next
    :: else -> skip
    fi;
work:
    atomic { taken = taken + rows[known[control]]; rows[known[control]] = 0 }
    MAY_DIE;
    if
    :: control + 1 < FORMS -> goto replace
    :: resting == PRODUCERS && rows[known[control]] == 0 -> goto end
    :: resting < PRODUCERS || rows[known[control]] > 0 -> goto work
    fi;
replace:
    file = name;
#if BREAK == 3 /* looked at before producers are kept out */
    if
    :: rows[file] > 0 -> goto work
    :: else -> skip
    fi;
#endif
    if
    :: atomic { locked[file] -> goto work } /* it has a producer */
#if BREAK == 2 /* looked whether there is one, not held */
    :: atomic { !locked[file] -> skip }
#else
    :: atomic { !locked[file] -> locked[file] = true; holds = true }
#endif
    fi;
#if BREAK != 3
    if
    :: rows[file] > 0 -> goto unlock
    :: else -> skip
    fi;
#endif
    MAY_DIE;
    next = made; made++;
    name = next;
    MAY_DIE;
    known[control + 1] = next;
    control = control + 1;
    MAY_DIE;
unlock:
    if
    :: holds -> locked[file] = false; holds = false
    :: else -> skip
    fi;
    goto work;
dead:
    if
    :: holds -> locked[file] = false
    :: else -> skip
    fi;
    run recorder();
end:
    skip
}

init {
    byte n;
    atomic {
        do
        :: n == PRODUCERS -> break
        :: else -> run producer(); n++
        od;
        run recorder()
    }
    /* Everybody at rest. */
    (_nr_pr == 1);
    assert(taken == put)
}
