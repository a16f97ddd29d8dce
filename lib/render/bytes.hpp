#pragma once
#include <string>
#include <string_view>

#include "lib/render/render.hpp"

namespace attn {

/// Bytes on their way to an output, handed over in large pieces.
class Bytes {
  public:
    explicit Bytes(Output& output) : output_(output) {}

    std::string text;  ///< append here, then call pass()

    void pass() {
        if (text.size() >= piece) pass_all();
    }
    void pass_all() {
        output_.write(text);
        text.clear();
    }
    void flush() {
        pass_all();
        output_.flush();
    }

  private:
    static constexpr std::size_t piece = 1 << 16;
    Output& output_;
};

/// Calls f with the typed numbers of one row.
template <class F>
void with_row(const Rows& rows, Index i, F&& f) {
    const auto n = static_cast<std::size_t>(rows.column_count());
    const auto from = static_cast<std::size_t>(i) * n;
    if (rows.dtype == DType::float32) {
        f(rows.values<float>().subspan(from, n));
    } else {
        f(rows.values<double>().subspan(from, n));
    }
}

}  // namespace attn
