// boost::lockfree::spsc_queue of 120-byte rows, in memory shared with a process that takes them out greedily.
#include <boost/lockfree/spsc_queue.hpp>
#include <new>

#include "peer.h"

namespace {

struct row {
    uint8_t bytes[PEER_ROW];
};
using queue = boost::lockfree::spsc_queue<row, boost::lockfree::capacity<PEER_RING_BYTES / 128>>;

queue *shared;
int consumer;

void take()
{
    static row rows[256];
    for (;;)
        shared->pop(rows, 256);
}

bool open(int consumer_cpu)
{
    void *memory = peer_share(sizeof(queue));
    if (!memory)
        return false;
    shared = new (memory) queue;
    consumer = peer_fork(consumer_cpu, take);
    return consumer > 0;
}

bool put(const void *from)
{
    return shared->push(*static_cast<const row *>(from)); // bytes only: no copy but the queue's
}

void settle()
{
    while (shared->write_available() < PEER_RING_BYTES / 128)
        ;
}

void close()
{
    peer_reap(consumer);
}

} // namespace

extern "C" const peer peer_boost = {"boost spsc", "boost::lockfree::spsc_queue, popped greedily by another process", 1,
                                    open, put, settle, close};
