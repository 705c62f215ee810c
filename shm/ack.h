/* Acknowledgement blocks: how far the recorder has come with a ring. One writer, any number of readers; a sequence lock
 * keeps positions and row counts consistent with each other. */
#ifndef CP_SHM_ACK_H
#define CP_SHM_ACK_H

#include "shm/abi.h"

/* Reads a consistent copy. The writer is expected to be quick: after a bounded number of tries (a recorder killed in the
 * middle of writing) the last copy is returned as it is, and false. */
bool cp_ack_read(const cp_abi_ack *ack, cp_abi_ack *copy);

/* Publishes a new state of all fields but the sequence. The recorder alone. */
void cp_ack_write(cp_abi_ack *ack, const cp_abi_ack *state);

#endif
