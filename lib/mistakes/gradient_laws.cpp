// What holds between gradients whatever the numbers are.
#include <algorithm>
#include <cmath>

#include "lib/mistakes/gradient_mistakes.hpp"
#include "lib/run/mask.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Sums of terms that cancel, in float32.
constexpr double law_slack = 1e-4;

struct Sum {
    double value = 0, size = 0;
    void add(double x) {
        value += x;
        size += std::abs(x);
    }
    bool equals(const Sum& other) const {
        return std::abs(value - other.value) <= law_slack * std::max(size, other.size) + 1e-12;
    }
};

class Laws {
  public:
    Laws(const GradientReplay& replay, const HeldStages& forward, const HeldGradients& theirs,
         const HeldGradients& ours)
        : replay_(replay), plan_(replay.plan()), forward_(forward), theirs_(theirs), ours_(ours) {}

    std::vector<std::string> run() {
        if (!plan_.state) {
            rows_of_scores();
            hidden_cells();
            equal_products();
            values_and_contexts();
        }
        turned_rows();
        normed_rows();
        return std::move(out_);
    }

  private:
    static const Numbers4* of(const GradientReplay& replay, const HeldGradients& held, Stage stage) {
        const auto place = replay.place("d_" + std::string(info_of(stage).name));
        return place && held[*place] ? held[*place].get() : nullptr;
    }
    const Numbers4* theirs(Stage stage) const { return of(replay_, theirs_, stage); }
    const Numbers4* ours(Stage stage) const { return of(replay_, ours_, stage); }
    static std::string name(Stage s) { return "d_" + std::string(info_of(s).name); }

    /// A law of single rows: broken in theirs, kept in ours.
    template <class F>
    void each_row(Stage stage, const F& kept, const std::string& words) {
        const Numbers4 *t = theirs(stage), *o = ours(stage);
        if (!t || !o) return;
        Index broken = 0, first = -1;
        for (Index b = 0; b < t->shape[0]; ++b)
            for (Index h = 0; h < t->shape[1]; ++h)
                for (Index i = 0; i < t->shape[2]; ++i) {
                    if (kept(*t, b, h, i) || !kept(*o, b, h, i)) continue;
                    if (broken++ == 0) first = i;
                }
        if (broken == 0) return;
        out_.push_back(name(stage) + ": " + words + ", and in " + std::to_string(broken) + " of " +
                       std::to_string(t->shape[0] * t->shape[1] * t->shape[2]) +
                       " rows they do not, first in row " + std::to_string(first));
    }

    Stage softmax_reads() const { return plan_.find(Stage::weights)->reads.front(); }

    void rows_of_scores() {
        if (plan_.normalize != Normalize::softmax || !plan_.sinks.empty()) return;
        each_row(
            softmax_reads(),
            [](const Numbers4& x, Index b, Index h, Index i) {
                Sum sum;
                for (Index j = 0; j < x.shape[3]; ++j) sum.add(x.row(b, h, i)[j]);
                return sum.equals({});
            },
            "rows of what a softmax reads sum to 0");
    }

    void hidden_cells() {
        if (!plan_.masked || plan_.mask_at == MaskAt::weights) return;
        const Mask<double> mask(plan_, replay_.replay().tensors());
        std::vector<std::uint8_t> hidden(idx(plan_.keys));
        each_row(
            softmax_reads(),
            [&](const Numbers4& x, Index b, Index h, Index i) {
                mask.hide(b, h, i, hidden.data());
                for (Index j = 0; j < plan_.keys; ++j)
                    if (hidden[idx(j)] != 0 && x.row(b, h, i)[j] != 0) return false;
                return true;
            },
            "hidden cells get 0");
    }

    static Sum product(const Numbers4& x, const Numbers4& d) {
        Sum out;
        for (std::size_t k = 0; k < x.values.size() && k < d.values.size(); ++k)
            out.add(x.values[k] * d.values[k]);
        return out;
    }

    /// Of what the scores read: each product with a key is one with a query.
    void equal_products() {
        if (plan_.additive) return;
        const std::vector<Stage>& read = plan_.find(Stage::scores)->reads;
        const Numbers4 *q = theirs(read[0]), *k = theirs(read[1]);
        if (!q || !k) return;
        const Sum of_queries = product(*forward_[read[0]], *q), of_keys = product(*forward_[read[1]], *k);
        if (of_queries.equals(of_keys)) return;
        out_.push_back("the sum of " + std::string(info_of(read[0]).name) + " * " + name(read[0]) + " is " +
                       significant(of_queries.value, 4) + ", that of " + std::string(info_of(read[1]).name) +
                       " * " + name(read[1]) + " is " + significant(of_keys.value, 4) +
                       ": they are equal, whatever d_scores is");
    }

    void values_and_contexts() {
        const Stage read = plan_.find(Stage::context)->reads[1];
        const Numbers4 *v = theirs(read), *o = ours(read), *d = theirs(Stage::context);
        if (!d) d = ours(Stage::context);
        if (!v || !o || !d || plan_.differential) return;
        const auto sums = [&](const Numbers4& x, Index b, Index h, Index c) {
            Sum sum;
            for (Index t = 0; t < x.shape[2]; ++t) sum.add(x.row(b, h, t)[c]);
            return sum;
        };
        for (Index b = 0; b < v->shape[0]; ++b)
            for (Index g = 0; g < v->shape[1]; ++g)
                for (Index c = 0; c < v->shape[3]; ++c) {
                    Sum of_contexts;
                    for (Index h = 0; h < plan_.heads; ++h)
                        if (plan_.kv_head_of(h) == g)
                            for (Index i = 0; i < plan_.queries; ++i) of_contexts.add(d->row(b, h, i)[c]);
                    if (!sums(*o, b, g, c).equals(of_contexts)) return;  // weights that do not sum to 1
                    const Sum of_values = sums(*v, b, g, c);
                    if (of_values.equals(of_contexts)) continue;
                    out_.push_back(name(read) +
                                   ": the sum over keys is that of d_context over queries where weights sum "
                                   "to 1; in column " +
                                   std::to_string(c) + " of head " + std::to_string(g) + " it is " +
                                   significant(of_values.value, 4) + ", not " +
                                   significant(of_contexts.value, 4));
                    return;
                }
    }

    /// A rotation keeps the norms of rows.
    void turned_rows() {
        if (!plan_.rope || plan_.rope->cos || plan_.rope->amplitude != 1) return;
        for (const Stage turned : {Stage::rotated_queries, Stage::rotated_keys}) {
            const PlannedStage* s = plan_.find(turned);
            if (!s || s->reads.size() != 1) continue;
            const Stage before = s->reads.front();
            const Numbers4* late = theirs(turned);
            if (!late) late = ours(turned);
            if (!late) continue;
            each_row(
                before,
                [&](const Numbers4& x, Index b, Index h, Index i) {
                    Sum one, other;
                    for (Index c = 0; c < x.shape[3]; ++c) {
                        one.add(x.row(b, h, i)[c] * x.row(b, h, i)[c]);
                        other.add(late->row(b, h, i)[c] * late->row(b, h, i)[c]);
                    }
                    return one.equals(other);
                },
                "rows keep their length through a rotation");
        }
    }

    /// What is normed gets nothing along itself.
    void normed_rows() {
        for (const Stage normed : {Stage::normed_queries, Stage::normed_keys, Stage::normed_values}) {
            const PlannedStage* s = plan_.find(normed);
            if (!s || plan_.norm_of(normed).over_width) continue;
            const Stage before = s->reads.front();
            const Numbers4* x = forward_[before].get();
            if (!x) continue;
            each_row(
                before,
                [&](const Numbers4& d, Index b, Index h, Index i) {
                    Sum sum;
                    for (Index c = 0; c < d.shape[3]; ++c) sum.add(x->row(b, h, i)[c] * d.row(b, h, i)[c]);
                    return sum.equals({});
                },
                "x * dx sums to 0 behind a norm");
        }
    }

    const GradientReplay& replay_;
    const Plan& plan_;
    const HeldStages& forward_;
    const HeldGradients &theirs_, &ours_;
    std::vector<std::string> out_;
};

}  // namespace

std::vector<std::string> broken_laws(const GradientReplay& replay, const HeldStages& forward,
                                     const HeldGradients& theirs, const HeldGradients& ours) {
    return Laws(replay, forward, theirs, ours).run();
}

}  // namespace attn
