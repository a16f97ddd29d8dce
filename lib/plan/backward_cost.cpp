#include "lib/plan/backward_cost.hpp"

#include <algorithm>

#include "lib/plan/blocking.hpp"
#include "lib/plan/needs.hpp"

namespace attn {
namespace {

double d(Index n) { return static_cast<double>(n); }

bool are_cells(Stage s) { return info_of(s).phase == Phase::cells || info_of(s).phase == Phase::paired; }

/// No stage of queries x keys is shown, and what is between scores and weights is a softmax of scaled scores,
/// however they are masked: its backward pass needs the row's maximum, sum and D alone.
bool is_fused(const Plan& plan) {
    const bool plain = !plan.state && !plan.additive && !plan.differential && !plan.dropout &&
                       !plan.softcap && !plan.position_bias && plan.sinks.empty() && !plan.has_appended() &&
                       plan.normalize == Normalize::softmax && plan.keys >= blocking::unit;
    if (!plain || !(plan.factor() > 1e-30 && plan.factor() < 1e30)) return false;
    if (plan.masked && plan.mask_at == MaskAt::weights) return false;
    // An empty row lets NaN through numbers that were added.
    const bool adds = std::any_of(plan.masks.begin(), plan.masks.end(),
                                  [](const MaskRule& m) { return m.kind == MaskKind::add; });
    if (adds && plan.empty_rows == EmptyRows::nan) return false;
    return std::none_of(plan.gradients.begin(), plan.gradients.end(), [](const PlannedStage& s) {
        return s.shown && s.of == StageOf::gradient && are_cells(s.stage);
    });
}

}  // namespace

bool shows_forward(const Plan& plan) {
    return std::any_of(plan.stages.begin(), plan.stages.end(), [](const PlannedStage& s) { return s.shown; });
}

BackwardNeeds backward_needs(const Plan& plan) {
    BackwardNeeds needs;
    const PlannedGradient& gradient = *plan.gradient;
    needs.fused = is_fused(plan);
    needs.at_contexts = needs.fused && gradient.context && !gradient.output && gradient.loss == Loss::none;
    needs.sources = plan.state.has_value();
    if (!plan.state) {
        const std::vector<Stage>&of_scores = plan.find(Stage::scores)->reads,
              &of_context = plan.find(Stage::context)->reads;
        for (const PlannedStage& s : plan.gradients) {
            if (!s.shown) continue;
            const bool of_stage = s.of == StageOf::gradient;
            if (of_stage && s.stage == of_scores[0] && !plan.projects(WeightRole::score)) {
                needs.queries = true;
            } else if (of_stage && s.stage == of_scores[1]) {
                needs.keys = true;
            } else if (of_stage && s.stage == of_context[1]) {
                needs.values = true;
            } else if (!of_stage || info_of(s.stage).phase == Phase::source) {
                needs.sources = true;
            }
        }
    }
    needs.streamed = needs.fused && !needs.sources && plan.projected_given && needs.sums();
    if (needs.sources) needs.queries = needs.keys = needs.values = true;
    return needs;
}

Path backward_path(const Plan& plan) {
    if (!plan.shows_gradients()) return Path::none;
    return plan.state ? Path::recurrent : is_fused(plan) ? Path::fused : Path::traced;
}

double memory_of_gradients(const Plan& plan) {
    if (!plan.shows_gradients()) return 0;
    const BackwardNeeds needs = backward_needs(plan);
    const double element = needs.fused ? d(size_of(plan.dtype)) : 8;
    double numbers = 0, bytes = 0, cells = 0, widest = 0, tensors = 0;
    for (const TensorSource& t : plan.tensors) tensors += d(*element_count(t.shape));
    // In the plan's own type, and alone, the backward pass reads the tensors that are counted already.
    if (!needs.fused || shows_forward(plan)) numbers += tensors;
    if (!needs.streamed) numbers += tensors;
    for (const PlannedStage& s : plan.stages) {
        const Phase phase = info_of(s.stage).phase;
        const double all = s.on_request ? 0 : d(*element_count(s.shape));
        if (phase == Phase::cells || phase == Phase::paired) {
            cells += 2;
        } else if (has_key_columns(s.family) == (s.family == StageShape::per_key)) {
            // Given queries, keys and values stand where they are given, and so may what enters.
            if (needs.streamed && (phase == Phase::source || needs.at_contexts)) continue;
            numbers += 2 * all;
            widest = std::max(widest, all);
        }
    }
    for (const Projection& p : plan.projections) widest = std::max(widest, 2 * d(p.d_in) * d(p.d_out));
    if (plan.state)  // of each worker: kept states, and those between two of them
        numbers += d(plan.threads) * d(2 * blocking::tokens_between_states(plan.keys) + 4) * d(plan.dim) *
                   d(plan.value_dim + 1);
    if (needs.fused) {
        const Index heads = plan.batch * plan.kv_heads, runs = blocking::backward_runs(heads);
        const double workers = d(std::min(Index{plan.threads}, heads * runs)) + (runs > 1 ? 0.4 : 0);
        const Index rows = blocking::fused_back_rows(plan.queries, plan.keys, size_of(plan.dtype));
        const Index own = blocking::parts(plan.queries * (plan.heads / plan.kv_heads), runs) + rows;
        if (needs.sums())
            numbers += workers * blocking::fused_back_numbers(rows, plan.keys, plan.dim, plan.value_dim, own);
    } else {
        bytes +=
            8 * cells * d(plan.threads) * d(blocking::backward_rows(plan.queries, plan.keys)) * d(plan.keys);
    }
    return bytes + element * (numbers + (needs.streamed ? 0 : 3 * widest));
}

/// Scores and weights once more, then a product for each side of each product; sums are of the whole run.
double flops_of_gradients(const Plan& plan) {
    if (!plan.shows_gradients()) return 0;
    const BackwardNeeds needs = backward_needs(plan);
    double rows = d(plan.queries), heads = d(plan.batch) * d(plan.heads), of_dim = 0, of_value_dim = 0;
    const bool cut = !needs.keys && !needs.values;  // nothing is a sum over rows
    if (cut && (needs.streamed || !needs.sums())) {
        rows = d(static_cast<Index>(plan.queries_shown.indices.size()));
        heads = d(static_cast<Index>(plan.batch_shown.indices.size() * plan.heads_shown.indices.size()));
    }
    const bool cells = std::any_of(plan.gradients.begin(), plan.gradients.end(), [](const PlannedStage& s) {
        return s.shown && s.of == StageOf::gradient && are_cells(s.stage);
    });
    if (needs.sums() || cells) of_dim += 1;                       // scores
    if (needs.queries || needs.keys || cells) of_value_dim += 1;  // d_weights
    of_dim += (needs.queries ? 1 : 0) + (needs.keys ? 1 : 0);
    of_value_dim += needs.values ? 1 : 0;
    const bool reads_contexts = !needs.streamed && plan.has_output;
    if (reads_contexts) {
        of_value_dim += 1;
        of_dim += 1;
    }
    double out = 2 * heads * rows * d(plan.keys) * (of_dim * d(plan.dim) + of_value_dim * d(plan.value_dim));
    if (plan.state)
        out = 2 * d(plan.batch) * d(plan.heads) * d(plan.queries) * d(plan.keys) *
              (3 * d(plan.dim) + (plan.has_output ? 3 : 2) * d(plan.value_dim));
    for (const Projection& p : plan.projections)
        if (!p.weight.empty() && needs.sources)
            out += 6 * d(plan.batch) * d(std::max(plan.queries, plan.new_keys)) * d(p.d_in) * d(p.d_out);
    return out;
}

}  // namespace attn
