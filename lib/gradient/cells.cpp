#include "lib/gradient/cells.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "lib/kernels/kernels.hpp"

namespace attn::gradient {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
/// Keys whose sums over a block's rows are made in one product.
constexpr Index product_keys = 64;

/// A zero is +0: what no gradient reaches is not -0 either.
double positive(double x) { return x + 0.0; }

/// Adds cellsᵀ · rows to sums: cells [count, keys], rows [count, width] so many numbers apart, sums [keys,
/// width].
class TransposedProduct {
  public:
    void add(const double* cells, Index keys, const double* rows, Index stride, Index count, Index width,
             double* sums) {
        turned_.resize(idx(product_keys * count));
        part_.resize(idx(product_keys * width));
        for (Index from = 0; from < keys; from += product_keys) {
            const Index some = std::min(product_keys, keys - from);
            for (Index j = 0; j < some; ++j)
                for (Index i = 0; i < count; ++i) turned_[idx(j * count + i)] = cells[i * keys + from + j];
            kernels::table<double>().multiply(turned_.data(), count, rows, stride, part_.data(), width, some,
                                              width, count);
            for (Index k = 0; k < some * width; ++k) sums[from * width + k] += part_[idx(k)];
        }
    }

  private:
    std::vector<double> turned_, part_;
};

}  // namespace

Cells::Cells(Backward<double>& backward)
    : backward_(backward), forward_(backward.forward()), plan_(backward.plan()) {
    if (plan_.empty_rows != EmptyRows::nan || !forward_.mask().adds()) return;
    without_numbers_ = std::make_unique<Plan>(plan_);
    std::erase_if(without_numbers_->masks, [](const MaskRule& m) { return m.kind == MaskKind::add; });
    rules_ = std::make_unique<Mask<double>>(*without_numbers_, forward_.tensors());
}

void Cells::compute(const RowBlock& block, DropoutRows& dropout, TraceSpace<double>& space,
                    CellGrads& grads) const {
    forward_.compute_cells(block, dropout, space);
    const auto& kernel = kernels::table<double>();
    const Index keys = plan_.keys, head = plan_.context_head_of(block.head);
    const std::size_t cells = idx(plan_.row_block * keys);
    const View<double>& values = forward_.operands().values;
    const std::vector<const PlannedStage*>& stages = forward_.cells();
    const auto of = [&](Stage s) {
        std::vector<double>& g = grads.of[idx(s)];
        g.resize(cells);
        return g.data();
    };
    double* last = of(stages.back()->stage);
    kernel.dot_rows(backward_.at(Stage::context).row(block.batch, head, block.query), plan_.value_dim,
                    values.row(block.batch, plan_.value_head_of(plan_.kv_head_of(block.head)), 0),
                    values.token, last, keys, block.rows, keys, plan_.value_dim);
    if (plan_.differential) {
        const bool second = block.head == plan_.differential->half_of(head, true, plan_.context_heads());
        const double lambda = forward_.lambda();
        double* together = of(Stage::differential_weights);
        std::copy_n(last, block.rows * keys, together);
        const double* weights = space.at[idx(stages.back()->stage)];
        for (Index k = 0; k < block.rows * keys && second; ++k) {
            grads.lambda -= together[k] * weights[k];
            last[k] = positive(-lambda * last[k]);
        }
    }
    for (std::size_t s = stages.size(); s-- > 1;) {
        const Stage stage = stages[s]->stage, read = stages[s - 1]->stage;
        const double *d = of(stage), *in = space.at[idx(read)];
        double* to = of(read);
        for (Index i = 0; i < block.rows; ++i)
            row(stage, block, i, in + i * keys, d + i * keys, to + i * keys, space, grads);
    }
}

/// A row of weights that has been made a row's scores' shares.
void Cells::weights(const RowBlock& block, Index i, const double* in, TraceSpace<double>& space,
                    const double* d, double* to, CellGrads& grads) const {
    const Index keys = plan_.keys;
    const double* p = space.at[idx(Stage::weights)] + i * keys;
    const bool masked_before = plan_.masked && plan_.mask_at != MaskAt::weights;
    if (masked_before && space.empty[idx(i)] != 0) {
        // The policy's numbers are made of no scores.
        std::fill_n(to, keys, plan_.empty_rows == EmptyRows::nan ? nan : 0.0);
        return;
    }
    if (plan_.normalize == Normalize::sigmoid) {
        for (Index j = 0; j < keys; ++j) to[j] = positive(d[j] * p[j] * (1 - p[j]));
        return;
    }
    double shared = 0;
    for (Index j = 0; j < keys; ++j) shared += d[j] * p[j];
    if (plan_.normalize == Normalize::sum) {
        double sum = 0;
        const auto seen = [&](Index j) { return in[j] != -std::numeric_limits<double>::infinity(); };
        for (Index j = 0; j < keys; ++j)
            if (seen(j)) sum += in[j];
        for (Index j = 0; j < keys; ++j) to[j] = seen(j) ? positive((d[j] - shared) / sum) : 0.0;
        return;
    }
    for (Index j = 0; j < keys; ++j) to[j] = positive(p[j] * (d[j] - shared));
    if (plan_.sinks.empty()) return;
    double sum = 0;
    for (Index j = 0; j < keys; ++j) sum += p[j];
    grads.sinks.resize(plan_.sinks.size());
    grads.sinks[idx(block.head)] -= (1 - sum) * shared;
}

/// From the gradient `d` of a stage of cells to that of the one before it, whose numbers are `in`.
void Cells::row(Stage stage, const RowBlock& block, Index i, const double* in, const double* d, double* to,
                TraceSpace<double>& space, CellGrads& grads) const {
    const Index keys = plan_.keys;
    const std::uint8_t* hidden = space.hidden.empty() ? nullptr : space.hidden.data() + i * keys;
    switch (stage) {
        case Stage::scaled_scores:
            for (Index j = 0; j < keys; ++j) to[j] = positive(d[j] * plan_.scale);
            return;
        case Stage::capped_scores: {
            const double* capped = space.at[idx(stage)] + i * keys;
            for (Index j = 0; j < keys; ++j) {
                const double share = capped[j] / *plan_.softcap;
                to[j] = positive(d[j] * (1 - share * share));
            }
            return;
        }
        case Stage::biased_scores:
            std::copy_n(d, keys, to);
            return;
        case Stage::masked_scores:
            if (rules_ && space.empty[idx(i)] != 0) {
                grads.hidden.resize(idx(keys));
                rules_->hide(block.batch, block.head, block.query + i, grads.hidden.data());
                hidden = grads.hidden.data();
            }
            for (Index j = 0; j < keys; ++j) to[j] = hidden && hidden[j] != 0 ? 0.0 : d[j];
            return;
        case Stage::weights:
            return weights(block, i, in, space, d, to, grads);
        case Stage::masked_weights:
            for (Index j = 0; j < keys; ++j) to[j] = hidden[j] != 0 ? 0.0 : d[j];
            return;
        case Stage::renormalized_weights: {
            if (space.empty[idx(i)] != 0) {
                std::fill_n(to, keys, plan_.empty_rows == EmptyRows::nan ? nan : 0.0);
                return;
            }
            const double* result = space.at[idx(stage)] + i * keys;
            double shared = 0, sum = 0;
            for (Index j = 0; j < keys; ++j) {
                shared += d[j] * result[j];
                sum += in[j];
            }
            for (Index j = 0; j < keys; ++j) to[j] = positive((d[j] - shared) / sum);
            return;
        }
        case Stage::dropped_weights: {
            const std::uint8_t* keep = space.keep.data() + i * keys;
            const double factor = forward_.kept_factor();
            for (Index j = 0; j < keys; ++j) to[j] = keep[j] != 0 ? positive(d[j] * factor) : 0.0;
            return;
        }
        // No cells, or the first and the last of them: see compute().
        case Stage::scores:
        case Stage::differential_weights:
        case Stage::normed_embeddings:
        case Stage::normed_key_embeddings:
        case Stage::queries:
        case Stage::keys:
        case Stage::values:
        case Stage::query_latent:
        case Stage::normed_query_latent:
        case Stage::latent:
        case Stage::normed_latent:
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::rope_keys:
        case Stage::rotated_queries:
        case Stage::rotated_keys:
        case Stage::tempered_queries:
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
        case Stage::decay:
        case Stage::beta:
        case Stage::all_keys:
        case Stage::all_values:
        case Stage::context:
        case Stage::state:
        case Stage::states:
        case Stage::normed_context:
        case Stage::gated_context:
        case Stage::concat:
        case Stage::normed_concat:
        case Stage::head_outputs:
        case Stage::output:
        case Stage::lse:
        case Stage::mean_weights:
            return;
    }
}

namespace {

/// What one job adds to sums that several jobs share.
struct Shares {
    std::vector<double> sinks, additive;
    double lambda = 0;
};

/// Blocks of one head of values of one batch item, one after another.
class HeadWalk {
  public:
    HeadWalk(Backward<double>& backward, const Cells& cells)
        : backward_(backward),
          forward_(backward.forward()),
          plan_(backward.plan()),
          cells_(cells),
          dq_(backward.of_scored_queries()),
          dk_(backward.at(plan_.find(Stage::scores)->reads[1])),
          dv_(backward.at(plan_.find(Stage::context)->reads[1])),
          bias_(plan_.position_bias ? &backward.of_tensor(plan_.position_bias->tensor) : nullptr) {}

    void run(Index batch, Index value_head, TraceSpace<double>& space, CellGrads& grads, Shares& shares) {
        DropoutRows dropout = forward_.dropout();
        for (const Index h : forward_.readers_of(value_head))
            for_blocks(plan_, batch, h, plan_.row_block, [&](const RowBlock& block) {
                cells_.compute(block, dropout, space, grads);
                take(block, value_head, space, grads, shares);
            });
    }

  private:
    void take(const RowBlock& block, Index value_head, const TraceSpace<double>& space, CellGrads& grads,
              Shares& shares) {
        const Index keys = plan_.keys, b = block.batch, h = block.head, kv = plan_.kv_head_of(h);
        const Index head = plan_.context_head_of(h), width = plan_.value_dim;
        const double* dout = backward_.at(Stage::context).row(b, head, block.query);
        if (plan_.differential && h == plan_.differential->half_of(head, true, plan_.context_heads())) {
            scaled_.resize(idx(block.rows * width));
            std::transform(dout, dout + block.rows * width, scaled_.begin(),
                           [&](double d) { return -forward_.lambda() * d; });
            dout = scaled_.data();
        }
        product_.add(space.at[idx(forward_.cells().back()->stage)], keys, dout, width, block.rows, width,
                     dv_.row(b, value_head, 0));
        const double* ds = grads.of[idx(Stage::scores)].data();
        const Operands<double>& operands = forward_.operands();
        const double *q = operands.queries_of(block), *k = operands.keys.row(b, kv, 0);
        if (plan_.additive) {
            additive(block, ds, q, shares);
        } else {
            double* dq = dq_.row(b, h, block.query);
            kernels::table<double>().multiply(ds, keys, k, operands.keys.token, dq, plan_.dim, block.rows,
                                              plan_.dim, keys);
            for (Index n = 0; n < block.rows * plan_.dim; ++n) dq[n] = positive(dq[n]);
            product_.add(ds, keys, q, operands.queries.token, block.rows, plan_.dim, dk_.row(b, kv, 0));
        }
        if (bias_) {
            const double* d = grads.of[idx(Stage::biased_scores)].data();
            for (Index i = 0; i < block.rows; ++i)
                for (Index j = 0; j < plan_.given_keys(); ++j)
                    (*bias_)[idx(plan_.bias_number(b, h, block.query + i, j))] += d[i * keys + j];
        }
        shares.lambda += std::exchange(grads.lambda, 0.0);
        if (grads.sinks.empty()) return;
        shares.sinks.resize(grads.sinks.size());
        shares.sinks[idx(h)] += std::exchange(grads.sinks[idx(h)], 0.0);
    }

    /// v · tanh(q + k): u = d v (1 - t²) goes to both, d t to v.
    void additive(const RowBlock& block, const double* ds, const double* q, Shares& shares) {
        const Operands<double>& operands = forward_.operands();
        const Index b = block.batch, h = block.head, kv = plan_.kv_head_of(h), dim = plan_.dim;
        const bool by_head = static_cast<Index>(operands.additive.size()) > dim;
        const Index first = by_head ? h * dim : Index{0};
        shares.additive.resize(operands.additive.size());
        for (Index i = 0; i < block.rows; ++i)
            for (Index j = 0; j < plan_.keys; ++j) {
                const double d = ds[i * plan_.keys + j];
                const double* key = operands.keys.row(b, kv, j);
                double *dq = dq_.row(b, h, block.query + i), *dk = dk_.row(b, kv, j);
                for (Index c = 0; c < dim; ++c) {
                    const double t = std::tanh(q[i * operands.queries.token + c] + key[c]);
                    const double u = d * operands.additive[idx(first + c)] * (1 - t * t);
                    dq[c] += u;
                    dk[c] += u;
                    shares.additive[idx(first + c)] += d * t;
                }
            }
    }

    Backward<double>& backward_;
    Forward<double>& forward_;
    const Plan& plan_;
    const Cells& cells_;
    Grads<double>&dq_, &dk_, &dv_;
    std::vector<double>* bias_;
    TransposedProduct product_;
    std::vector<double> scaled_;
};

}  // namespace

void through_cells(Backward<double>& backward) {
    Forward<double>& forward = backward.forward();
    const Plan& plan = backward.plan();
    const Cells cells(backward);
    backward.at(Stage::context);  // before workers ask for it
    const Index heads = plan.value_heads();
    // A position bias is of all batch items: they go one after another within a head.
    const Index items = plan.position_bias ? 1 : plan.batch, each = plan.batch / items;
    std::vector<HeadWalk> walks;
    for (std::size_t w = 0; w < forward.spaces().size(); ++w) walks.emplace_back(backward, cells);
    std::vector<CellGrads> grads(walks.size());
    std::vector<Shares> shares(idx(items * heads));
    forward.pool().run(items * heads, [&](Index job, int worker) {
        for (Index b = job / heads * each; b < (job / heads + 1) * each; ++b)
            walks[idx(worker)].run(b, job % heads, forward.spaces()[idx(worker)], grads[idx(worker)],
                                   shares[idx(job)]);
    });
    for (const Shares& s : shares) {
        for (std::size_t h = 0; h < s.sinks.size(); ++h) backward.sinks()[h] += s.sinks[h];
        for (std::size_t k = 0; k < s.additive.size(); ++k)
            backward.of_tensor(*plan.additive)[k] += s.additive[k];
        backward.lambda() += s.lambda;
    }
}

}  // namespace attn::gradient
