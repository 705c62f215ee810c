/* Obeying commands while the recorder runs: what came by the control socket is checked against the tables there are, done by setting
 * what the other threads look at anyway, logged with who asked, and counted.
 *
 *   pause, resume   counters.paused_since_ns   read by the flusher's thread before each send, and by who waits for a flush or stop
 *   degrade         pressure.forced            read by the drain thread when it looks at the load
 *   rotate          a flag of the log          read by the drain thread when it places a frame
 *
 * The first two stand in the region, where every observer sees them, and outlive the recorder. Nothing here waits for another thread. */
#ifndef CP_RECORDER_STEERING_H
#define CP_RECORDER_STEERING_H

#include "recorder/command_socket.h"
#include "recorder/recorder.h"
#include "recorder/reload.h"

typedef struct cp_steering {
    cp_recorder *recorder;
    cp_reload *reload;
    cp_recorder_parts parts;
} cp_steering;

/* Both running, and borrowed. Says which tables a predecessor left paused. */
void cp_steering_init(cp_steering *steering, cp_recorder *recorder, cp_reload *reload);

/* For cp_command_socket_open. The thread that starts and stops the recorder. */
cp_command_events cp_steering_events(cp_steering *steering);

#endif
