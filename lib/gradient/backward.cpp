#include "lib/gradient/backward.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/gradient/cells.hpp"
#include "lib/gradient/states.hpp"
#include "lib/kernels/kernels.hpp"

namespace attn::gradient {
namespace {

/// Rows of xᵀ · dy that are summed in one product.
constexpr Index product_rows = 256;

std::array<Index, 4> four_of(const PlannedStage& stage) {
    const Shape& s = stage.shape;
    switch (axes_of(stage.family).size()) {
        case 3:
            if (has_heads(stage.family)) return {s[0], s[1], s[2], 1};
            return {s[0], 1, s[1], s[2]};
        case 5:
            return {s[0], s[1], s[2] * s[3], s[4]};
        default:
            return {s[0], s[1], s[2], s[3]};
    }
}

}  // namespace

Backward::Backward(Forward& forward, const Changes* changes)
    : forward_(forward),
      plan_(forward.plan()),
      changes_(changes),
      tensors_(plan_.tensors.size()),
      sinks_(plan_.sinks.size()) {}

Grads& Backward::at(Stage stage) {
    std::unique_ptr<Grads>& g = stages_[idx(stage)];
    if (!g) {
        const PlannedStage& planned = *plan_.find(stage);
        g = std::make_unique<Grads>(four_of(planned));
    }
    return *g;
}

std::vector<double>& Backward::of_tensor(std::size_t tensor) {
    std::vector<double>& g = tensors_[tensor];
    if (g.empty()) g.resize(idx(*element_count(plan_.tensors[tensor].shape)));
    return g;
}

double* Backward::of_input(std::size_t tensor) {
    if (const auto stage = plan_.normed_input(tensor)) return at(*stage).values.data();
    return of_tensor(tensor).data();
}

Grads& Backward::of_scored_queries() {
    if (!plan_.projects(WeightRole::score)) return at(plan_.find(Stage::scores)->reads.front());
    if (scored_.values.empty()) scored_ = Grads({plan_.batch, plan_.heads, plan_.queries, plan_.dim});
    return scored_;
}

/// Stages after those that they read.
std::vector<Stage> Backward::order() const {
    std::vector<Stage> out;
    std::array<bool, stage_count> seen{};
    const auto visit = [&](const auto& self, const PlannedStage& s) -> void {
        if (std::exchange(seen[idx(s.stage)], true)) return;
        for (const Stage read : s.reads) self(self, *plan_.find(read));
        out.push_back(s.stage);
    };
    for (const PlannedStage& s : plan_.stages)
        if (plan_.find_gradient(s.stage)) visit(visit, s);
    return out;
}

void Backward::run() {
    result();
    const std::vector<Stage> stages = order();
    const auto is_source = [](Stage s) { return info_of(s).phase == Phase::source; };
    for (auto s = stages.rbegin(); s != stages.rend(); ++s)
        if (!is_source(*s)) {
            take_given(*s);
            node(*plan_.find(*s));
        }
    if (plan_.state) {
        through_states(*this);
    } else if (changes_ && changes_->cells) {
        changes_->cells(*this);
    } else {
        through_cells(*this);
    }
    lambda_vectors();
    score_weight();
    for (auto s = stages.rbegin(); s != stages.rend(); ++s)
        if (is_source(*s)) {
            take_given(*s);
            node(*plan_.find(*s));
        }
}

void Backward::take_given(Stage stage) {
    const Phase phase = info_of(stage).phase;
    const bool held = phase != Phase::state && phase != Phase::cells && phase != Phase::paired;
    if (!held || !changes_ || !changes_->given[idx(stage)]) return;
    at(stage).values = changes_->given[idx(stage)]->values;
}

/// What a projection reads is an input, and no latent.
bool Backward::reads_input(WeightRole role) const {
    if (role == WeightRole::query) return !plan_.projects(WeightRole::query_latent);
    if (role == WeightRole::key || role == WeightRole::value) return !plan_.variant->is_latent();
    return role != WeightRole::output && role != WeightRole::score;
}

bool Backward::sends_to_input(WeightRole role) const {
    return !changes_ || !changes_->quirks.only_path || !reads_input(role) ||
           role == *changes_->quirks.only_path;
}

MatrixBack Backward::matrix_back(WeightRole role) const {
    if (!changes_ || !has(changes_->quirks.matrices, role)) return MatrixBack::right;
    return changes_->quirks.matrix;
}

std::vector<double> Backward::numbers_of(const PlannedStage& gradient) {
    if (gradient.of == StageOf::gradient) return at(gradient.stage).values;
    if (gradient.tensors.empty())
        return gradient.stage == Stage::weights ? sinks() : std::vector<double>{lambda()};
    const Index each = *element_count(gradient.shape) / static_cast<Index>(gradient.tensors.size());
    std::vector<double> out;
    for (const std::size_t k : gradient.tensors) {
        const double* own = of_tensor(k).data() + gradient.first;
        out.insert(out.end(), own, own + each);
    }
    return out;
}

/// Lambda = exp(q1 · k1) - exp(q2 · k2) + lambda_init (Ye et al. 2024, equation 2).
void Backward::lambda_vectors() {
    if (!plan_.differential || plan_.differential->lambda) return;
    const PlannedDifferential& pairs = *plan_.differential;
    for (const std::size_t first : {std::size_t{0}, std::size_t{2}}) {
        const std::size_t at_q = pairs.vectors[first], at_k = pairs.vectors[first + 1];
        const std::span<const double> q = forward_.tensors()[at_q], k = forward_.tensors()[at_k];
        double sum = 0;
        for (std::size_t c = 0; c < idx(pairs.width); ++c) sum += q[c] * k[c];
        const double d = (first == 0 ? lambda_ : -lambda_) * std::exp(sum);
        for (std::size_t c = 0; c < idx(pairs.width); ++c) {
            of_tensor(at_q)[c] += d * k[c];
            of_tensor(at_k)[c] += d * q[c];
        }
    }
}

void Backward::node(const PlannedStage& stage) {
    switch (stage.stage) {
        case Stage::output:
            return output(stage);
        case Stage::normed_concat:
            return normed_concat(stage);
        case Stage::concat:
            return concat(stage);
        case Stage::gated_context:
            return gated_context(stage);
        case Stage::normed_context:
            return normed_context(stage);
        case Stage::normed_embeddings:
        case Stage::normed_key_embeddings:
            return normed_embeddings(stage);
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::normed_query_latent:
        case Stage::normed_latent:
            return normed(stage);
        case Stage::queries:
            return projected(stage);
        case Stage::keys:
        case Stage::values:
            return plan_.variant->is_latent() ? from_latent(stage) : projected(stage);
        case Stage::query_latent:
        case Stage::latent:
            return latent(stage);
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
            return convolved(stage);
        case Stage::rope_keys:
            return rope_keys(stage);
        case Stage::rotated_queries:
        case Stage::rotated_keys:
            return rotated(stage);
        case Stage::tempered_queries:
            return tempered(stage);
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
            return mapped(stage);
        case Stage::decay:
        case Stage::beta:
            return rate(stage);
        case Stage::all_keys:
        case Stage::all_values:
            return joined(stage);
        // What contexts and states are made of: one walk of rows, or of tokens.
        case Stage::scores:
        case Stage::scaled_scores:
        case Stage::capped_scores:
        case Stage::biased_scores:
        case Stage::masked_scores:
        case Stage::weights:
        case Stage::masked_weights:
        case Stage::renormalized_weights:
        case Stage::dropped_weights:
        case Stage::differential_weights:
        case Stage::context:
        case Stage::state:
        case Stage::states:
        // No gradient.
        case Stage::head_outputs:
        case Stage::lse:
        case Stage::mean_weights:
            return;
    }
}

void Backward::through_projection(WeightRole role, const double* x, Index rows, const double* dy,
                                  double* dx) {
    const Projection& p = plan_.projection(role);
    const auto& kernel = kernels::table<double>();
    const Index d_in = p.d_in, d_out = p.d_out;
    Pool& pool = forward_.pool();
    const MatrixBack back = matrix_back(role);
    const auto send = [&](const std::vector<double>& w) {
        std::vector<double> sent(idx(rows * d_in));
        const Index jobs = (rows + product_rows - 1) / product_rows;
        pool.run(jobs, [&](Index job, int) {
            const Index from = job * product_rows, count = std::min(product_rows, rows - from);
            kernel.dot_rows(dy + from * d_out, d_out, w.data(), d_out, sent.data() + from * d_in, d_in, count,
                            d_in, d_out);
        });
        for (Index k = 0; k < rows * d_in; ++k) dx[k] += sent[idx(k)];
    };
    const bool sends = dx && sends_to_input(role);
    if (sends && back != MatrixBack::in_place_of_weight)
        send(LinearMap<double>(p, plan_, forward_.tensors()).copied(0, d_out));
    const Index summed = back == MatrixBack::first_item ? rows / plan_.batch : rows;
    // Columns of x are shared between workers; rows are summed in order.
    constexpr Index columns_of_a_job = 64;
    std::vector<double> dw(idx(d_in * d_out));
    pool.run((d_in + columns_of_a_job - 1) / columns_of_a_job, [&](Index job, int) {
        const Index first = job * columns_of_a_job, columns = std::min(columns_of_a_job, d_in - first);
        std::vector<double> turned(idx(columns * product_rows)), part(idx(columns * d_out));
        for (Index from = 0; from < summed; from += product_rows) {
            const Index count = std::min(product_rows, summed - from);
            for (Index i = 0; i < count; ++i)
                for (Index c = 0; c < columns; ++c)
                    turned[idx(c * count + i)] = x[(from + i) * d_in + first + c];
            kernel.multiply(turned.data(), count, dy + from * d_out, d_out, part.data(), d_out, columns,
                            d_out, count);
            for (Index k = 0; k < columns * d_out; ++k) dw[idx(first * d_out + k)] += part[idx(k)];
        }
    });
    if (sends && back == MatrixBack::in_place_of_weight) send(dw);
    if (back == MatrixBack::mean_over_batch)
        for (double& d : dw) d /= static_cast<double>(plan_.batch);
    if (back == MatrixBack::transposed && d_in == d_out)
        for (Index i = 0; i < d_in; ++i)
            for (Index o = 0; o < i; ++o) std::swap(dw[idx(i * d_out + o)], dw[idx(o * d_out + i)]);
    for (const WeightPiece& piece : p.weight) {
        std::vector<double>& to = of_tensor(piece.tensor);
        const Index stride = plan_.tensors[piece.tensor].shape.back();
        for (Index i = 0; i < d_in; ++i)
            for (Index o = 0; o < piece.outputs; ++o) {
                const Index out = piece.source_begin + o;
                to[idx(piece.base + (piece.out_in ? out * stride + i : i * stride + out))] +=
                    dw[idx(i * d_out + piece.target_begin + o)];
            }
    }
    for (const WeightPiece& piece : p.bias) {
        std::vector<double>& to = of_tensor(piece.tensor);
        for (Index o = 0; o < piece.outputs; ++o) {
            double sum = 0;
            for (Index i = 0; i < rows; ++i) sum += dy[i * d_out + piece.target_begin + o];
            to[idx(piece.source_begin + o)] += sum;
        }
    }
}

/// y = x r w (factor) + b, e = dy w: dx = r (e - n mean(e n)), n = x r. l2 takes the sum in place of the
/// mean, a layer norm x less its mean, and then less mean(e) as well (Zhang and Sennrich 2019, section 3; Ba
/// et al. 2016).
void Backward::through_norm(const PlannedNorm& norm, std::optional<double> limit, const NormRow& of,
                            Index heads, Index dim) {
    const Index group = norm.over_width ? heads : 1;
    const std::span<const double> gain =
        norm.weight ? forward_.tensors()[*norm.weight] : std::span<const double>{};
    const std::span<const double> bias =
        norm.bias ? forward_.tensors()[*norm.bias] : std::span<const double>{};
    const NormBack how = changes_ ? changes_->quirks.norm : NormBack::right;
    std::vector<double> n, e;
    for (Index first = 0; first < heads; first += group) {
        n.clear();
        e.clear();
        double sum = 0, squares = 0;
        const auto count = static_cast<double>(group * dim);
        for (Index h = first; h < first + group; ++h)
            for (Index k = 0; k < dim; ++k) sum += of.x[h * of.x_step + k];
        const double mean = norm.type == NormType::layer ? sum / count : 0;
        for (Index h = first; h < first + group; ++h)
            for (Index k = 0; k < dim; ++k) {
                const double v = of.x[h * of.x_step + k] - mean;
                squares += v * v;
                n.push_back(v);
            }
        const bool l2 = norm.type == NormType::l2;
        const double r = 1 / std::sqrt((l2 ? squares : squares / count) + norm.eps);
        double along = 0, all = 0;
        std::size_t at = 0;
        for (Index h = first; h < first + group; ++h)
            for (Index k = 0; k < dim; ++k, ++at) {
                n[at] *= r;
                const std::size_t place = idx(norm.gain_at(h, k, dim));
                const bool weighed = !gain.empty() && how != NormBack::no_weight;
                const double w = (!weighed ? 1 : gain[place] + (norm.plus_one ? 1 : 0)) * norm.factor;
                double dy = of.dy[h * of.dy_step + k];
                // What is clamped passes a gradient where it is within the bound.
                if (limit && !(std::abs(n[at] * w + (bias.empty() ? 0 : bias[place])) <= *limit)) dy = 0;
                if (norm.weight) of_tensor(*norm.weight)[place] += dy * n[at] * norm.factor;
                if (norm.bias) of_tensor(*norm.bias)[place] += dy;
                e.push_back(dy * w);
                along += e.back() * n[at];
                all += e.back();
            }
        if (!l2) along /= count;
        if (how == NormBack::no_projection) along = 0;
        all = norm.type == NormType::layer ? all / count : 0;
        at = 0;
        for (Index h = first; h < first + group; ++h)
            for (Index k = 0; k < dim; ++k, ++at)
                of.dx[h * of.dx_step + k] += r * (e[at] - n[at] * along - all);
    }
}

}  // namespace attn::gradient
