// The backward pass of a recurrence against central differences of the recurrence written out, over several
// kept states; that nothing becomes -0 or divides by a decay.
#include "lib/gradient/state_walk.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace attn::test {
namespace {

/// One state, its readers and what enters, all numbers in one vector so that each can be moved.
struct Recurrent {
    bool delta = false, normalizer = false, by_column = false, whole = false;
    Index tokens = 11, dim = 3, value_dim = 2, queries = 13;

    Index width(bool of_keys) const { return by_column ? (of_keys ? dim : value_dim) : 1; }
    // Where each part begins.
    Index keys() const { return 0; }
    Index values() const { return keys() + tokens * dim; }
    Index decay() const { return values() + tokens * value_dim; }
    Index beta() const { return decay() + tokens * width(true); }
    Index past() const { return beta() + tokens * width(false); }
    Index reads() const { return past() + dim * value_dim; }
    Index end() const { return reads() + queries * dim; }

    /// Query i reads the state after token i - 1, those at the end the last one.
    Index after(Index query) const { return whole ? tokens : std::min(query, tokens); }
};

/// Numbers that look random, above 0 where `positive`: a normaliser divides by their products.
std::vector<double> numbers(Index count, bool positive) {
    std::vector<double> out;
    for (Index i = 0; i < count; ++i) {
        const double x = std::sin(static_cast<double>(i * i) * 0.37 + static_cast<double>(i) * 1.3);
        out.push_back(positive ? 0.6 + 0.4 * x : x);
    }
    return out;
}

/// Σ context d_context + Σ last state d_state.
double loss(const Recurrent& r, const std::vector<double>& x, const std::vector<double>& d_context,
            const std::vector<double>& d_state) {
    std::vector<double> state(x.begin() + r.past(), x.begin() + r.reads());
    if (r.normalizer) std::fill(state.begin(), state.end(), 0);
    std::vector<double> sum(idx(r.dim), 0);
    double total = 0;
    for (Index t = 0; t <= r.tokens; ++t) {
        for (Index q = 0; q < r.queries; ++q) {
            if (r.after(q) != t || (r.normalizer && t == 0)) continue;
            double n = 0, found = 0;
            for (Index i = 0; i < r.dim; ++i) {
                const double number = x[idx(r.reads() + q * r.dim + i)];
                n += number * sum[idx(i)];
                for (Index j = 0; j < r.value_dim; ++j)
                    found +=
                        0.7 * number * state[idx(i * r.value_dim + j)] * d_context[idx(q * r.value_dim + j)];
            }
            total += r.normalizer ? found / n : found;
        }
        if (t == r.tokens) break;
        const auto decay = [&](Index i) {
            return std::exp(x[idx(r.decay() + t * r.width(true) + (r.by_column ? i : 0))]);
        };
        const auto key = [&](Index i) { return x[idx(r.keys() + t * r.dim + i)]; };
        for (Index i = 0; i < r.dim; ++i) sum[idx(i)] = decay(i) * sum[idx(i)] + key(i);
        for (Index j = 0; j < r.value_dim; ++j) {
            double added = x[idx(r.values() + t * r.value_dim + j)];
            for (Index i = 0; i < r.dim; ++i) state[idx(i * r.value_dim + j)] *= decay(i);
            for (Index i = 0; r.delta && i < r.dim; ++i) added -= key(i) * state[idx(i * r.value_dim + j)];
            if (r.delta) added *= x[idx(r.beta() + t * r.width(false) + (r.by_column ? j : 0))];
            for (Index i = 0; i < r.dim; ++i) state[idx(i * r.value_dim + j)] += key(i) * added;
        }
    }
    for (std::size_t k = 0; k < state.size(); ++k) total += state[k] * d_state[k];
    return total;
}

std::vector<double> gradients(const Recurrent& r, const std::vector<double>& x,
                              const std::vector<double>& d_context, const std::vector<double>& d_state,
                              std::vector<double>* states = nullptr) {
    std::vector<double> out(x.size(), 0);
    gradient::StateInputs in;
    in.delta = r.delta;
    in.normalizer = r.normalizer;
    in.tokens = r.tokens;
    in.dim = r.dim;
    in.value_dim = r.value_dim;
    in.scale = 0.7;
    in.keys = {x.data() + r.keys(), r.dim};
    in.values = {x.data() + r.values(), r.value_dim};
    in.decay = {x.data() + r.decay(), r.width(true)};
    in.decay_by_column = in.beta_by_column = r.by_column;
    in.past = r.normalizer ? nullptr : x.data() + r.past();
    in.d_state = d_state.data();
    gradient::StateGradients to;
    to.keys = {out.data() + r.keys(), r.dim};
    to.values = {out.data() + r.values(), r.value_dim};
    to.decay = {out.data() + r.decay(), r.width(true)};
    if (r.delta) {
        in.beta = {x.data() + r.beta(), r.width(false)};
        to.beta = {out.data() + r.beta(), r.width(false)};
    }
    to.past = r.normalizer ? nullptr : out.data() + r.past();
    if (states) {
        states->resize(idx(r.tokens * r.dim * r.value_dim));
        to.each_state = [&](Index token, const double* s) {
            std::copy_n(s, r.dim * r.value_dim, states->begin() + token * r.dim * r.value_dim);
        };
    }
    std::vector<gradient::StateReader> readers;
    for (Index q = 0; q < r.queries; ++q)
        if (!r.normalizer || r.after(q) > 0)
            readers.push_back({r.after(q), x.data() + r.reads() + q * r.dim,
                               d_context.data() + q * r.value_dim, out.data() + r.reads() + q * r.dim});
    gradient::walk_back(in, readers, to);
    return out;
}

}  // namespace

TEST_CASE("state walk: every gradient is what central differences give") {
    for (int kind = 0; kind < 16; ++kind) {
        Recurrent r;
        r.delta = kind % 2 == 1;
        r.by_column = kind / 2 % 2 == 1;
        r.normalizer = kind / 4 % 2 == 1 && !r.delta;
        r.whole = kind / 8 == 1;
        CAPTURE(kind);
        const std::vector<double> x = numbers(r.end(), true);
        const std::vector<double> d_context = numbers(r.queries * r.value_dim, false);
        const std::vector<double> d_state = numbers(r.dim * r.value_dim, false);
        const std::vector<double> found = gradients(r, x, d_context, d_state);
        double largest = 0;
        for (const double d : found) largest = std::max(largest, std::abs(d));
        for (std::size_t k = 0; k < x.size(); ++k) {
            CAPTURE(k);
            const auto at = [&](double step) {
                std::vector<double> moved = x;
                moved[k] += step;
                return loss(r, moved, d_context, d_state);
            };
            const double h = 1e-3, wide = (at(h) - at(-h)) / (2 * h), near = (at(h / 2) - at(-h / 2)) / h;
            CHECK(std::abs((4 * near - wide) / 3 - found[k]) <= 1e-8 * (1 + largest));
        }
    }
}

TEST_CASE("state walk: the gradient of a state is that of the past of the tokens after it") {
    Recurrent r;
    r.delta = true;
    r.whole = true;
    const std::vector<double> x = numbers(r.end(), true), d_context = numbers(r.queries * r.value_dim, false);
    const std::vector<double> d_state = numbers(r.dim * r.value_dim, false);
    std::vector<double> states;
    const std::vector<double> found = gradients(r, x, d_context, d_state, &states);
    // e^g (G - k wᵀ) of the first token is what is left for the past; here from the state after it.
    for (Index i = 0; i < r.dim; ++i)
        for (Index j = 0; j < r.value_dim; ++j) {
            const double carried =
                states[idx(i * r.value_dim + j)] - x[idx(r.keys() + i)] * found[idx(r.values() + j)];
            CHECK(found[idx(r.past() + i * r.value_dim + j)] ==
                  doctest::Approx(std::exp(x[idx(r.decay())]) * carried));
        }
}

TEST_CASE("state walk: keys that nobody reads learn +0, and a decay to nothing divides nothing") {
    Recurrent r;
    std::vector<double> x = numbers(r.end(), false);
    for (Index t = 0; t < r.tokens; ++t) x[idx(r.decay() + t)] = -800;  // e^g is 0
    std::vector<double> d_context = numbers(r.queries * r.value_dim, false);
    std::fill(d_context.begin() + 4 * r.value_dim, d_context.end(), 0);
    const std::vector<double> found =
        gradients(r, x, d_context, std::vector<double>(idx(r.dim * r.value_dim), 0));
    for (std::size_t k = 0; k < found.size(); ++k) {
        CAPTURE(k);
        CHECK(std::isfinite(found[k]));
        CHECK_FALSE((found[k] == 0 && std::signbit(found[k])));
    }
    for (Index t = 4; t < r.tokens; ++t)
        for (Index i = 0; i < r.dim; ++i) CHECK(found[idx(r.keys() + t * r.dim + i)] == 0);
    CHECK(found[idx(r.keys() + 2 * r.dim)] != 0);
}

}  // namespace attn::test
