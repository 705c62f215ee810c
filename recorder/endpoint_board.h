/* What the flusher tells of the ClickHouse endpoints, in the control file, for whoever watches. The flusher's thread. */
#ifndef CP_RECORDER_ENDPOINT_BOARD_H
#define CP_RECORDER_ENDPOINT_BOARD_H

#include "flush/flusher.h"
#include "shm/abi.h"

/* Writes count ≤ CP_ABI_ENDPOINTS views over the board; what it knows of an endpoint besides, since when it has its state and how
 * often it was chosen, goes on. */
void cp_endpoint_board_show(cp_abi_endpoint board[CP_ABI_ENDPOINTS], const cp_endpoint_view *views,
                            uint32_t count);

#endif
