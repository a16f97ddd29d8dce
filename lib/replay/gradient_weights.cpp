// The weights of a backward pass, and what their softmax sends back.
#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/replay/gradient_cells.hpp"

namespace attn {

/// The weights of the softmax, as the backward pass has them.
const GradientCells::Matrix& GradientCells::weights(Index b, Index h) {
    const Index n = plan_.queries, keys = plan_.keys;
    weights_.assign(cells_of(Stage::weights, b, h), cells_of(Stage::weights, b, h) + n * keys);
    undropped_.assign(weights_.begin(), weights_.end());
    for (const Stage s : stages_)
        if (is_weights(s) && s != Stage::dropped_weights)
            undropped_.assign(cells_of(s, b, h), cells_of(s, b, h) + n * keys);
    last_weights_.assign(cells_of(last_, b, h), cells_of(last_, b, h) + n * keys);
    if (!quirks_.of_saved_sums) return weights_;
    // What the forward pass has hidden and the backward pass sees.
    const Numbers4& right = *forward_[Stage::weights];
    std::vector<std::uint8_t> planned(idx(keys));
    Stage before = Stage::scores;
    for (std::size_t k = 1; k < stages_.size(); ++k)
        if (stages_[k] == Stage::masked_scores) before = stages_[k - 1];
    const double* scores = cells_of(before, b, h);
    for (Index i = 0; i < n; ++i) {
        const double* p = right.row(b, h, i);
        const Index top = std::max_element(p, p + keys) - p;
        if (!(p[top] > 0)) continue;
        planned_.hide(b, h, i, planned.data());
        const double log_sum = scores[i * keys + top] - std::log(p[top]);
        for (Index j = 0; j < keys; ++j) {
            const auto at = idx(i * keys + j);
            weights_[at] = hidden_[at] != 0       ? 0.0
                           : planned[idx(j)] != 0 ? std::exp(scores[i * keys + j] - log_sum)
                                                  : p[j];
            last_weights_[at] = undropped_[at] = weights_[at];
        }
    }
    return weights_;
}

/// D of each row.
std::vector<double> GradientCells::loss(Index b, Index h, const Matrix& d) const {
    const Index n = plan_.queries, keys = plan_.keys;
    std::vector<double> out(idx(n));
    const bool undropped = quirks_.shared == SharedLoss::undropped;
    const Matrix of_context = undropped ? entering(b, h) : Matrix{};
    const Matrix& of = undropped ? of_context : d;
    for (Index i = 0; i < n; ++i)
        for (Index j = 0; j < keys; ++j) {
            const auto at = idx(i * keys + j);
            const bool seen = quirks_.softmax == SoftmaxBack::sum_unweighted_seen && hidden_[at] == 0;
            const bool all = seen || quirks_.softmax == SoftmaxBack::sum_unweighted;
            if (!all && quirks_.softmax == SoftmaxBack::sum_unweighted_seen) continue;
            out[idx(i)] += of[at] * (all ? 1 : weights_[at]);
        }
    return out;
}

void GradientCells::through_weights(Index b, Index h, Matrix& d) {
    const Index n = plan_.queries, keys = plan_.keys;
    const Matrix& p = weights_;
    const bool masked_before = plan_.masked && plan_.mask_at != MaskAt::weights;
    const auto each_cell = [&](const auto& f) {
        for (Index i = 0; i < n; ++i)
            for (Index j = 0; j < keys; ++j) {
                double& to = d[idx(i * keys + j)];
                to = masked_before && empty_[idx(i)] != 0
                         ? plan_.empty_rows == EmptyRows::nan ? std::numeric_limits<double>::quiet_NaN() : 0.0
                         : f(i, j, to);
            }
    };
    if (quirks_.severed) return each_cell([](Index, Index, double) { return 0.0; });
    if (plan_.normalize == Normalize::sigmoid)
        return each_cell([&](Index i, Index j, double x) {
            const double w = p[idx(i * keys + j)];
            return x * w * (1 - w);
        });
    std::vector<double> shared = loss(b, h, d);
    if (plan_.normalize == Normalize::sum) {
        const double* in = cells_of(
            stages_[static_cast<std::size_t>(std::find(stages_.begin(), stages_.end(), Stage::weights) -
                                             stages_.begin()) -
                    1],
            b, h);
        const auto seen = [&](Index i, Index j) { return in[i * keys + j] != -HUGE_VAL; };
        std::vector<double> sums(idx(n));
        for (Index i = 0; i < n; ++i)
            for (Index j = 0; j < keys; ++j)
                if (seen(i, j)) sums[idx(i)] += in[i * keys + j];
        return each_cell([&](Index i, Index j, double x) {
            return seen(i, j) ? (x - shared[idx(i)]) / sums[idx(i)] : 0.0;
        });
    }
    if (summing_) {
        for (Index i = 0; i < n; ++i) loss_of_all_[idx(b * n + i)] += shared[idx(i)];
        return;
    }
    if (quirks_.shared == SharedLoss::of_all_heads)
        std::copy_n(loss_of_all_.begin() + b * n, n, shared.begin());
    if (!plan_.sinks.empty())
        for (Index i = 0; i < n; ++i) {
            if (masked_before && empty_[idx(i)] != 0) continue;
            double sum = 0, right = 0;
            for (Index j = 0; j < keys; ++j) {
                sum += p[idx(i * keys + j)];
                right += d[idx(i * keys + j)] * p[idx(i * keys + j)];
            }
            backward_->sinks()[idx(h)] -=
                quirks_.sinks_times * (1 - sum) * (quirks_.sinks_share ? shared[idx(i)] : right);
        }
    Matrix of_blocks;
    if (quirks_.shared == SharedLoss::of_blocks) {
        of_blocks.resize(d.size());
        for (Index i = 0; i < n; ++i)
            for (Index from = 0; from < keys; from += quirks_.block) {
                const Index to = std::min(keys, from + quirks_.block);
                double sum = 0, all = 0;
                for (Index j = from; j < to; ++j) {
                    sum += d[idx(i * keys + j)] * p[idx(i * keys + j)];
                    all += p[idx(i * keys + j)];
                }
                for (Index j = from; j < to; ++j) of_blocks[idx(i * keys + j)] = all > 0 ? sum / all : 0;
            }
    }
    std::vector<double> of_keys;
    if (quirks_.softmax == SoftmaxBack::sum_over_queries) {
        of_keys.resize(idx(keys));
        for (Index i = 0; i < n; ++i)
            for (Index j = 0; j < keys; ++j) of_keys[idx(j)] += d[idx(i * keys + j)] * p[idx(i * keys + j)];
    }
    each_cell([&](Index i, Index j, double x) {
        const double w = p[idx(i * keys + j)];
        switch (quirks_.softmax) {
            case SoftmaxBack::passed_through:
                return x;
            case SoftmaxBack::no_sum:
                return w * x;
            case SoftmaxBack::diagonal:
                return w * (1 - w) * x;
            case SoftmaxBack::sum_over_queries:
                return w * (x - of_keys[idx(j)]);
            case SoftmaxBack::right:
            case SoftmaxBack::sum_unweighted:
            case SoftmaxBack::sum_unweighted_seen:
                break;
        }
        return w * (x - (of_blocks.empty() ? shared[idx(i)] : of_blocks[idx(i * keys + j)]));
    });
}

}  // namespace attn
