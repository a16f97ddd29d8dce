#include "lib/mistakes/seen.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attn {
namespace {

constexpr double hidden_score = -std::numeric_limits<double>::infinity();

/// Calls f(row, columns) for each row of a stage, as long as it says true.
template <class F>
bool all_rows(const Numbers4& x, F&& f) {
    const Index columns = x.shape[3], rows = x.shape[0] * x.shape[1] * x.shape[2];
    for (Index r = 0; r < rows; ++r)
        if (!f(x.values.data() + r * columns, columns)) return false;
    return true;
}

/// The transpose of each square piece is the piece, for a weight [d_in, d_out].
bool symmetric(const std::vector<double>& w, Index d_in, Index d_out) {
    const auto at = [&](Index i, Index j) { return w[idx(i * d_out + j)]; };
    for (Index from = 0; from + d_in <= d_out; from += d_in)
        for (Index i = 0; i < d_in; ++i)
            for (Index j = 0; j < i; ++j)
                if (at(i, from + j) != at(j, from + i)) return false;
    return true;
}

}  // namespace

const Numbers4* Seen::weights() const {
    const Numbers4* masked = stage(Stage::renormalized_weights);
    return masked ? masked : stage(Stage::weights);
}

bool Seen::rows_see_one_key() const {
    const Numbers4* w = weights();
    return w && all_rows(*w, [](const double* row, Index n) {
               return std::count_if(row, row + n, [](double x) { return x != 0; }) <= 1;
           });
}

bool Seen::scores_are_equal(bool all) const {
    // As the softmax reads them.
    const PlannedStage* last = nullptr;
    for (const PlannedStage& s : plan().stages) {
        if (s.stage == Stage::weights) break;
        if (s.family == StageShape::query_key) last = &s;
    }
    if (!last || !stage(last->stage)) return false;
    constexpr double infinite = std::numeric_limits<double>::infinity();
    double least = infinite, most = -infinite;
    return all_rows(*stage(last->stage), [&](const double* row, Index n) {
        if (!all) least = infinite, most = -infinite;
        for (Index j = 0; j < n; ++j)
            if (row[j] != -infinite) most = std::max(most, row[j]), least = std::min(least, row[j]);
        return most <= least;
    });
}

bool Seen::all_zero(Stage s) const {
    const Numbers4* x = stage(s);
    return x && std::all_of(x->values.begin(), x->values.end(), [](double v) { return v == 0; });
}

bool Seen::hides() const {
    if (!plan().masked) return false;
    if (plan().mask_at == MaskAt::weights) {
        const Numbers4 *w = stage(Stage::weights), *m = stage(Stage::masked_weights);
        return w && m && w->values != m->values;
    }
    const Numbers4* x = stage(Stage::masked_scores);
    return x && std::find(x->values.begin(), x->values.end(), hidden_score) != x->values.end();
}

bool Seen::keys_have_equal_values() const {
    const Numbers4* v = stage(Stage::all_values) ? stage(Stage::all_values) : stage(Stage::values);
    if (!v) return false;
    for (Index b = 0; b < v->shape[0]; ++b)
        for (Index h = 0; h < v->shape[1]; ++h)
            for (Index t = 1; t < v->shape[2]; ++t)
                if (!std::equal(v->row(b, h, t), v->row(b, h, t) + v->shape[3], v->row(b, h, 0)))
                    return false;
    return true;
}

bool Seen::is_symmetric(WeightRole role) const {
    const Projection& p = plan().projection(role);
    return symmetric(replay_.weight(role), p.d_in, p.d_out);
}

bool Seen::positions_are_zero() const {
    if (!plan().rope) return false;
    const auto zero = [](const auto& list) {
        return !list.empty() && std::all_of(list.begin(), list.end(), [](auto x) { return x == 0; });
    };
    return zero(plan().rope->query_positions.numbers) && zero(plan().rope->key_positions.numbers);
}

namespace blind {

bool scale_is_one(const Seen& seen, const Mistake& /*m*/) { return seen.plan().scale == 1; }
bool scores_are_zero(const Seen& seen, const Mistake& /*m*/) { return seen.all_zero(Stage::scores); }
bool one_key(const Seen& seen, const Mistake& /*m*/) { return seen.rows_see_one_key(); }
bool equal_scores(const Seen& seen, const Mistake& /*m*/) { return seen.scores_are_equal(false); }
bool all_equal_scores(const Seen& seen, const Mistake& /*m*/) { return seen.scores_are_equal(true); }
bool nothing_hidden(const Seen& seen, const Mistake& /*m*/) { return !seen.hides(); }
bool one_token(const Seen& seen, const Mistake& /*m*/) {
    return seen.plan().queries == 1 && seen.plan().new_keys == 1;
}
bool narrow_heads(const Seen& seen, const Mistake& /*m*/) {
    return seen.plan().query_dim == 1 && seen.plan().key_dim == 1 && seen.plan().value_dim == 1;
}
bool symmetric_weight(const Seen& seen, const Mistake& m) {
    Deviation d{seen.plan(), {}};
    for (const Form& f : m.forms) f.make(d);
    for (std::size_t k = 0; k < projection_count; ++k) {
        const auto role = static_cast<WeightRole>(k);
        if (has(d.quirks.transposed, role) && !seen.is_symmetric(role)) return false;
    }
    return true;
}
bool symmetric_weights(const Seen& seen, const Mistake& /*m*/) {
    const Numbers4* w = seen.weights();
    if (!w || w->shape[2] != w->shape[3]) return false;
    for (Index b = 0; b < w->shape[0]; ++b)
        for (Index h = 0; h < w->shape[1]; ++h)
            for (Index i = 0; i < w->shape[2]; ++i)
                for (Index j = 0; j < i; ++j)
                    if (w->row(b, h, i)[j] != w->row(b, h, j)[i]) return false;
    return true;
}
bool zero_positions(const Seen& seen, const Mistake& /*m*/) { return seen.positions_are_zero(); }
bool wide_window(const Seen& seen, const Mistake& /*m*/) {
    const Plan& p = seen.plan();
    return p.window && (!p.window->left || *p.window->left >= p.keys) &&
           (!p.window->right || *p.window->right >= p.keys);
}

}  // namespace blind
}  // namespace attn
