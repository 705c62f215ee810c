/* coldpath for C++20: typed rows, and handles that let go of what they hold.
 *
 *     #include <coldpath/coldpath.hpp>
 *     #include "rows/quotes.hpp"                                     coldpath schema gen quotes --as c++
 *
 *     using quote = coldpath::rows::quotes_row_builder<64>;          64 bytes of strings at most
 *     coldpath::table<quote> quotes("dolphin", "my-strategy");       attaches, takes a slot; throws coldpath::error
 *     quote q;
 *     q.row().bid_px = 6180020000000;
 *     q.put_symbol("BTCUSDT");
 *     bool there = quotes.put(q);                                    false: the ring is full; costs what cp_put costs
 *
 * A table belongs to one thread at a time, like the ring in it. It has a mapping of the region of its own; when the region was
 * replaced (a new configuration) put attaches anew and puts the same row: that one put takes milliseconds. After fork() the
 * child must not use tables of its parent. */
#ifndef COLDPATH_COLDPATH_HPP
#define COLDPATH_COLDPATH_HPP

#include <coldpath/coldpath.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace coldpath {

/* What cp_error says; code() is one of <coldpath/error.h>. */
class error : public std::runtime_error {
public:
    error(int code, const char *text) : std::runtime_error(text), code_(code) {}
    int code() const noexcept { return code_; }

private:
    int code_;
};

/* A row as the generated headers make it. */
template <class Row>
concept typed_row = requires(const Row &row) {
    { Row::table } -> std::convertible_to<const char *>;
    { Row::schema_hash } -> std::convertible_to<std::uint64_t>;
    { row.data() } -> std::convertible_to<const void *>;
    { row.size() } -> std::convertible_to<std::uint32_t>;
};

/* A region, mapped. Move-only. */
class region {
public:
    explicit region(const std::string &path)
    {
        cp_error err{};
        if (const int code = cp_attach(&region_, path.c_str(), &err); code < 0)
            throw error(code, err.text);
    }
    region(region &&other) noexcept : region_(std::exchange(other.region_, nullptr)) {}
    region &operator=(region &&other) noexcept
    {
        std::swap(region_, other.region_);
        return *this;
    }
    ~region() { cp_detach(region_); }

    bool recorder_alive() const { return cp_region_recorder_alive(region_); }
    bool in_place() const { return cp_region_in_place(region_); }
    cp_region *get() const noexcept { return region_; }

private:
    cp_region *region_ = nullptr;
};

/* A producer slot of Row's table. Move-only. */
template <typed_row Row> class table {
public:
    /* path: as cp_attach takes it. producer: for `coldpath status`; empty: the program's name. */
    explicit table(std::string path, std::string producer = {})
        : path_(std::move(path)), producer_(std::move(producer)), region_(path_), ring_(open())
    {
    }
    table(table &&other) noexcept
        : path_(std::move(other.path_)), producer_(std::move(other.producer_)), region_(std::move(other.region_)),
          ring_(std::exchange(other.ring_, nullptr))
    {
    }
    table &operator=(table &&) = delete;
    ~table() { cp_ring_close(ring_); }

    /* True: the row is there. False: the ring is full. Throws error: the row is too big, or the region was replaced and cannot
     * be attached to just now (the row is not put; try again). */
    bool put(const Row &row)
    {
        if (!ring_)
            attach_again();
        int code = cp_put(ring_, row.data(), row.size());
        if (CP_LIKELY(code == CP_OK))
            return true;
        if (code == CP_E_RETIRED) {
            attach_again();
            code = cp_put(ring_, row.data(), row.size());
        }
        return settle(code, CP_FULL);
    }

    /* As put, but waits for room; false: it was full for that long. */
    bool put_wait(const Row &row, std::chrono::nanoseconds timeout)
    {
        if (!ring_)
            attach_again();
        int code = cp_put_wait(ring_, row.data(), row.size(), count(timeout));
        if (code == CP_E_RETIRED) {
            attach_again();
            code = cp_put_wait(ring_, row.data(), row.size(), count(timeout));
        }
        return settle(code, CP_E_TIMEOUT);
    }

    /* Waits until every row put so far has reached stage; false: the time is over. Throws error when the region is replaced
     * meanwhile: the rows are safe, but no longer followed from here. */
    bool wait(cp_stage stage, std::chrono::nanoseconds timeout) const
    {
        return !ring_ || settle(cp_wait(ring_, stage, ring_->write, count(timeout)), CP_E_TIMEOUT);
    }

    cp_ring_stats stats() const
    {
        cp_ring_stats s{};
        if (ring_)
            cp_ring_get_stats(ring_, &s);
        return s;
    }
    bool recorder_alive() const { return region_.recorder_alive(); }

private:
    static std::uint64_t count(std::chrono::nanoseconds timeout)
    {
        return timeout.count() > 0 ? static_cast<std::uint64_t>(timeout.count()) : 0;
    }

    static bool settle(int code, int refusal)
    {
        if (code == CP_OK)
            return true;
        if (code == refusal)
            return false;
        throw error(code, cp_strerror(code));
    }

    cp_ring *open() const
    {
        cp_error err{};
        cp_ring *ring = nullptr;
        const char *producer = producer_.empty() ? nullptr : producer_.c_str();
        if (const int code = cp_ring_open(&ring, region_.get(), Row::table, Row::schema_hash, producer, &err); code < 0)
            throw error(code, err.text);
        return ring;
    }

    /* The old slot is given back first, so that it can be had again. */
    void attach_again()
    {
        cp_ring_close(std::exchange(ring_, nullptr));
        region_ = region(path_);
        ring_ = open();
    }

    std::string path_;
    std::string producer_;
    region region_;
    cp_ring *ring_ = nullptr;
};

}

#endif
