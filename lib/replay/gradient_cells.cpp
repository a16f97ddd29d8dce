#include "lib/replay/gradient_cells.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/kernels/kernels.hpp"

namespace attn {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// cells [rows, inner] · b [inner, width], added to `to`.
void add_product(const double* cells, Index rows, Index inner, const double* b, Index width, double* to,
                 double times) {
    std::vector<double> made(idx(rows * width));
    kernels::table<double>().multiply(cells, inner, b, width, made.data(), width, rows, width, inner);
    for (std::size_t k = 0; k < made.size(); ++k) to[k] += times * made[k];
}

/// cellsᵀ [inner, rows] · b [rows, width], added to `to`.
void add_transposed(const double* cells, Index rows, Index inner, const double* b, Index width, double* to,
                    double times) {
    std::vector<double> turned(idx(rows * inner));
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < inner; ++j) turned[idx(j * rows + i)] = cells[i * inner + j];
    add_product(turned.data(), inner, rows, b, width, to, times);
}

Plan without_numbers(Plan plan) {
    std::erase_if(plan.masks, [](const MaskRule& m) { return m.kind == MaskKind::add; });
    return plan;
}

}  // namespace

GradientCells::GradientCells(const Replay& replay, const CellQuirks& quirks, const Plan& masked,
                             const HeldStages& read, const HeldStages& forward, const Given& given)
    : replay_(replay),
      plan_(replay.plan()),
      quirks_(quirks),
      read_(read),
      forward_(forward),
      given_(given),
      planned_(plan_, replay.tensors()),
      mask_(masked, replay.tensors()),
      without_numbers_(without_numbers(masked)),
      rules_(without_numbers_, replay.tensors()) {
    for (const PlannedStage& s : plan_.stages)
        if (info_of(s.stage).phase == Phase::cells) stages_.push_back(s.stage);
    if (!stages_.empty()) last_ = stages_.back();
    if (plan_.differential)
        lambda_ =
            plan_.differential->factor([&](std::size_t k, Index at) { return replay.tensor(k)[idx(at)]; });
}

void GradientCells::run(gradient::Backward<double>& backward, bool keep) {
    backward_ = &backward;
    keep_ = keep;
    summing_ = quirks_.shared == SharedLoss::of_all_heads;
    if (summing_) {
        loss_of_all_.assign(idx(plan_.batch * plan_.queries), 0);
        for (Index b = 0; b < plan_.batch; ++b)
            for (Index h = 0; h < plan_.heads; ++h) {
                Matrix d = entering(b, h);
                to_scores(b, h, d);
            }
        summing_ = false;
    }
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index h = 0; h < plan_.heads; ++h) {
            Matrix d = entering(b, h);
            to_values(b, h);
            to_scores(b, h, d);
            if (plan_.additive)
                additive(b, h, d);
            else
                to_queries_and_keys(b, h, d);
        }
}

/// The head of keys that gets what a head of queries sends back.
Index GradientCells::kv_head_of(Index h) const {
    if (quirks_.group != GroupBack::tiled) return plan_.kv_head_of(h);
    return plan_.kv_interleaved ? h % plan_.kv_heads : h / (plan_.heads / plan_.kv_heads);
}

/// How much of it.
double GradientCells::share_of(Index h) const {
    const Index group = plan_.heads / plan_.kv_heads,
                place = plan_.kv_interleaved ? h % group : h / plan_.kv_heads;
    switch (quirks_.group) {
        case GroupBack::mean:
            return 1 / static_cast<double>(group);
        case GroupBack::first:
            return place == 0 ? 1 : 0;
        case GroupBack::last:
            return place == group - 1 ? 1 : 0;
        case GroupBack::sum:
        case GroupBack::tiled:
            break;
    }
    return 1;
}

/// A gradient of a stage that is given takes the place of d; it is kept.
void GradientCells::take(Stage stage, Index b, Index h, Matrix& d) {
    const std::size_t k = idx(stage);
    if (given_[k]) std::copy_n(given_[k]->row(b, h, 0), d.size(), d.begin());
    if (!keep_ || summing_) return;
    if (!made_[k]) {
        const bool paired = has_paired_heads(plan_.find(stage)->family);
        made_[k] = std::make_shared<Numbers4>(std::array<Index, 4>{
            plan_.batch, paired ? plan_.context_heads() : plan_.heads, plan_.queries, plan_.keys});
    }
    std::copy(d.begin(), d.end(), made_[k]->row(b, h, 0));
}

/// What the last weights of a head get: dO Vᵀ.
GradientCells::Matrix GradientCells::entering(Index b, Index h) const {
    const Index n = plan_.queries, keys = plan_.keys, head = plan_.context_head_of(h);
    Matrix d(idx(n * keys));
    const Numbers4& values = *forward_[plan_.find(Stage::context)->reads[1]];
    kernels::table<double>().dot_rows(backward_->at(Stage::context).row(b, head, 0), plan_.value_dim,
                                      values.row(b, plan_.value_head_of(plan_.kv_head_of(h)), 0),
                                      plan_.value_dim, d.data(), keys, n, keys, plan_.value_dim);
    return d;
}

/// Which keys are hidden from the rows of a head, and which rows see none.
void GradientCells::hide(Index b, Index h) {
    const Index n = plan_.queries, keys = plan_.keys;
    hidden_.assign(idx(n * keys), 0);
    empty_.assign(idx(n), 0);
    if (!plan_.masked) return;
    for (Index i = 0; i < n; ++i) {
        std::uint8_t* row = hidden_.data() + i * keys;
        mask_.hide(b, h, i, row);
        empty_[idx(i)] = std::all_of(row, row + keys, [](std::uint8_t x) { return x != 0; }) ? 1 : 0;
        // A row that sees nothing lets NaN through numbers that are added.
        if (empty_[idx(i)] != 0 && plan_.empty_rows == EmptyRows::nan && mask_.adds())
            rules_.hide(b, h, i, row);
    }
}

/// From the gradient of a stage to that of the one before it.
void GradientCells::back(Stage stage, Index b, Index h, Matrix& d) {
    const Index n = plan_.queries, keys = plan_.keys;
    const auto each = [&](const auto& f) {
        for (std::size_t k = 0; k < d.size(); ++k) d[k] = f(k, d[k]);
    };
    if (stage == Stage::scaled_scores) return each([&](std::size_t, double x) { return x * plan_.scale; });
    if (stage == Stage::capped_scores && !quirks_.cap_passes) {
        const double* capped = cells_of(stage, b, h);
        return each([&](std::size_t k, double x) {
            const double share = capped[k] / *plan_.softcap;
            return x * (1 - share * share);
        });
    }
    if (stage == Stage::masked_scores && !quirks_.mask_passes)
        return each([&](std::size_t k, double x) { return hidden_[k] != 0 ? 0.0 : x; });
    if (stage == Stage::weights) return through_weights(b, h, d);
    if (stage == Stage::masked_weights)
        return each([&](std::size_t k, double x) { return hidden_[k] != 0 ? 0.0 : x; });
    if (stage == Stage::renormalized_weights) {
        const double *result = cells_of(stage, b, h), *in = cells_of(Stage::masked_weights, b, h);
        for (Index i = 0; i < n; ++i) {
            double shared = 0, sum = 0;
            for (Index j = 0; j < keys; ++j) {
                shared += d[idx(i * keys + j)] * result[i * keys + j];
                sum += in[i * keys + j];
            }
            for (Index j = 0; j < keys; ++j) {
                double& to = d[idx(i * keys + j)];
                to = empty_[idx(i)] == 0                  ? (to - shared) / sum
                     : plan_.empty_rows == EmptyRows::nan ? not_a_number
                                                          : 0.0;
            }
        }
        return;
    }
    if (stage != Stage::dropped_weights || !plan_.dropout) return;
    DropoutRows rows = backward_->forward().dropout();
    const double p = plan_.dropout->p, factor = backward_->forward().kept_factor();
    std::vector<std::uint8_t> keep(idx(keys));
    for (Index i = 0; i < n; ++i) {
        rows.row(b, h, i, keep.data());
        for (Index j = 0; j < keys; ++j) {
            double& to = d[idx(i * keys + j)];
            switch (quirks_.dropout) {
                case DropoutBack::right:
                    to = keep[idx(j)] != 0 ? to * factor : 0;
                    break;
                case DropoutBack::no_mask:
                    to *= factor;
                    break;
                case DropoutBack::no_mask_no_rescale:
                    break;
                case DropoutBack::no_rescale:
                    to = keep[idx(j)] != 0 ? to : 0;
                    break;
                case DropoutBack::times_p:
                    to = keep[idx(j)] != 0 ? to * p : 0;
                    break;
            }
        }
    }
}

/// Down to the gradient of the scores.
void GradientCells::to_scores(Index b, Index h, Matrix& d) {
    hide(b, h);
    weights(b, h);
    if (plan_.differential) {
        const Index head = plan_.context_head_of(h);
        const bool second = h == plan_.differential->half_of(head, true, plan_.context_heads());
        take(Stage::differential_weights, b, head, d);
        for (std::size_t k = 0; k < d.size() && second; ++k) {
            if (!summing_) backward_->lambda() -= d[k] * last_weights_[k];
            d[k] *= -lambda_;
        }
    }
    take(last_, b, h, d);
    for (std::size_t s = stages_.size(); s-- > 1;) {
        if (summing_ && stages_[s] == Stage::weights) {
            through_weights(b, h, d);
            return;
        }
        if (stages_[s] == Stage::biased_scores) to_bias(b, h, d);
        back(stages_[s], b, h, d);
        if (quirks_.scores_times != 1 && stages_[s] == (plan_.scaled ? Stage::scaled_scores : stages_[1]))
            for (double& x : d) x *= quirks_.scores_times;
        take(stages_[s - 1], b, h, d);
    }
}

void GradientCells::to_values(Index b, Index h) {
    const Index n = plan_.queries, keys = plan_.keys, head = plan_.context_head_of(h),
                width = plan_.value_dim;
    hide(b, h);
    weights(b, h);
    const bool second =
        plan_.differential && h == plan_.differential->half_of(head, true, plan_.context_heads());
    const double times = (second ? -lambda_ : 1.0) * share_of(h);
    if (quirks_.values_of_forward) {
        const double* right = forward_[last_]->row(b, h, 0);
        last_weights_.assign(right, right + n * keys);
    }
    const Matrix& a = quirks_.values_undropped ? undropped_ : last_weights_;
    const double* d = backward_->at(Stage::context).row(b, head, 0);
    double* to =
        backward_->at(plan_.find(Stage::context)->reads[1]).row(b, plan_.value_head_of(kv_head_of(h)), 0);
    if (quirks_.values_not_transposed)
        add_product(a.data(), n, keys, d, width, to, times);
    else
        add_transposed(a.data(), n, keys, d, width, to, times);
}

void GradientCells::to_queries_and_keys(Index b, Index h, const Matrix& ds) {
    const Index n = plan_.queries, keys = plan_.keys, dim = plan_.dim;
    const std::vector<Stage>& read = plan_.find(Stage::scores)->reads;
    const double* k = forward_[read[1]]->row(b, plan_.kv_head_of(h), 0);
    // With W_score queries may be of another width than keys.
    const Index width = forward_[read[0]]->shape[3];
    const double* of_queries = forward_[read[0]]->row(b, h, 0);
    std::vector<double> q(of_queries, of_queries + n * width);
    if (plan_.projects(WeightRole::score)) {
        const std::vector<double> w = replay_.weight(WeightRole::score);
        q.assign(idx(n * dim), 0);
        add_product(of_queries, n, width, w.data(), dim, q.data(), 1);
    }
    add_product(ds.data(), n, keys, k, dim, backward_->of_scored_queries().row(b, h, 0),
                quirks_.queries_times);
    double* dk = backward_->at(read[1]).row(b, kv_head_of(h), 0);
    const double times = quirks_.keys_times * share_of(h);
    if (quirks_.queries_for_keys)
        add_product(ds.data(), n, keys, q.data(), dim, dk, times);
    else
        add_transposed(ds.data(), n, keys, q.data(), dim, dk, times);
}

/// v · tanh(q + k): u = d v (1 - t²) goes to both, d t to v.
void GradientCells::additive(Index b, Index h, const Matrix& ds) {
    const std::vector<Stage>& read = plan_.find(Stage::scores)->reads;
    const std::span<const double> v = replay_.tensor(*plan_.additive);
    const Index dim = plan_.dim, first = static_cast<Index>(v.size()) > dim ? h * dim : Index{0};
    std::vector<double>& dv = backward_->of_tensor(*plan_.additive);
    for (Index i = 0; i < plan_.queries; ++i)
        for (Index j = 0; j < plan_.keys; ++j) {
            const double d = ds[idx(i * plan_.keys + j)];
            const double *q = forward_[read[0]]->row(b, h, i),
                         *k = forward_[read[1]]->row(b, plan_.kv_head_of(h), j);
            double *dq = backward_->at(read[0]).row(b, h, i),
                   *dk = backward_->at(read[1]).row(b, kv_head_of(h), j);
            for (Index c = 0; c < dim; ++c) {
                const double t = std::tanh(q[c] + k[c]);
                const double u = d * v[idx(first + c)] * (1 - t * t);
                dq[c] += quirks_.queries_times * u;
                dk[c] += quirks_.keys_times * share_of(h) * u;
                dv[idx(first + c)] += d * t;
            }
        }
}

void GradientCells::to_bias(Index b, Index h, const Matrix& d) {
    if (!plan_.position_bias || summing_) return;
    if (quirks_.bias == BiasBack::last_item && b + 1 < plan_.batch) return;
    const double times = quirks_.bias == BiasBack::mean ? 1 / static_cast<double>(plan_.batch) : 1;
    std::vector<double>& to = backward_->of_tensor(plan_.position_bias->tensor);
    for (Index i = 0; i < plan_.queries; ++i)
        for (Index j = 0; j < plan_.given_keys(); ++j)
            to[idx(plan_.bias_number(b, h, i, j))] += times * d[idx(i * plan_.keys + j)];
}

}  // namespace attn
