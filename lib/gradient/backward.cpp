#include "lib/gradient/backward.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "lib/gradient/cells.hpp"
#include "lib/gradient/fused_back.hpp"
#include "lib/gradient/states.hpp"

namespace attn::gradient {
namespace {

/// Numbers that a worker clears or copies at once.
constexpr Index part_numbers = Index{1} << 16;

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

template <class T>
Backward<T>::Backward(Forward<T>& forward, const Changes* changes)
    : forward_(forward),
      plan_(forward.plan()),
      changes_(changes),
      given_(plan_.tensors.size()),
      is_sent_given_(plan_.tensors.size()),
      tensors_(plan_.tensors.size()),
      sinks_(plan_.sinks.size()) {}

template <class T>
FusedBack<T>& Backward<T>::fused() {
    if (!fused_) fused_ = std::make_shared<FusedBack<T>>(forward_.operands(), forward_.pool());
    return *fused_;
}

template <class T>
void Backward<T>::in_parts(Index count, const std::function<void(Index, Index)>& f) {
    forward_.pool().run(blocking::parts(count, part_numbers), [&](Index job, int) {
        f(job * part_numbers, std::min((job + 1) * part_numbers, count));
    });
}

template <class T>
void Backward<T>::clear(std::vector<T>& numbers) {
    in_parts(static_cast<Index>(numbers.size()),
             [&](Index begin, Index end) { std::fill_n(numbers.data() + begin, end - begin, T{0}); });
}

template <class T>
auto Backward<T>::at_first(Stage stage) -> AtFirst {
    std::unique_ptr<Grads<T>>& g = stages_[idx(stage)];
    if (!g) g = std::make_unique<Grads<T>>(four_of(*plan_.find(stage)));
    return {*g, std::exchange(is_sent_[idx(stage)], true)};
}

template <class T>
Grads<T>& Backward<T>::at(Stage stage) {
    const bool is_new = !stages_[idx(stage)];  // made of zeros
    const AtFirst g = at_first(stage);
    if (!g.adds && !is_new) clear(g.grads.values);
    return g.grads;
}

template <class T>
View<T> Backward<T>::d_context() {
    if (!forward_.backward_needs().at_contexts) return at(Stage::context).view();
    const Index head = plan_.queries * plan_.value_dim;
    return {forward_.tensors()[*plan_.gradient->context].data(), plan_.context_heads() * head, head,
            plan_.value_dim};
}

template <class T>
std::vector<double>& Backward<T>::of_tensor(std::size_t tensor) {
    std::vector<double>& g = tensors_[tensor];
    if (g.empty()) g.resize(idx(*element_count(plan_.tensors[tensor].shape)));
    return g;
}

template <class T>
auto Backward<T>::given_at_first(std::size_t tensor) -> GivenAtFirst {
    std::vector<T>& g = given_[tensor];
    if (g.empty()) g.resize(idx(*element_count(plan_.tensors[tensor].shape)));
    const bool adds = is_sent_given_[tensor];
    is_sent_given_[tensor] = true;
    return {g, adds};
}

template <class T>
std::vector<T>& Backward<T>::of_given(std::size_t tensor) {
    const bool is_new = given_[tensor].empty();
    const GivenAtFirst g = given_at_first(tensor);
    if (!g.adds && !is_new) clear(g.numbers);
    return g.numbers;
}

template <class T>
T* Backward<T>::of_input(std::size_t tensor) {
    if (const auto stage = plan_.normed_input(tensor)) return at(*stage).values.data();
    return of_given(tensor).data();
}

template <class T>
auto Backward<T>::into_input(std::size_t tensor) -> To {
    if (const auto stage = plan_.normed_input(tensor)) {
        const AtFirst g = at_first(*stage);
        return {g.grads.values.data(), g.adds};
    }
    const GivenAtFirst g = given_at_first(tensor);
    return {g.numbers.data(), g.adds};
}

template <class T>
Grads<T>& Backward<T>::of_scored_queries() {
    if (!plan_.projects(WeightRole::score)) return at(plan_.find(Stage::scores)->reads.front());
    if (scored_.values.empty()) scored_ = Grads<T>({plan_.batch, plan_.heads, plan_.queries, plan_.dim});
    return scored_;
}

/// Stages after those that they read.
template <class T>
std::vector<Stage> Backward<T>::order() const {
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

template <class T>
void Backward<T>::run() {
    is_sent_.fill(false);
    std::fill(is_sent_given_.begin(), is_sent_given_.end(), false);
    for (std::vector<double>& g : tensors_) std::fill(g.begin(), g.end(), 0);
    std::fill(sinks_.begin(), sinks_.end(), 0);
    std::fill(scored_.values.begin(), scored_.values.end(), T{0});
    lambda_ = 0;
    kept_ = {};
    const BackwardNeeds& needs = forward_.backward_needs();
    // Where they are given for the contexts they need not be copied, and nothing after these has a gradient.
    if (!needs.at_contexts) result();
    const std::vector<Stage> stages = order();
    const auto is_source = [](Stage s) { return info_of(s).phase == Phase::source; };
    for (auto s = stages.rbegin(); s != stages.rend(); ++s)
        if (!is_source(*s) && !needs.at_contexts) {
            take_given(*s);
            node(*plan_.find(*s));
        }
    if (needs.streamed || !needs.sums()) return;
    if constexpr (std::is_same_v<T, double>) {
        if (plan_.state)
            through_states(*this);
        else if (changes_ && changes_->cells)
            changes_->cells(*this);
        else if (!needs.fused)
            through_cells(*this);
    }
    if (needs.fused) through_fused(*this);
    if (!needs.sources) return;
    lambda_vectors();
    score_weight();
    for (auto s = stages.rbegin(); s != stages.rend(); ++s)
        if (is_source(*s)) {
            take_given(*s);
            node(*plan_.find(*s));
        }
}

template <class T>
void Backward<T>::take_given(Stage stage) {
    const Phase phase = info_of(stage).phase;
    const bool held = phase != Phase::state && phase != Phase::cells && phase != Phase::paired;
    if (!held || !changes_ || !changes_->given[idx(stage)]) return;
    const std::vector<double>& from = changes_->given[idx(stage)]->values;
    std::transform(from.begin(), from.end(), at(stage).values.begin(),
                   [](double d) { return static_cast<T>(d); });
}

/// What a projection reads is an input, and no latent.
template <class T>
bool Backward<T>::reads_input(WeightRole role) const {
    if (role == WeightRole::query) return !plan_.projects(WeightRole::query_latent);
    if (role == WeightRole::key || role == WeightRole::value) return !plan_.variant->is_latent();
    return role != WeightRole::output && role != WeightRole::score;
}

template <class T>
bool Backward<T>::sends_to_input(WeightRole role) const {
    return !changes_ || !changes_->quirks.only_path || !reads_input(role) ||
           role == *changes_->quirks.only_path;
}

template <class T>
MatrixBack Backward<T>::matrix_back(WeightRole role) const {
    if (!changes_ || !has(changes_->quirks.matrices, role)) return MatrixBack::right;
    return changes_->quirks.matrix;
}

template <class T>
const T* Backward<T>::in_place(const PlannedStage& gradient) const {
    const bool alone = gradient.of != StageOf::gradient && gradient.tensors.size() == 1;
    if (!alone || given_[gradient.tensors.front()].empty()) return nullptr;
    return given_[gradient.tensors.front()].data() + gradient.first;
}

template <class T>
std::vector<double> Backward<T>::numbers_of(const PlannedStage& gradient) {
    std::vector<double> out;
    const auto append = [&](const auto& from, Index first, Index count) {
        out.insert(out.end(), from.begin() + first, from.begin() + first + count);
    };
    const Index all = *element_count(gradient.shape);
    if (gradient.of == StageOf::gradient) {
        append(at(gradient.stage).values, 0, all);
    } else if (gradient.of == StageOf::input) {
        append(of_given(gradient.tensors.front()), 0, all);
    } else if (gradient.tensors.empty()) {
        return gradient.stage == Stage::weights ? sinks() : std::vector<double>{lambda()};
    } else {
        const Index each = all / static_cast<Index>(gradient.tensors.size());
        for (const std::size_t k : gradient.tensors)
            if (given_[k].empty())
                append(of_tensor(k), gradient.first, each);
            else
                append(given_[k], gradient.first, each);
    }
    return out;
}

/// Lambda = exp(q1 · k1) - exp(q2 · k2) + lambda_init (Ye et al. 2024, equation 2).
template <class T>
void Backward<T>::lambda_vectors() {
    if (!plan_.differential || plan_.differential->lambda) return;
    const PlannedDifferential& pairs = *plan_.differential;
    for (const std::size_t first : {std::size_t{0}, std::size_t{2}}) {
        const std::size_t at_q = pairs.vectors[first], at_k = pairs.vectors[first + 1];
        const std::span<const T> q = forward_.tensors()[at_q], k = forward_.tensors()[at_k];
        double sum = 0;
        for (std::size_t c = 0; c < idx(pairs.width); ++c)
            sum += static_cast<double>(q[c]) * static_cast<double>(k[c]);
        const double d = (first == 0 ? lambda_ : -lambda_) * std::exp(sum);
        for (std::size_t c = 0; c < idx(pairs.width); ++c) {
            of_tensor(at_q)[c] += d * static_cast<double>(k[c]);
            of_tensor(at_k)[c] += d * static_cast<double>(q[c]);
        }
    }
}

template <class T>
void Backward<T>::node(const PlannedStage& stage) {
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

/// y = x r w (factor) + b, e = dy w: dx = r (e - n mean(e n)), n = x r. l2 takes the sum in place of the
/// mean, a layer norm x less its mean, and then less mean(e) as well (Zhang and Sennrich 2019, section 3; Ba
/// et al. 2016).
template <class T>
void Backward<T>::through_norm(const PlannedNorm& norm, std::optional<double> limit, const NormRow& of,
                               Index heads, Index dim) {
    const Index group = norm.over_width ? heads : 1;
    const auto numbers = [&](const std::optional<std::size_t>& tensor) {
        return tensor ? forward_.tensors()[*tensor] : std::span<const T>{};
    };
    const std::span<const T> gain = numbers(norm.weight), bias = numbers(norm.bias);
    const NormBack how = changes_ ? changes_->quirks.norm : NormBack::right;
    std::vector<double> n, e;
    for (Index first = 0; first < heads; first += group) {
        n.clear();
        e.clear();
        double sum = 0, squares = 0;
        const auto count = static_cast<double>(group * dim);
        for (Index h = first; h < first + group; ++h)
            for (Index k = 0; k < dim; ++k) sum += static_cast<double>(of.x[h * of.x_step + k]);
        const double mean = norm.type == NormType::layer ? sum / count : 0;
        for (Index h = first; h < first + group; ++h)
            for (Index k = 0; k < dim; ++k) {
                const double v = static_cast<double>(of.x[h * of.x_step + k]) - mean;
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
                const double w =
                    (!weighed ? 1 : static_cast<double>(gain[place]) + (norm.plus_one ? 1 : 0)) * norm.factor;
                auto dy = static_cast<double>(of.dy[h * of.dy_step + k]);
                // What is clamped passes a gradient where it is within the bound.
                if (limit &&
                    !(std::abs(n[at] * w + (bias.empty() ? 0 : static_cast<double>(bias[place]))) <= *limit))
                    dy = 0;
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
                of.dx[h * of.dx_step + k] += static_cast<T>(r * (e[at] - n[at] * along - all));
    }
}

#define ATTN_BACKWARD(T)                                                                               \
    template Backward<T>::Backward(Forward<T>&, const Changes*);                                       \
    template std::vector<double> Backward<T>::numbers_of(const PlannedStage&);                         \
    template const T* Backward<T>::in_place(const PlannedStage&) const;                                \
    template MatrixBack Backward<T>::matrix_back(WeightRole) const;                                    \
    template bool Backward<T>::sends_to_input(WeightRole) const;                                       \
    template FusedBack<T>& Backward<T>::fused();                                                       \
    template Grads<T>& Backward<T>::at(Stage);                                                         \
    template View<T> Backward<T>::d_context();                                                         \
    template std::vector<double>& Backward<T>::of_tensor(std::size_t);                                 \
    template std::vector<T>& Backward<T>::of_given(std::size_t);                                       \
    template T* Backward<T>::of_input(std::size_t);                                                    \
    template Backward<T>::To Backward<T>::into_input(std::size_t);                                     \
    template Backward<T>::AtFirst Backward<T>::at_first(Stage);                                        \
    template Backward<T>::GivenAtFirst Backward<T>::given_at_first(std::size_t);                       \
    template void Backward<T>::in_parts(Index, const std::function<void(Index, Index)>&);              \
    template void Backward<T>::clear(std::vector<T>&);                                                 \
    template Grads<T>& Backward<T>::of_scored_queries();                                               \
    template void Backward<T>::run();                                                                  \
    template void Backward<T>::through_norm(const PlannedNorm&, std::optional<double>, const NormRow&, \
                                            Index, Index);
ATTN_BACKWARD(float)
ATTN_BACKWARD(double)
#undef ATTN_BACKWARD

}  // namespace attn::gradient
