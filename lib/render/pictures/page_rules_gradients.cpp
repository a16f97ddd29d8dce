// Rules of gradients: what enters, and what each stage that reads another sends back. What has no rule here
// is told by explain --cell, and the page says so.
#include <algorithm>
#include <string>
#include <vector>

#include "lib/render/pictures/page_ruler.hpp"

namespace attn::page_rules {
namespace {

Text over(const char* variable, Index n, const Text& what, const Text& condition = {}) {
    return Text("sum(") + variable + ", 0, " + digits(n) + ", " +
           (condition.empty() ? "" : condition + ", ") + what + ")";
}

/// The rule of one gradient: parts that are added up. A part without a rule leaves all of it without.
class Backwards {
  public:
    Backwards(Ruler& ruler, const PlannedStage& of) : r_(ruler), plan_(ruler.plan), of_(of) {}

    void write() {
        if (of_.of == StageOf::parameter) {
            parameter();
        } else if (of_.of == StageOf::input) {
            input();
        } else {
            stage();
        }
        if (!known_) r_.out.clear();
        if (!known_ || finished_) return;
        Text all;
        for (const Text& p : parts_) all += (all.empty() ? "" : " + ") + p;
        r_.out.result(all.empty() ? "0" : all, all.empty() ? "nothing reads it" : "");
    }

  private:
    /// A number of the gradient of a stage: of the cell's batch item.
    Text d(Stage stage, const Text& head, const Text& row, const Text& column) const {
        return "d_" + r_.cell(stage, head, row, column);
    }
    Text d_here(Stage stage) const { return d(stage, "h", "i", "j"); }
    Text here() const { return r_.cell(of_.stage, "h", "i", "j"); }
    void add(const Text& part) { parts_.push_back(part); }
    void unknown() { known_ = false; }
    /// Lines with conditions: nothing is added to them.
    void finish() { finished_ = true; }

    void stage() {
        if (of_.stage == Stage::state || of_.stage == Stage::states) return unknown();
        entering();
        for (const PlannedStage& by : plan_.stages)
            if (plan_.find_gradient(by.stage) &&
                std::find(by.reads.begin(), by.reads.end(), of_.stage) != by.reads.end())
                sent_back(by);
        layers(of_.stage, {});
    }

    void entering() {
        const PlannedGradient& g = *plan_.gradient;
        const Shape& s = of_.shape;
        const bool heads = has_heads(of_.family);
        const Text flat = "((b*" + digits(heads ? s[1] : 1) + "+" + (heads ? "h" : "0") + ")*" +
                          digits(s[s.size() - 2]) + "+i)*" + digits(s.back()) + "+j";
        if (of_.stage == Stage::context && g.context) add(r_.input(*g.context, flat));
        if (of_.stage != g.result) return;
        if (g.output) add(r_.input(*g.output, flat));
        if (g.loss == Loss::sum) add("1");
        if (g.loss == Loss::mean_squared_error)
            add("2 * (" + here() + " - " + r_.input(*g.target, flat) + ") / " + digits(*element_count(s)));
    }

    void sent_back(const PlannedStage& by) {
        switch (by.stage) {
            case Stage::context:
                if (plan_.state) return unknown();
                return of_.stage == by.reads[0] ? to_weights(by) : to_values(by);
            case Stage::differential_weights:
                return differential();
            case Stage::dropped_weights:
                return dropped();
            case Stage::renormalized_weights:
                return renormalized();
            case Stage::masked_scores:
            case Stage::masked_weights:
                r_.out.fixed("hidden(b,h,i,j) & own == 0", "0", "hidden: no part in the result");
                return add(d_here(by.stage));
            case Stage::weights:
                return weights();
            case Stage::biased_scores:
                return add(d_here(by.stage));
            case Stage::capped_scores:
                return add(d_here(by.stage) + " * (1 - sq(" + r_.cell(by.stage, "h", "i", "j") + " / " +
                           digits(*plan_.softcap) + "))");
            case Stage::scaled_scores:
                return add(d_here(by.stage) + (plan_.scale_root > 0
                                                   ? " / sqrt(" + digits(plan_.scale_root) + ")"
                                                   : " * " + digits(plan_.scale)));
            case Stage::scores:
                return of_.stage == by.reads[0] ? to_queries(by) : to_keys(by);
            case Stage::concat:
                return add(d(by.stage, "0", "i", "h*" + digits(plan_.value_dim) + "+j"));
            case Stage::gated_context:
                if (of_.stage != by.reads[0]) return;
                r_.gate();
                return add(d_here(by.stage) + " * (" + r_.opening() + ")");
            case Stage::normed_queries:
            case Stage::normed_keys:
            case Stage::normed_values:
            case Stage::normed_query_latent:
            case Stage::normed_latent:
            case Stage::normed_context:
            case Stage::normed_concat:
                return norm(by);
            case Stage::rotated_queries:
            case Stage::rotated_keys:
                return rotation(by);
            case Stage::tempered_queries:
                return add(d_here(by.stage) + " * " + r_.query_factor());
            case Stage::all_keys:
            case Stage::all_values:
                return add(d(by.stage, "h", "i+" + digits(plan_.past), "j"));
            case Stage::mapped_queries:
            case Stage::mapped_keys:
            case Stage::mapped_values:
            case Stage::convolved_queries:
            case Stage::convolved_keys:
            case Stage::convolved_values:
                return unknown();
            default:  // layers, and what sends nothing back
                return;
        }
    }

    // Queries x keys.

    void to_weights(const PlannedStage& by) {
        add(over("k", plan_.value_dim,
                 d(by.stage, "h", "i", "k") + " * " + r_.cell(by.reads[1], r_.values_of("h"), "j", "k")));
    }
    void to_values(const PlannedStage& by) {
        const Text w = r_.cell(by.reads[0], "g", "k", "i");
        add(over("g", plan_.context_heads(),
                 over("k", plan_.queries, w + " * " + d(by.stage, "g", "k", "j"), w + " != 0"),
                 r_.values_of("g") + " == h"));
    }
    void to_queries(const PlannedStage& by) {
        const Text ds = d(by.stage, "h", "i", "k");
        const auto along = [&](const Text& column) {
            return over("k", plan_.keys, ds + " * " + r_.cell(by.reads[1], r_.kv_of("h"), "k", column),
                        ds + " != 0");
        };
        if (plan_.additive)
            return add(over("k", plan_.keys,
                            ds + " * " +
                                slope(r_.cell(by.reads[0], "h", "i", "j"),
                                      r_.cell(by.reads[1], r_.kv_of("h"), "k", "j"), "h"),
                            ds + " != 0"));
        if (!plan_.projects(WeightRole::score)) return add(along("j"));
        add(over("d", plan_.dim,
                 "as(\"d(query · W_score)\", " + along("d") + ") * W(" +
                     Ruler::quoted_role(WeightRole::score) + ", j, d)"));
    }
    void to_keys(const PlannedStage& by) {
        const Text ds = d(by.stage, "g", "k", "i");
        Text q = r_.cell(by.reads[0], "g", "k", "j");
        if (plan_.projects(WeightRole::score))
            q = "as(\"query · W_score\", " +
                r_.projected(WeightRole::score, "j", r_.cell(by.reads[0], "g", "k", "d"), "d") + ")";
        if (plan_.additive)
            q = slope(r_.cell(by.reads[0], "g", "k", "j"), r_.cell(by.reads[1], "h", "i", "j"), "g");
        add(over("g", plan_.heads, over("k", plan_.queries, ds + " * " + q, ds + " != 0"),
                 r_.kv_of("g") + " == h"));
    }
    /// v · (1 - tanh²) of additive scores.
    Text slope(const Text& q, const Text& k, const Text& head) const {
        const bool own = *element_count(plan_.tensors[*plan_.additive].shape) > plan_.dim;
        return r_.input(*plan_.additive, own ? head + "*" + digits(plan_.dim) + "+j" : "j") +
               " * (1 - sq(tanh(" + q + " + " + k + ")))";
    }

    void differential() {
        const PlannedDifferential& pairs = *plan_.differential;
        const bool halves = pairs.pairing == Pairing::halves;
        const Text heads = digits(plan_.context_heads());
        const Text first = halves ? "h < " + heads : Text("h%2 == 0");
        const Text of = d(Stage::differential_weights, halves ? "h%" + heads : "h//2", "i", "j");
        r_.out.when(first, of);
        r_.lambda();
        r_.out.result("-lambda * " + of);
        finish();
    }
    void dropped() {
        const Text of = d_here(Stage::dropped_weights);
        if (plan_.dropout->p == 1) {
            r_.out.result(of + " * 0", "dropped");
        } else {
            r_.out.when(of + " != 0 & own == 0", of + " * 0", "dropped: it had no part in the result");
            r_.out.result(of + " / (1 - " + digits(plan_.dropout->p) + ")", "kept");
        }
        finish();
    }
    void empty_rows(const Text& condition) {
        r_.out.when(condition, plan_.empty_rows == EmptyRows::nan ? "0 / 0" : "0",
                    "empty row: its weights are made of no score");
    }
    /// D, what the weights of a row share.
    void share(Stage weights) {
        const Text w = r_.cell(weights, "h", "i", "k");
        r_.out.let("D", "D", over("k", plan_.keys, d(weights, "h", "i", "k") + " * " + w, w + " != 0"));
    }
    void renormalized() {
        empty_rows("sum" + r_.over_keys("hidden(b,h,i,k) == 0", "1") + " == 0");
        share(Stage::renormalized_weights);
        r_.out.let("total", "sum", over("k", plan_.keys, r_.cell(of_.stage, "h", "i", "k")));
        add("(" + d_here(Stage::renormalized_weights) + " - D) / total");
    }
    void weights() {
        const Text p = r_.cell(Stage::weights, "h", "i", "j"), of = d_here(Stage::weights),
                   x = r_.cell(of_.stage, "h", "i", "k");
        if (plan_.masked && plan_.mask_at != MaskAt::weights && !plan_.has_appended()) {
            empty_rows("largest" + r_.over_keys("", x) + " == -inf");
        }
        if (plan_.normalize == Normalize::sigmoid) return add(of + " * " + p + " * (1 - " + p + ")");
        r_.out.when(here() + " == -inf", "0", "hidden: its weight is 0 whatever the score");
        share(Stage::weights);
        if (plan_.normalize == Normalize::softmax) return add(p + " * (" + of + " - D)");
        r_.out.let("total", "sum", over("k", plan_.keys, x, x + " > -inf"));
        add("(" + of + " - D) / total");
    }

    // Sources.

    /// r (e - n mean(e n)), e the gradient times the weight, n = x r.
    void norm(const PlannedStage& by) {
        const PlannedNorm& norm = plan_.norm_of(by.stage);
        if (norm.over_width || plan_.limit_of(by.stage)) return unknown();
        const Index dim = by.shape.back();
        const auto x = [&](const Text& column) {
            if (!is_embeddings(by.stage)) return r_.cell(by.reads.front(), "h", "i", column);
            return r_.input(by.stage == Stage::normed_embeddings ? *plan_.query_input : *plan_.key_input, "0",
                            1, "i", column);
        };
        const auto n = [&](const Text& column) {
            return (norm.type == NormType::layer ? "(" + x(column) + " - mean)" : x(column)) + " / root";
        };
        const auto e = [&](const Text& column) {
            Text text = d(by.stage, "h", "i", column);
            if (norm.weight) {
                const Text g =
                    r_.input(*norm.weight, norm.by_head ? "h*" + digits(dim) + "+" + column : column);
                text += " * " + (norm.plus_one ? "(1 + " + g + ")" : g);
            }
            if (norm.factor != 1) text += " * (1 - " + digits(plan_.differential->init) + ")";
            return text;
        };
        r_.root_of(norm.type, norm.eps, dim, x("k"));
        const Text by_n = norm.type == NormType::l2 ? "" : " / " + digits(dim);
        r_.out.let("along", norm.type == NormType::l2 ? "sum of e·n" : "mean of e·n",
                   over("k", dim, e("k") + " * " + n("k")) + by_n);
        if (norm.type == NormType::layer) r_.out.let("all", "mean of e", over("k", dim, e("k")) + by_n);
        add("(" + e("j") + " - " + n("j") + " * along" + (norm.type == NormType::layer ? " - all" : "") +
            ") / root");
    }

    void rotation(const PlannedStage& by) {
        const PlannedRope& rope = *plan_.rope;
        if (of_.stage == Stage::rope_keys)
            return add(over("g", plan_.key_heads(), d(by.stage, "g", "i", digits(plan_.key_dim) + "+j")));
        if (by.reads.size() > 1) return add(d_here(by.stage));
        if (rope.by_column) return unknown();
        const bool of_queries = by.stage == Stage::rotated_queries;
        const Index first = of_queries ? rope.first_query : 0;
        r_.out.when("j < " + digits(first) + " | j >= " + digits(first + rope.dims), d_here(by.stage),
                    "does not turn");
        r_.turned(
            digits(first), of_queries, [&](const Text& c) { return d(by.stage, "h", "i", c); }, true);
        finish();
    }

    // Projections: y = x W + b, or y = x.

    struct Layer {
        WeightRole role;
        Stage made;
        std::optional<Stage> stage;         ///< that it reads,
        std::optional<std::size_t> tensor;  ///< or a tensor
        Index rows;                         ///< of a batch item
    };

    std::vector<Layer> all_layers() const {
        std::vector<Layer> out;
        const auto put = [&](WeightRole role, Stage made, const std::optional<std::size_t>& tensor) {
            const PlannedStage* s = plan_.find(made);
            if (!s || (plan_.projected_given && made != Stage::output)) return;
            Layer l{role, made, {}, tensor, s->shape[s->shape.size() - 2]};
            if (!s->reads.empty()) {
                l.stage = s->reads.front();
                l.tensor.reset();
            }
            out.push_back(l);
        };
        put(WeightRole::query, Stage::queries, plan_.query_input);
        put(WeightRole::key, Stage::keys, plan_.key_input);
        put(WeightRole::value, Stage::values, plan_.value_input);
        put(WeightRole::query_latent, Stage::query_latent, plan_.query_input);
        put(WeightRole::latent, Stage::latent, plan_.key_input);
        put(WeightRole::output, Stage::output, {});
        return out;
    }
    /// What is made beside it, or behind a slope, or clamped, is told by explain alone.
    bool is_plain(const Layer& l) const {
        return !plan_.limit_of(l.made) &&
               !(l.role == WeightRole::query && plan_.gate && plan_.gate->from_queries);
    }
    /// The gradient of column `o` of a row of all heads.
    Text dy(const Layer& l, const Text& row, const Text& o) const {
        const PlannedStage& s = *plan_.find(l.made);
        if (!has_heads(s.family) || s.shape[1] == 1) return d(l.made, "0", row, o);
        const Text dim = digits(s.shape.back());
        return d(l.made, "(" + o + ")//" + dim, row, "(" + o + ")%" + dim);
    }
    void layers(std::optional<Stage> stage, std::optional<std::size_t> tensor) {
        const bool from_embeddings = (stage && is_embeddings(*stage)) ||
                                     (tensor && (tensor == plan_.query_input || tensor == plan_.key_input));
        // A gate, a rotary part, decays: what they send back is no number of a stage times a weight.
        if (from_embeddings && ((plan_.gate && !plan_.gate->from_queries) || plan_.state ||
                                plan_.projects(WeightRole::rope_key)))
            return unknown();
        if (tensor && tensor == plan_.past_latent) return unknown();
        for (const Layer& l : all_layers()) {
            if (l.stage != stage || l.tensor != tensor) continue;
            if (!is_plain(l)) return unknown();
            const Projection& p = plan_.projection(l.role);
            if (!plan_.projects(l.role)) {
                add(dy(l, "i", "j"));
                continue;
            }
            const bool stage_has_heads = l.stage && has_heads(plan_.find(*l.stage)->family);
            if (stage_has_heads && plan_.find(*l.stage)->shape[1] > 1) return unknown();
            add(over("k", p.d_out, dy(l, "i", "k") + " * W(" + Ruler::quoted_role(l.role) + ", j, k)"));
        }
    }

    void input() {
        const std::size_t tensor = of_.tensors.front();
        const bool keys = plan_.past_keys == tensor, values = plan_.past_values == tensor;
        const bool embeddings = of_.family == StageShape::embedded || of_.family == StageShape::merged_keys;
        if (const auto stage = plan_.normed_input(tensor); stage && embeddings)
            return norm(*plan_.find(*stage));
        if (keys || values) return add(d(keys ? Stage::all_keys : Stage::all_values, "h", "i", "j"));
        if (plan_.past_rope_keys == tensor)
            return add(over("g", plan_.kv_heads, d(Stage::all_keys, "g", "i", digits(plan_.key_dim) + "+j")));
        if (!embeddings) return unknown();
        layers({}, tensor);
    }

    // Parameters, where they are one matrix or one vector.

    void parameter() {
        const bool in_out = of_.family == StageShape::matrix_in_out,
                   out_in = of_.family == StageShape::matrix_out_in,
                   vector = of_.family == StageShape::vector;
        if (of_.tensors.size() != 1 || of_.first != 0 || !(in_out || out_in || vector)) return unknown();
        const std::size_t tensor = of_.tensors.front();
        const Text i = in_out ? "i" : "j", o = out_in ? "i" : "j";
        bool any = false;
        for (const Layer& l : all_layers()) {
            const Projection& p = plan_.projection(l.role);
            for (const WeightPiece& piece : vector ? p.bias : p.weight) {
                if (piece.tensor != tensor) continue;
                if (!is_plain(l) || (!vector && piece.out_in != out_in) || piece.base != 0) return unknown();
                const Text condition = o + " >= " + digits(piece.source_begin) + " & " + o + " < " +
                                       digits(piece.source_begin + piece.outputs);
                const Text column = o + "+" + digits(piece.target_begin - piece.source_begin);
                const Text row = dy(l, "t", column);
                const Text term = vector ? row : x_of(l, i) + " * " + row;
                // In sums over batch items b is the variable of the sum.
                r_.out.when(condition, over("b", plan_.batch, over("t", l.rows, term)));
                any = true;
            }
        }
        if (!any) return unknown();
        finish();
    }
    Text x_of(const Layer& l, const Text& column) const {
        if (l.stage) return r_.cell(*l.stage, "0", "t", column);
        return r_.input(*l.tensor, "0", 1, "t", column);
    }

    Ruler& r_;
    const Plan& plan_;
    const PlannedStage& of_;
    std::vector<Text> parts_;
    bool known_ = true, finished_ = false;
};

}  // namespace

void Ruler::gradient(const PlannedStage& s) { Backwards(*this, s).write(); }

}  // namespace attn::page_rules
