#include "lib/mistakes/dropout_seen.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "lib/mistakes/least_squares.hpp"

namespace attn {
namespace {

/// Their contexts of some rows, as far as their numbers give them.
class DroppedContexts {
  public:
    DroppedContexts(const Replay& replay, const StageSet& theirs)
        : plan_(replay.plan()), context_(find(theirs, Stage::context)), concat_(find(theirs, Stage::concat)) {
        const Index width = plan_.heads * plan_.value_dim;
        if (plan_.gate) concat_ = nullptr;
        if (context_ && static_cast<Index>(context_->values.size()) != plan_.batch * plan_.queries * width)
            context_ = nullptr;
        if (concat_ && static_cast<Index>(concat_->values.size()) != plan_.batch * plan_.queries * width)
            concat_ = nullptr;
        output_ = find(theirs, Stage::output);
        if (plan_.gate || plan_.concat_norm || !plan_.projects(WeightRole::output) ||
            plan_.output_dim < width || width > 512)
            output_ = nullptr;
        if (output_ &&
            static_cast<Index>(output_->values.size()) != plan_.batch * plan_.queries * plan_.output_dim)
            output_ = nullptr;
        if (!output_ || context_ || concat_) return;
        // Rows of W_out as the columns of a least-squares problem.
        std::vector<std::vector<double>> rows(
            static_cast<std::size_t>(width), std::vector<double>(static_cast<std::size_t>(plan_.output_dim)));
        bias_ = replay.bias(WeightRole::output);
        const std::vector<double> weight = replay.weight(WeightRole::output);
        for (std::size_t i = 0; i < rows.size(); ++i)
            std::copy_n(weight.begin() + static_cast<std::ptrdiff_t>(i) * plan_.output_dim, plan_.output_dim,
                        rows[i].begin());
        map_.emplace(std::move(rows));
    }
    bool any() const { return context_ || concat_ || output_; }

    /// [heads * value_dim] of a query; empty where it cannot be told.
    std::vector<double> row(Index b, Index i) const {
        const Index dim = plan_.value_dim, width = plan_.heads * dim, n = plan_.queries;
        std::vector<double> out(static_cast<std::size_t>(width));
        if (context_) {
            for (Index h = 0; h < plan_.heads; ++h)
                std::copy_n(context_->values.begin() + ((b * plan_.heads + h) * n + i) * dim, dim,
                            out.begin() + h * dim);
        } else if (concat_) {
            std::copy_n(concat_->values.begin() + (b * n + i) * width, width, out.begin());
        } else {
            std::vector<double> y(static_cast<std::size_t>(plan_.output_dim));
            for (std::size_t o = 0; o < y.size(); ++o)
                y[o] = output_->values[idx(b * n + i) * y.size() + o] - bias_[o];
            out = map_->solved(std::move(y));
        }
        return out;
    }

  private:
    const Plan& plan_;
    const WholeStage *context_, *concat_, *output_ = nullptr;
    std::optional<LeastSquares> map_;
    std::vector<double> bias_;
};

}  // namespace

std::optional<Cause> dropout_seen(const Replay& replay, const StageSet& theirs) {
    const Plan& p = replay.plan();
    if (p.state || p.dropout || p.differential) return std::nullopt;
    // Rows in which a head is wide enough, the first ones; all where weights are there.
    const Stage stage = p.find(Stage::context)->reads.front();
    const WholeStage* weights = find(theirs, stage);
    if (!weights) weights = find(theirs, Stage::dropped_weights);
    const auto cells = static_cast<std::size_t>(p.batch * p.heads * p.queries * p.keys);
    if (weights && weights->values.size() != cells) weights = nullptr;
    const DroppedContexts contexts(replay, theirs);
    if (!weights && !contexts.any()) return std::nullopt;
    Slice slice;
    for (Index i = 0; i < std::min(p.queries, Index{64}); ++i) slice.rows.push_back(i);
    const HeldStages held = replay.run(replay.none(), {}, slice);
    const Held& ours = held[stage];
    const Held& values = held[Stage::all_values] ? held[Stage::all_values] : held[Stage::values];
    Index zeros = 0, kept = 0;
    double factor = 0, off = 0;
    std::vector<double> ratios;
    for (Index b = 0; b < p.batch; ++b)
        for (const Index i : slice.rows) {
            const std::vector<double> context = weights ? std::vector<double>{} : contexts.row(b, i);
            if (!weights && context.empty()) continue;
            for (Index h = 0; h < p.heads; ++h) {
                const double* mine = ours->row(b, h, i);
                std::vector<Index> seen;
                for (Index j = 0; j < p.keys; ++j)
                    if (mine[j] > 1e-4) seen.push_back(j);
                std::vector<double> found;
                if (weights) {
                    for (const Index j : seen)
                        found.push_back(
                            weights->values[idx(((b * p.heads + h) * p.queries + i) * p.keys + j)]);
                } else {
                    if (static_cast<Index>(seen.size()) > p.value_dim) continue;
                    std::vector<std::vector<double>> columns;
                    for (const Index j : seen) {
                        const double* v = values->row(b, p.kv_head_of(h), j);
                        columns.emplace_back(v, v + p.value_dim);
                    }
                    const auto first = context.begin() + h * p.value_dim;
                    found = LeastSquares(std::move(columns)).solved({first, first + p.value_dim});
                    if (found.empty()) continue;
                }
                for (std::size_t k = 0; k < seen.size(); ++k) ratios.push_back(found[k] / mine[seen[k]]);
            }
        }
    // Near 0, or near one factor above 1.
    for (const double r : ratios) {
        if (!std::isfinite(r)) return std::nullopt;
        if (std::abs(r) < 0.02) {
            ++zeros;
        } else {
            factor += r;
            ++kept;
        }
    }
    if (zeros == 0 || kept < 2) return std::nullopt;
    factor /= static_cast<double>(kept);
    for (const double r : ratios)
        if (std::abs(r) >= 0.02) off = std::max(off, std::abs(r / factor - 1));
    if (off > 0.02 || factor < 1.01) return std::nullopt;
    Cause out;
    const MistakeRow& row = mistake_row("dropout_left_on");
    out.id = row.id;
    const int percent = static_cast<int>(std::lround(100 * (1 - 1 / factor)));
    out.hint =
        std::string(row.did) + " (p is about " + std::to_string(percent) + " %): " + std::string(row.hint);
    return out;
}

}  // namespace attn
