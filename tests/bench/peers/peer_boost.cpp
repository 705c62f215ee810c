// boost::lockfree::spsc_queue of 120-byte rows, in memory shared with a process that takes them out greedily or lazily.
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

void take_greedily()
{
    static row rows[256];
    for (;;)
        shared->pop(rows, 256);
}

uint32_t waiting()
{
    return static_cast<uint32_t>(shared->read_available());
}

/* consume_all copies row by row and gives the room back at once. With pop(rows, n), which is one large memcpy, a put flat out took
 * twice as long where the two CPUs are near each other; where they are far it was the faster by a fifth. */
void take_lazily()
{
    static row lump[PEER_LUMP_ROWS];
    uint32_t next = 0;
    for (;;) {
        peer_gather(waiting);
        shared->consume_all([&next](const row &from) { lump[next++ % PEER_LUMP_ROWS] = from; });
        __asm__ volatile("" : : "r"(lump) : "memory");
    }
}

bool open(int consumer_cpu, void (*take)())
{
    void *memory = peer_share(sizeof(queue));
    if (!memory)
        return false;
    shared = new (memory) queue;
    consumer = peer_fork(consumer_cpu, take);
    return consumer > 0;
}

bool open_greedy(int consumer_cpu)
{
    return open(consumer_cpu, take_greedily);
}

bool open_lazy(int consumer_cpu)
{
    return open(consumer_cpu, take_lazily);
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

extern "C" const peer peer_boost = {"boost spsc",
                                    "boost::lockfree::spsc_queue, popped greedily by another process",
                                    1,
                                    open_greedy,
                                    put,
                                    settle,
                                    close};
extern "C" const peer peer_boost_lazy = {
    "boost spsc, lazy",
    "boost::lockfree::spsc_queue, emptied by another process in lumps, as by the recorder's drain",
    1,
    open_lazy,
    put,
    settle,
    close};
