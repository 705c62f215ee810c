/* Fail points: named places where a test kills the process, to prove that dying there loses and repeats nothing.
 *
 *     COLDPATH_FAILPOINT=lane.prepared:3 coldpathd …     dies by SIGKILL when it passes that point for the third time
 *     COLDPATH_FAILPOINT=list coldpathd                  prints their names, one a line, and ends
 *
 * They cost one predictable branch on the recorder's side, are nowhere in put, and are compiled out unless the build has
 * COLDPATH_FAILPOINTS (on with the tests). Every point is listed below, so that a harness can visit them all. */
#ifndef CP_BASE_FAILPOINT_H
#define CP_BASE_FAILPOINT_H

#define CP_FAILPOINTS(X)                                                                                     \
    X(DRAIN_COPIED, "drain.copied")       /* rows copied out, not handed on */                               \
    X(DRAIN_SUBMITTED, "drain.submitted") /* handed on, the drain's cursor not moved */                      \
    X(BATCH_FROZEN, "batch.frozen")       /* encoded, no intent yet */                                       \
    X(BATCH_HELD, "batch.held")           /* set aside durably, nobody knows it yet */                       \
    X(HELD_SETTLED, "held.settled")       /* one that was set aside has arrived, the account has it still */ \
    X(LANE_FILLING, "lane.filling")       /* the intent is half written */                                   \
    X(LANE_PREPARED, "lane.prepared")     /* the intent stands, nothing sent */                              \
    X(BATCH_SENT, "batch.sent")           /* the request has begun */                                        \
    X(BATCH_REPLIED, "batch.replied")     /* ClickHouse has answered, nobody knows it yet */                 \
    X(PIECE_SENT, "piece.sent")           /* the request of a piece has begun */                             \
    X(PIECE_REPLIED, "piece.replied")     /* a piece is answered, nobody knows it yet */                     \
    X(PIECE_PREPARED, "piece.prepared")   /* the intent names the piece, nothing of it is sent */            \
    X(QUARANTINE_ADDED, "quarantine.added") /* a refused row is written, perhaps not durable */              \
    X(QUARANTINE_DONE, "quarantine.done")   /* it is durable, nobody knows it yet */                         \
    X(LANE_DELIVERED, "lane.delivered")     /* the intent says delivered, no acknowledgement moved */        \
    X(LANE_ACK_HALF, "lane.ack-half")       /* in the middle of an acknowledgement */                        \
    X(LANE_ACKED, "lane.acked")             /* one ring's acknowledgement moved, others perhaps not */       \
    X(LANE_ENDED, "lane.ended")             /* the intent is gone */                                         \
    X(LOG_APPENDED, "log.appended")         /* a chunk is in the log's buffer */                             \
    X(LOG_DURABLE, "log.durable")           /* it is durable, its ring does not know */                      \
    X(LOG_CHECKPOINTED,                                                                                      \
      "log.checkpointed")             /* the batch stands in the checkpoint, not in the control file */      \
    X(LOG_DELIVERED, "log.delivered") /* counted as delivered, the checkpoint does not know */               \
    X(WAL_ACTIVATED, "wal.activated") /* a slot is the log's next segment, its header is not written */      \
    X(WAL_WRITTEN, "wal.written")     /* a frame is written, not synced */                                   \
    X(WAL_SEALED, "wal.sealed")       /* a full segment is closed, the next one not begun */                 \
    X(WAL_CHECKPOINT_HALF,                                                                                   \
      "wal.checkpoint-half")            /* one block of the checkpoint is durable, the other is old */       \
    X(WAL_RELEASED, "wal.released")     /* delivered slots may be used again */                              \
    X(WAL_PREPARED, "wal.prepared")     /* a new slot is zeroed and synced, its name is temporary */         \
    X(REPAIR_WRITTEN, "repair.written") /* repair: a new file is complete, its name is temporary */          \
    X(REPAIR_KEPT, "repair.kept")       /* repair: the damaged file has its second name */                   \
    X(REPAIR_RENAMED, "repair.renamed") /* repair: it has its name, not synced yet */                        \
    X(RETRY_PREPARED,                                                                                        \
      "retry.prepared") /* of quarantined rows: what is about to be sent stands in the progress */           \
    X(RETRY_DELIVERED, "retry.delivered") /* a batch of them is settled, and the progress knows it */        \
    X(RESUME_READ, "resume.read")         /* a left batch is read out of the rings again */                  \
    X(RESUME_DONE, "resume.done")         /* and handed to the flusher */                                    \
    X(REGION_FILLED, "region.filled")     /* a new control file is complete, not yet in place */             \
    X(REGION_RETIRED, "region.retired")   /* the old one is retired, but still in place */                   \
    X(REGION_REPLACED, "region.replaced") /* the new one is in place */

#define CP_FAILPOINT_ENUM(id, name) CP_FP_##id,
typedef enum cp_failpoint_id { CP_FAILPOINTS(CP_FAILPOINT_ENUM) CP_FAILPOINT_COUNT } cp_failpoint_id;

#ifdef COLDPATH_FAILPOINTS

/* Reads $COLDPATH_FAILPOINT; programs call it first thing in main. Ends the process for "list", and for names there are
 * not. */
void cp_failpoint_arm(void);

extern int cp_failpoint_armed_; /* the point that kills, or -1 */
void cp_failpoint_hit_(void);

static inline void cp_failpoint(cp_failpoint_id id)
{
    if (__builtin_expect(cp_failpoint_armed_ == (int)id, 0))
        cp_failpoint_hit_();
}

#else

static inline void cp_failpoint_arm(void)
{
}

static inline void cp_failpoint(cp_failpoint_id id)
{
    (void)id;
}

#endif
#endif
