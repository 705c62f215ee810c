#include <coldpath/coldpath.hpp>

#include <chrono>
#include <iostream>

#include "rows/quotes.hpp"

int main()
{
    using namespace std::chrono;
    using quote = coldpath::rows::quotes_row_builder<64>; // 64 bytes of strings at most

    try {
        coldpath::table<quote> quotes("demo", "put_quote");
        quote q;
        q.row().recv_ts = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
        q.row().bid_px = 6180020000000; // Decimal(18, 8): 61800.20
        q.row().ask_px = 6180030000000;
        q.put_symbol("BTCUSDT");
        std::cout << (quotes.put(q) ? "ok" : "ring full") << '\n';
    } catch (const coldpath::error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
