#include "recorder/endpoint_board.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const cp_abi_endpoint *find(const cp_abi_endpoint *board, uint64_t id)
{
    for (uint32_t i = 0; i < CP_ABI_ENDPOINTS; i++) {
        if (board[i].role != CP_ENDPOINT_NONE && board[i].id == id)
            return &board[i];
    }
    return NULL;
}

static cp_abi_endpoint entry_make(const cp_abi_endpoint *before, const cp_endpoint_view *view)
{
    cp_abi_endpoint entry = {.id = view->id, .since_ns = cp_realtime_ns()};
    if (before) {
        entry.chosen = before->chosen;
        if (before->state == (uint32_t)view->health)
            entry.since_ns = before->since_ns;
    }
    entry.state = (uint32_t)view->health;
    entry.role = view->leaving  ? CP_ENDPOINT_LEAVING
                 : view->chosen ? CP_ENDPOINT_CHOSEN
                                : CP_ENDPOINT_STANDBY;
    entry.chosen += entry.role == CP_ENDPOINT_CHOSEN && (!before || before->role != CP_ENDPOINT_CHOSEN);
    entry.held_rows = view->held_rows;
    entry.held_batches = view->held_batches;
    snprintf(entry.url, sizeof entry.url, "%s", view->url);
    snprintf(entry.reason, sizeof entry.reason, "%s", view->reason);
    return entry;
}

void cp_endpoint_board_show(cp_abi_endpoint board[CP_ABI_ENDPOINTS], const cp_endpoint_view *views,
                            uint32_t count)
{
    cp_abi_endpoint next[CP_ABI_ENDPOINTS] = {0};
    for (uint32_t i = 0; i < count && i < CP_ABI_ENDPOINTS; i++)
        next[i] = entry_make(find(board, views[i].id), &views[i]);
    memcpy(board, next, sizeof next);
}
