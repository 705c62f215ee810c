// spdlog's asynchronous logger: the row's bytes as one message, written by its thread to a file of its own.
#include <pthread.h>
#include <sched.h>
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <unistd.h>

#include "peer.h"

namespace {

std::shared_ptr<spdlog::details::thread_pool> pool;
std::shared_ptr<spdlog::async_logger> logger;
char path[64];

bool open(int consumer_cpu)
{
    const auto pin = [consumer_cpu] {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(consumer_cpu, &set);
        pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    };
    snprintf(path, sizeof path, "/dev/shm/coldpath-peers-%d.log", static_cast<int>(getpid()));
    pool = std::make_shared<spdlog::details::thread_pool>(PEER_RING_BYTES / 128, 1, pin);
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path, true);
    logger = std::make_shared<spdlog::async_logger>("peers", sink, pool, spdlog::async_overflow_policy::block);
    return true;
}

bool put(const void *row)
{
    logger->log(spdlog::level::info, spdlog::string_view_t(static_cast<const char *>(row), PEER_ROW));
    return true;
}

void settle()
{
    while (pool->queue_size() > 0)
        usleep(1000);
    (void)!truncate(path, 0); // a larger file costs it nothing
}

void close()
{
    logger.reset();
    pool.reset();
    unlink(path);
}

} // namespace

extern "C" const peer peer_spdlog = {"spdlog async", "one message of 120 bytes; its thread writes to tmpfs", 1, open, put,
                                     settle, close};
