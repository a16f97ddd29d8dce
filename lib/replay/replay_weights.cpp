// The weights of a replay: a softmax, and what goes wrong in one.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "lib/replay/replay_work.hpp"
#include "lib/run/ops.hpp"

namespace attn {
namespace {

constexpr double hidden_score = -std::numeric_limits<double>::infinity();

/// exp() in float32: infinite above 88.7, 0 below -103.9.
double single_exp(double x) { return static_cast<double>(static_cast<float>(std::exp(x))); }

/// A softmax whose exponentials are taken as they are, or less a maximum that is not below 0, in float32.
void softmax_out_of_range(double* row, Index keys, Maximum maximum, bool no_sum_is_nan, double sink) {
    double most = 0;
    if (maximum == Maximum::not_below_zero)
        for (Index j = 0; j < keys; ++j) most = std::max(most, row[j]);
    double sum = single_exp(sink - most);
    for (Index j = 0; j < keys; ++j) {
        row[j] = single_exp(row[j] - most);
        sum += row[j];
    }
    if (sum > std::numeric_limits<float>::max()) sum = std::numeric_limits<double>::infinity();
    if (sum == 0 && !no_sum_is_nan) sum = 1;
    for (Index j = 0; j < keys; ++j) row[j] /= sum;
}

/// A softmax that is made block by block: Dao et al. 2022, algorithm 1, with a step left out.
void softmax_of_blocks(double* row, Index keys, const BlockFault& fault) {
    using Kind = BlockFault::Kind;
    const bool apart = fault.kind == Kind::averaged || fault.kind == Kind::added;
    const double all = *std::max_element(row, row + keys);
    double most = hidden_score, sum = 0, early_sum = 0;
    Index blocks = 0;
    for (Index from = 0; from < keys; from += fault.width) {
        const Index to = std::min(keys, from + fault.width);
        const double own = *std::max_element(row + from, row + to);
        most = apart ? own : std::max(most, own);
        if (most == hidden_score) {
            std::fill(row + from, row + to, 0.0);
            continue;
        }
        ++blocks;
        double block_sum = 0;
        for (Index j = from; j < to; ++j) {
            const double late = std::exp(row[j] - all), early = std::exp(row[j] - most);
            sum += late, early_sum += early, block_sum += early;
            row[j] = fault.kind == Kind::sums_not_rescaled ? late : early;
        }
        for (Index j = from; j < to && apart; ++j) row[j] /= block_sum;
    }
    const double by = fault.kind == Kind::averaged                ? static_cast<double>(blocks)
                      : fault.kind == Kind::added                 ? 1.0
                      : fault.kind == Kind::contexts_not_rescaled ? sum
                                                                  : early_sum;
    for (Index j = 0; j < keys; ++j) row[j] /= by;
}

}  // namespace

void Replay::weigh(Work& w, Numbers4& cells) const {
    const Plan& plan = w.plan;
    const auto rows = static_cast<Index>(w.made.rows.size());
    if (w.quirks.along != Along::keys) return weigh_across(w, cells);
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < plan.heads; ++h)
            for (Index i = 0; i < rows; ++i) {
                double* row = cells.row(b, h, i);
                weigh_row(w, b, h, i, row);
                if (w.quirks.weights_times == 1) continue;
                for (Index j = 0; j < plan.keys; ++j) row[j] *= w.quirks.weights_times;
            }
}

void Replay::weigh_row(const Work& w, Index b, Index h, Index line, double* row) const {
    const Plan& plan = w.plan;
    const Index keys = plan.keys;
    const std::uint8_t* hidden = w.hidden_row(b, h, line);
    if (w.quirks.normal == Normal::none) return;
    const bool before = plan.masked && plan.mask_at != MaskAt::weights && !w.quirks.masks_weights;
    const auto once_more = [&] {
        if (!w.quirks.softmax_twice) return;
        for (Index j = 0; j < keys && hidden && w.quirks.masked_twice; ++j)
            if (hidden[j] != 0) row[j] = hidden_score;
        if (ops::sees_a_key(row, keys)) ops::softmax(row, row, keys);
    };
    if (before && !plan.has_appended() && !ops::sees_a_key(row, keys)) {
        ops::fill_empty(row, keys, plan.empty_rows);
        return w.quirks.masked_twice ? void() : once_more();
    }
    if (w.quirks.normal == Normal::base_two)
        for (Index j = 0; j < keys; ++j) row[j] *= std::numbers::ln2;
    double sink = hidden_score;
    if (!plan.sinks.empty()) sink = plan.sinks[idx(h)];
    if (w.quirks.maximum != Maximum::of_row) {
        softmax_out_of_range(row, keys, w.quirks.maximum, w.quirks.no_sum_is_nan, sink);
    } else if (w.quirks.blocks) {
        softmax_of_blocks(row, keys, *w.quirks.blocks);
    } else if (plan.normalize == Normalize::sum) {
        ops::divide_by_sum(row, row, keys, plan.rounding);
    } else if (plan.normalize == Normalize::sigmoid) {
        ops::sigmoid(row, row, keys);
    } else if (plan.sinks.empty()) {
        ops::softmax(row, row, keys);
    } else {
        ops::softmax_with_sink(row, row, keys, sink);
    }
    once_more();
    if (w.quirks.masks_weights && plan.mask_at != MaskAt::weights && hidden)
        ops::mask_weights(row, row, keys, hidden);
}

/// A softmax along another axis than the keys.
void Replay::weigh_across(Work& w, Numbers4& cells) const {
    const Plan& plan = w.plan;
    const bool heads = w.quirks.along == Along::heads;
    const auto rows = static_cast<Index>(w.made.rows.size());
    const Index count = heads ? plan.heads : rows, others = heads ? rows : plan.heads;
    const Index step = heads ? rows * plan.keys : plan.keys;
    std::vector<double> line(static_cast<std::size_t>(count));
    for (Index b = 0; b < plan.batch; ++b)
        for (Index o = 0; o < others; ++o)
            for (Index j = 0; j < plan.keys; ++j) {
                double* at = (heads ? cells.row(b, 0, o) : cells.row(b, o, 0)) + j;
                for (Index k = 0; k < count; ++k) line[idx(k)] = at[k * step];
                if (plan.masked && !ops::sees_a_key(line.data(), count)) {
                    ops::fill_empty(line.data(), count, plan.empty_rows);
                } else {
                    ops::softmax(line.data(), line.data(), count);
                }
                for (Index k = 0; k < count; ++k) at[k * step] = line[idx(k)] * w.quirks.weights_times;
            }
    if (!w.quirks.masks_weights || plan.mask_at == MaskAt::weights || !plan.masked) return;
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < plan.heads; ++h)
            for (Index i = 0; i < rows; ++i)
                ops::mask_weights(cells.row(b, h, i), cells.row(b, h, i), plan.keys, w.hidden_row(b, h, i));
}

}  // namespace attn
