#include "lib/gradient/state_walk.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "lib/kernels/kernels.hpp"
#include "lib/plan/blocking.hpp"

namespace attn::gradient {
namespace {

/// Σ a[i] b[i] in eight chains, added in order.
double dot(const double* a, const double* b, Index n) {
    std::array<double, 8> sums{};
    Index i = 0;
    for (; i + 8 <= n; i += 8)
        for (Index k = 0; k < 8; ++k) sums[idx(k)] += a[i + k] * b[i + k];
    double total = 0;
    for (const double s : sums) total += s;
    for (; i < n; ++i) total += a[i] * b[i];
    return total;
}

class BackThroughTime {
  public:
    BackThroughTime(const StateInputs& in, std::span<const StateReader> readers, const StateGradients& out)
        : in_(in),
          out_(out),
          readers_(readers),
          kernel_(kernels::table<double>()),
          size_(static_cast<std::size_t>(in.dim * in.value_dim)),
          rows_(static_cast<std::size_t>(in.dim)),
          columns_(static_cast<std::size_t>(in.value_dim)),
          key_(rows_),
          value_(columns_),
          decay_(rows_, 1.0),
          rate_(columns_, 1.0),
          error_(columns_),
          toward_(columns_),
          change_(columns_),
          of_key_(rows_),
          other_(rows_),
          carried_(size_) {}

    void run() {
        const Index between = blocking::tokens_between_states(in_.tokens),
                    parts = (in_.tokens + between - 1) / between;
        // The states and sums of keys before each part, then before each token of one part.
        std::vector<State> kept(static_cast<std::size_t>(parts)), part(static_cast<std::size_t>(between) + 1);
        State now = first();
        for (Index t = 0; t < in_.tokens; ++t) {
            if (t % between == 0) kept[idx(t / between)] = now;
            step(t, now, now);
        }
        gradient_.numbers.assign(size_, 0);
        gradient_.sum.assign(rows_, 0);
        if (in_.d_state) std::copy_n(in_.d_state, size_, gradient_.numbers.begin());
        for (Index k = parts - 1; k >= 0; --k) {
            const Index begin = k * between, end = std::min(begin + between, in_.tokens);
            part[0] = std::move(kept[idx(k)]);
            for (Index t = begin; t < end; ++t) step(t, part[idx(t - begin)], part[idx(t - begin) + 1]);
            for (Index t = end - 1; t >= begin; --t) {
                read(t + 1, part[idx(t - begin) + 1]);
                if (out_.each_state) {
                    for (double& x : gradient_.numbers) x += 0.0;
                    out_.each_state(t, gradient_.numbers.data());
                }
                back(t, part[idx(t - begin)]);
            }
            now = std::move(part[0]);
        }
        read(0, now);
        if (out_.past) write(gradient_.numbers, out_.past);
    }

  private:
    struct State {
        std::vector<double> numbers;  ///< [dim, value_dim]
        std::vector<double> sum;      ///< of keys, decayed alike, with a normaliser
    };

    State first() const {
        State s{std::vector<double>(size_), std::vector<double>(rows_)};
        if (in_.past) std::copy_n(in_.past, size_, s.numbers.begin());
        return s;
    }

    static void write(const std::vector<double>& from, double* to) {
        std::transform(from.begin(), from.end(), to, [](double x) { return x + 0.0; });
    }

    /// Reads a token's numbers; decays become factors.
    void load(Index t) {
        std::copy_n(in_.keys.row(t), rows_, key_.begin());
        std::copy_n(in_.values.row(t), columns_, value_.begin());
        if (in_.decay) {
            const double* g = in_.decay.row(t);
            for (std::size_t i = 0; i < rows_; ++i)
                decay_[i] =
                    i == 0 || in_.decay_by_column ? std::exp(g[in_.decay_by_column ? i : 0]) : decay_[0];
        }
        if (in_.beta)
            for (std::size_t j = 0; j < columns_; ++j) rate_[j] = in_.beta.row(t)[in_.beta_by_column ? j : 0];
    }

    /// carried_ = e^g S; error_ = v - (e^g S)ᵀ k; change_ = what is added to its rows.
    void carry(const State& before) {
        for (std::size_t i = 0; i < rows_; ++i)
            for (std::size_t j = 0; j < columns_; ++j)
                carried_[i * columns_ + j] = decay_[i] * before.numbers[i * columns_ + j];
        change_ = value_;
        if (!in_.delta) return;
        kernel_.multiply(key_.data(), in_.dim, carried_.data(), in_.value_dim, error_.data(), in_.value_dim,
                         1, in_.value_dim, in_.dim);
        for (std::size_t j = 0; j < columns_; ++j) {
            error_[j] = value_[j] - error_[j];
            change_[j] = rate_[j] * error_[j];
        }
    }

    /// The state after token t; `after` may be `before`.
    void step(Index t, const State& before, State& after) {
        load(t);
        carry(before);
        after.sum.resize(rows_);
        for (std::size_t i = 0; i < rows_; ++i) after.sum[i] = decay_[i] * before.sum[i] + key_[i];
        after.numbers = carried_;
        kernel_.add_outer(after.numbers.data(), in_.value_dim, in_.dim, in_.value_dim, nullptr, key_.data(),
                          change_.data());
    }

    /// The queries that read the state after so many tokens.
    void read(Index after, const State& state) {
        for (; !readers_.empty() && readers_.back().after == after;
             readers_ = readers_.first(readers_.size() - 1)) {
            const StateReader& r = readers_.back();
            std::copy_n(r.query, rows_, key_.begin());
            std::copy_n(r.d_context, columns_, change_.begin());
            kernel_.dot_rows(change_.data(), in_.value_dim, state.numbers.data(), in_.value_dim,
                             of_key_.data(), in_.dim, 1, in_.dim, in_.value_dim);
            double by = in_.scale, of_sum = 0;
            if (in_.normalizer) {
                const double n = dot(key_.data(), state.sum.data(), in_.dim);
                by /= n;
                if (!in_.quirks.normalizer_constant)
                    of_sum = -by * dot(key_.data(), of_key_.data(), in_.dim) / n;
            }
            for (std::size_t i = 0; i < rows_; ++i) {
                r.d_query[i] += by * of_key_[i] + of_sum * state.sum[i];
                gradient_.sum[i] += of_sum * key_[i];
                key_[i] *= by;
            }
            kernel_.add_outer(gradient_.numbers.data(), in_.value_dim, in_.dim, in_.value_dim, nullptr,
                              key_.data(), change_.data());
        }
    }

    /// From the gradient of the state after token t to that of the state before it.
    void back(Index t, const State& before) {
        load(t);
        carry(before);
        double* g = gradient_.numbers.data();
        const auto times_rows = [&](const std::vector<double>& row, const double* matrix,
                                    std::vector<double>& into) {
            kernel_.dot_rows(row.data(), in_.value_dim, matrix, in_.value_dim, into.data(), in_.dim, 1,
                             in_.dim, in_.value_dim);
        };
        kernel_.multiply(key_.data(), in_.dim, g, in_.value_dim, toward_.data(), in_.value_dim, 1,
                         in_.value_dim, in_.dim);
        times_rows(change_, g, of_key_);
        if (in_.delta) {
            if (out_.beta) write_rate(t);
            for (std::size_t j = 0; j < columns_; ++j) toward_[j] *= rate_[j];
            times_rows(toward_, carried_.data(), other_);
            for (std::size_t i = 0; i < rows_ && !in_.quirks.error_constant; ++i) of_key_[i] -= other_[i];
        }
        if (out_.values) write(toward_, out_.values.row(t));
        if (in_.normalizer)
            for (std::size_t i = 0; i < rows_; ++i) of_key_[i] += gradient_.sum[i];
        if (out_.keys)
            for (std::size_t i = 0; i < rows_; ++i) out_.keys.row(t)[i] += of_key_[i];
        if (in_.delta && !in_.quirks.error_constant && !in_.quirks.state_identity) {
            for (double& k : key_) k = -k;
            kernel_.add_outer(g, in_.value_dim, in_.dim, in_.value_dim, nullptr, key_.data(), toward_.data());
        }
        if (in_.decay) back_through_decay(t, before, g);
        if (in_.quirks.not_carried) {
            gradient_.numbers.assign(size_, 0);
            gradient_.sum.assign(rows_, 0);
        }
    }

    void back_through_decay(Index t, const State& before, double* g) {
        double total = 0;
        for (std::size_t i = 0; i < rows_; ++i) {
            const auto at = static_cast<Index>(i * columns_);
            const double* of =
                in_.quirks.decay_of_state_before ? before.numbers.data() + at : carried_.data() + at;
            double of_row = dot(g + at, of, in_.value_dim);
            if (in_.normalizer) of_row += gradient_.sum[i] * decay_[i] * before.sum[i];
            if (out_.decay && in_.decay_by_column) out_.decay.row(t)[i] = of_row + 0.0;
            total += of_row;
            if (in_.quirks.no_decay) continue;
            for (std::size_t j = 0; j < columns_; ++j) g[i * columns_ + j] *= decay_[i];
            gradient_.sum[i] *= decay_[i];
        }
        if (out_.decay && !in_.decay_by_column) *out_.decay.row(t) = total + 0.0;
    }

    void write_rate(Index t) {
        double* to = out_.beta.row(t);
        if (!in_.beta_by_column) *to = dot(toward_.data(), error_.data(), in_.value_dim) + 0.0;
        for (std::size_t j = 0; in_.beta_by_column && j < columns_; ++j) to[j] = toward_[j] * error_[j] + 0.0;
    }

    const StateInputs& in_;
    const StateGradients& out_;
    std::span<const StateReader> readers_;  ///< those that have not read yet
    const kernels::Table<double>& kernel_;
    std::size_t size_, rows_, columns_;
    State gradient_;
    std::vector<double> key_, value_, decay_, rate_, error_, toward_, change_, of_key_, other_, carried_;
};

}  // namespace

void walk_back(const StateInputs& in, std::span<const StateReader> readers, const StateGradients& out) {
    BackThroughTime(in, readers, out).run();
}

}  // namespace attn::gradient
