#include "lib/run/findings.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "lib/kernels/kernels.hpp"
#include "lib/plan/needs.hpp"

namespace attn {
namespace {

/// Masked scores hold -inf where the mask put it; so do scores that are made of them.
bool may_be_minus_infinity(const Plan& plan, Stage stage) {
    if (stage == Stage::masked_scores) return true;
    const bool can = is_score(stage) || info_of(stage).holds == Holds::log_sums;
    return can && plan.find(Stage::masked_scores) && is_made_of(plan, stage, Stage::masked_scores);
}

}  // namespace

Findings::Findings(const Plan& plan) : plan_(plan) {
    for (const PlannedStage& s : plan.stages)
        may_be_minus_infinity_.push_back(may_be_minus_infinity(plan, s.stage));
    may_be_minus_infinity_.resize(plan.stages.size() + plan.gradients.size());
}

const PlannedStage& Findings::stage_at(Index place) const {
    const auto stages = static_cast<Index>(plan_.stages.size());
    return place < stages ? plan_.stages[idx(place)] : plan_.gradients[idx(place - stages)];
}

void Findings::start() {
    empty_count_ = most_empty_ = empty_left_out_ = 0;
    first_empty_.reset();
    first_nonfinite_.reset();
}

void Findings::take_first(const std::array<Index, 3>& spot) {
    if (!first_empty_ || spot < *first_empty_) first_empty_ = spot;
}

void Findings::empty_row(Index batch, Index head, Index query) {
    take_first({batch, head, query});
    most_empty_ = std::max(most_empty_, ++empty_count_);
}

void Findings::empty_row_left_out(Index batch, Index head, Index query) {
    take_first({batch, head, query});
    ++empty_left_out_;
}

void Findings::look_at(const Rows& rows) {
    const Index stage = rows.stage->of == StageOf::forward
                            ? rows.stage - plan_.stages.data()
                            : static_cast<Index>(plan_.stages.size()) + (rows.stage - plan_.gradients.data());
    if (first_nonfinite_ && first_nonfinite_->at[0] < stage) return;
    const bool minus_infinity = may_be_minus_infinity_[idx(stage)];
    const auto odd = [&](auto v) { return !std::isfinite(v) && !(minus_infinity && std::isinf(v) && v < 0); };
    const auto look = [&](const auto& values) {
        using T = std::remove_const_t<typename std::decay_t<decltype(values)>::element_type>;
        if (kernels::table<T>().all_finite(values.data(), static_cast<Index>(values.size()), minus_infinity))
            return;
        const auto found = std::find_if(values.begin(), values.end(), odd);
        if (found == values.end()) return;
        const Index k = found - values.begin();
        const Spot spot{{stage, rows.batch, rows.head, rows.token, rows.row_begin + k / rows.column_count(),
                         rows.columns[idx(k % rows.column_count())]},
                        static_cast<double>(*found),
                        rows.stage->family};
        if (!first_nonfinite_ || spot.at < first_nonfinite_->at) first_nonfinite_ = spot;
    };
    if (!is_wide(rows.dtype)) {
        look(rows.values<float>());
    } else {
        look(rows.values<double>());
    }
}

void Findings::merge(const Findings& other) {
    const auto& spot = other.first_nonfinite_;
    if (spot && (!first_nonfinite_ || spot->at < first_nonfinite_->at)) first_nonfinite_ = spot;
    if (other.first_empty_) take_first(*other.first_empty_);
    empty_count_ += other.empty_count_;
    most_empty_ = std::max(most_empty_, empty_count_);
}

std::vector<std::string> Findings::warnings() const {
    std::vector<std::string> out;
    if (first_empty_) {
        const auto& [b, h, q] = *first_empty_;
        const Index count = most_empty_ + empty_left_out_;
        const std::string rows = count == 1 ? "1 row has" : std::to_string(count) + " rows have";
        const char* result = plan_.empty_rows == EmptyRows::zero  ? "weights and context are 0"
                             : plan_.empty_rows == EmptyRows::nan ? "weights and context are NaN"
                                                                  : "weights are 1/keys";
        out.push_back(rows + " no visible key (first: batch " + std::to_string(b) + ", head " +
                      std::to_string(h) + ", query " + std::to_string(q) + "): " + result);
    }
    // NaN rows that were asked for have been reported already.
    const PlannedStage* nonfinite = first_nonfinite_ ? &stage_at(first_nonfinite_->at[0]) : nullptr;
    const bool asked_for = first_empty_ && plan_.empty_rows == EmptyRows::nan && nonfinite &&
                           (nonfinite->of != StageOf::forward || nonfinite->stage == Stage::weights ||
                            is_made_of(plan_, nonfinite->stage, Stage::weights));
    if (first_nonfinite_ && !asked_for) {
        const Spot& p = *first_nonfinite_;
        std::string at = "[" + std::to_string(p.at[1]);
        for (std::size_t k = 2; k < p.at.size(); ++k) {
            const bool is_axis = k == 2   ? has_heads(p.family)
                                 : k == 3 ? p.family == StageShape::states
                                          : k == 5 || !has_one_row(p.family);
            if (is_axis) at += ", " + std::to_string(p.at[k]);
        }
        const std::string value = std::isnan(p.value) ? "NaN" : p.value > 0 ? "Infinity" : "-Infinity";
        out.push_back(std::string(nonfinite->name) + at + "] is " + value +
                      ": the first number that is not finite" +
                      (plan_.queries_shown.left_out > 0 ? ", of the rows that are shown" : ""));
    }
    return out;
}

}  // namespace attn
