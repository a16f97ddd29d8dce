#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "lib/pool.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// Bytes on their way to an output, handed over in large pieces.
class Bytes {
  public:
    /// `ascii`: JSON, whose strings get \u escapes for what is not ASCII.
    explicit Bytes(Output& output, bool ascii = false) : output_(output), ascii_(ascii) {}

    std::string text;  ///< append here, then call pass()

    /// How many threads may write rows.
    void use_threads(int threads) { pool_ = LatePool(threads); }

    /// Calls job(first, end) for stretches that cover 0 ... rows - 1: where there are many numbers by all
    /// threads, at once and in any order.
    template <class F>
    void share(Index rows, Index columns, F&& job) {
        const Index each = rows_of_a_job(columns);
        if (pool_.workers() < 2 || rows <= each) {
            if (rows > 0) job(Index{0}, rows);
            return;
        }
        pool_.get().run((rows + each - 1) / each,
                        [&](Index k, int) { job(k * each, std::min((k + 1) * each, rows)); });
    }

    /// Appends and passes the texts of rows 0 ... rows - 1 in order: write(out, i) appends that of row i.
    /// Many numbers are written by all threads, at once and in any order; the bytes are the same.
    template <class F>
    void rows(Index rows, Index columns, F&& write) {
        const Index each = rows_of_a_job(columns);
        if (pool_.workers() < 2 || rows <= each) {
            for (Index i = 0; i < rows; ++i) {
                write(text, i);
                pass();
            }
            return;
        }
        pass_all();
        texts_.resize(static_cast<std::size_t>(pool_.workers()) * jobs_of_a_worker);
        const auto most = static_cast<Index>(texts_.size()) * each;
        for (Index from = 0; from < rows; from += most) {
            const Index end = std::min(from + most, rows), jobs = (end - from + each - 1) / each;
            pool_.get().run(jobs, [&](Index job, int) {
                std::string& out = texts_[idx(job)];
                out.clear();
                const Index first = from + job * each;
                for (Index i = first; i < std::min(first + each, end); ++i) write(out, i);
            });
            for (Index job = 0; job < jobs; ++job) output_.write(texts_[idx(job)]);  // numbers
        }
    }

    void pass() {
        if (text.size() >= piece) pass_all();
    }
    void pass_all() {
        output_.write(ascii_ ? json_in_ascii(text) : text);
        text.clear();
    }
    void flush() {
        pass_all();
        output_.flush();
    }

  private:
    static constexpr std::size_t piece = 1 << 16;
    /// Some 100 kB of text; a few for each worker, so that none waits long for another's last one.
    static constexpr Index numbers_of_a_job = 1 << 13;
    static constexpr std::size_t jobs_of_a_worker = 4;

    static Index rows_of_a_job(Index columns) {
        return std::max<Index>(1, numbers_of_a_job / std::max<Index>(columns, 1));
    }

    Output& output_;
    bool ascii_;
    LatePool pool_;
    std::vector<std::string> texts_;
};

/// Writes at `to`; returns the end.
inline char* copied(std::string_view text, char* to) { return std::copy(text.begin(), text.end(), to); }

/// Calls f with the typed numbers of one row.
template <class F>
void with_row(const Rows& rows, Index i, F&& f) {
    const auto n = static_cast<std::size_t>(rows.column_count());
    const auto from = static_cast<std::size_t>(i) * n;
    if (!is_wide(rows.dtype)) {
        f(rows.values<float>().subspan(from, n));
    } else {
        f(rows.values<double>().subspan(from, n));
    }
}

}  // namespace attn
