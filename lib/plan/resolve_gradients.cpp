// The backward pass: what enters it, and its stages. See docs/gradients.md.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "lib/input/choices.hpp"
#include "lib/plan/builder.hpp"
#include "lib/plan/gradient_formulas.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

Index width_of_result(const Plan& plan) {
    return plan.has_output ? plan.output_dim : plan.context_heads() * plan.value_dim;
}

void check_gradient(const TensorSource& t, const Shape& wanted, const std::string& form) {
    Shape s = t.shape;
    while (s.size() < wanted.size()) s.insert(s.begin(), 1);
    if (s != wanted)
        fail(t.pointer, "is " + to_string(t.shape) + ", expected " + to_string(wanted) + ": " + form);
}

/// Stages that carry no gradient: they are made beside the result.
bool has_gradient(Stage s) { return s != Stage::head_outputs && s != Stage::lse && s != Stage::mean_weights; }

/// Builds Plan::gradients.
class Gradients {
  public:
    explicit Gradients(Plan& plan) : plan_(plan) {}

    void stages() {
        choose_result();
        for (auto s = plan_.stages.rbegin(); s != plan_.stages.rend(); ++s) {
            if (!has_gradient(s->stage)) continue;
            add(StageOf::gradient, s->stage, s->name, formula(*s), s->family, s->shape, {}).on_request =
                s->on_request;
        }
    }

    void inputs() {
        const Index batch = plan_.batch;
        const auto width = [&](std::size_t k) { return plan_.tensors[k].shape.back(); };
        if (!plan_.projected_given) {
            const std::string uses = "what is made of them sends back, summed over its uses";
            input(plan_.query_input, StageShape::embedded, {batch, plan_.queries, width(*plan_.query_input)},
                  uses);
            for (const auto& k : {plan_.key_input, plan_.value_input})
                input(k, StageShape::merged_keys, {batch, plan_.new_keys, width(*k)}, uses);
        }
        input(plan_.past_keys, StageShape::past_key_dim, {batch, plan_.kv_heads, plan_.past, plan_.key_dim},
              "the cached keys of d_all_keys");
        input(plan_.past_values, plan_.differential ? StageShape::paired_past_keys : StageShape::past_key_dim,
              {batch, plan_.value_heads(), plan_.past, plan_.value_dim}, "the cached keys of d_all_values");
        if (plan_.past_latent)
            input(plan_.past_latent, StageShape::merged_past_keys,
                  {batch, plan_.past, plan_.projection(WeightRole::latent).d_out},
                  "the cached keys of d_all_keys · W_UKᵀ + d_all_values · W_UVᵀ");
        if (plan_.past_rope_keys)
            input(plan_.past_rope_keys, StageShape::merged_past_keys, {batch, plan_.past, plan_.rope->dims},
                  "the last columns of the cached keys of d_all_keys, summed over heads");
        if (plan_.state)
            input(plan_.state->past, StageShape::state, {batch, plan_.kv_heads, plan_.dim, plan_.value_dim},
                  "what is left before the first token");
        if (plan_.conv)
            input(plan_.conv->past, StageShape::past_taps, {batch, plan_.conv->width, plan_.conv->taps - 1},
                  "what the convolutions send back to before the first token");
    }

    void parameters() {
        using Role = WeightRole;
        constexpr std::array stages{"queries", "keys",         "values",  "output", "gate",
                                    "scores",  "query_latent", "queries", "latent", "keys",
                                    "values",  "rope_keys",    "decay",   "beta"};
        // In the order of the document, a set of weights for each head together.
        struct Found {
            std::size_t tensor;
            StageShape family;
            std::string formula;
        };
        std::vector<Found> found;
        const auto take = [&](std::optional<std::size_t> k, StageShape family, const std::string& formula) {
            if (!k || std::any_of(found.begin(), found.end(), [&](const Found& f) { return f.tensor == *k; }))
                return;
            found.push_back({*k, family, formula});
        };
        for (std::size_t r = 0; r < projection_count; ++r) {
            const std::string d = "d_" + std::string(stages[r]);
            for (const WeightPiece& p : plan_.projections[r].weight)
                take(p.tensor, matrix_family(p),
                     static_cast<Role>(r) == Role::score
                         ? "queriesᵀ · d_scores · keys, summed over batch"
                         : "inputᵀ · " + d + ", summed over batch and tokens");
            for (const WeightPiece& p : plan_.projections[r].bias)
                take(p.tensor, vector_family(p.tensor), d + " summed over batch and tokens");
        }
        const auto norm = [&](const std::optional<PlannedNorm>& n, const char* of) {
            if (!n) return;
            if (n->weight)
                take(n->weight, vector_family(*n->weight),
                     std::string(of) + " · what was normed, summed over batch and tokens");
            if (n->bias)
                take(n->bias, vector_family(*n->bias), std::string(of) + " summed over batch and tokens");
        };
        norm(plan_.embeddings_norm, "d_normed_embeddings");
        norm(plan_.query_latent_norm, "d_normed_query_latent");
        norm(plan_.latent_norm, "d_normed_latent");
        norm(plan_.query_norm, "d_normed_queries");
        norm(plan_.key_norm, "d_normed_keys");
        norm(plan_.value_norm, "d_normed_values");
        norm(plan_.context_norm, "d_normed_context");
        norm(plan_.concat_norm, "d_normed_concat");
        for (const auto& k : {plan_.bias_k, plan_.bias_v})
            take(k, StageShape::vector, "the appended key's row, summed over batch");
        if (plan_.additive)
            take(plan_.additive, vector_family(*plan_.additive), "d_scores · tanh, summed over all pairs");
        if (plan_.conv)
            for (const PlannedConv::Part& p : plan_.conv->parts) {
                take(p.weight, StageShape::taps, "tokens · d_convolved, summed over batch and tokens");
                take(p.bias, StageShape::vector, "d_convolved summed over batch and tokens");
            }
        if (plan_.state) {
            take(plan_.state->log_rate, StageShape::per_head, "d_decay · decay, summed");
            take(plan_.state->bias, StageShape::per_head, "d_decay through softplus, summed");
        }
        if (plan_.differential && !plan_.differential->lambda)
            for (const std::size_t k : plan_.differential->vectors)
                take(k, StageShape::vector, "d_lambda · e^(q · k) · its partner");
        std::sort(found.begin(), found.end(),
                  [](const Found& a, const Found& b) { return a.tensor < b.tensor; });
        std::vector<bool> done(found.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            if (done[i]) continue;
            std::vector<std::size_t> tensors;
            for (std::size_t j = i; j < found.size(); ++j) {
                const bool same =
                    j == i || (plan_.variant->weights_list &&
                               name_of_tensor(found[j].tensor) == name_of_tensor(found[i].tensor));
                if (!same) continue;
                done[j] = true;
                tensors.push_back(found[j].tensor);
            }
            parameter(std::move(tensors), found[i].family, found[i].formula);
        }
        others();
    }

  private:
    /// The gradient of what is called `name`.
    PlannedStage& add(StageOf of, Stage stage, const std::string& name, std::string formula,
                      StageShape family, Shape shape, std::vector<std::size_t> tensors) {
        PlannedStage d{stage, "d_" + name, std::move(formula), family, std::move(shape), {}};
        d.of = of;
        d.tensors = std::move(tensors);
        return plan_.gradients.emplace_back(std::move(d));
    }

    void choose_result() {
        Stage& result = plan_.gradient->result;
        result = Stage::context;
        for (const Stage s : {Stage::normed_context, Stage::gated_context, Stage::concat,
                              Stage::normed_concat, Stage::output})
            if (plan_.find(s)) result = s;
    }

    std::string formula(const PlannedStage& of) const {
        std::string out;
        const auto add = [&](const std::string& text) {
            if (!text.empty()) out += (out.empty() ? "" : " + ") + text;
        };
        const PlannedGradient& g = *plan_.gradient;
        if (of.stage == g.result) {
            if (g.output) add("as given");
            if (g.loss == Loss::sum) add("1");
            if (g.loss == Loss::mean_squared_error)
                add("2 (" + of.name + " - target) / numbers of " + of.name);
        }
        if ((g.context && of.stage == Stage::context) || (g.state && of.stage == Stage::state))
            add("as given");
        if (of.stage == Stage::state || of.stage == Stage::states)
            add(of.stage == Stage::state ? "what the queries that read it send back"
                                         : "what the contexts and states after it send back");
        for (const PlannedStage& by : plan_.stages) {
            if (std::find(by.reads.begin(), by.reads.end(), of.stage) == by.reads.end()) continue;
            if (by.stage == Stage::gated_context && of.stage == Stage::queries) continue;  // its other half
            add(sent_back(plan_, by, of.stage));
        }
        std::string text = out.empty() ? "0: nothing reads it" : out;
        if (const std::optional<double> limit = plan_.limit_of(of.stage))
            text += " (what made it passes it on where it is within ±" + significant(*limit, 9) + ")";
        return text;
    }

    void input(const std::optional<std::size_t>& k, StageShape family, Shape shape,
               const std::string& formula) {
        if (!k) return;
        for (const PlannedStage& s : plan_.gradients)
            if (s.of == StageOf::input && s.tensors.front() == *k) return;
        add(StageOf::input, Stage::queries, plan_.tensors[*k].pointer.substr(1), formula, family,
            std::move(shape), {*k});
    }

    const WeightNote* note_of(std::size_t k) const {
        for (const WeightNote& n : plan_.weight_notes)
            if (n.name == plan_.tensors[k].name &&
                element_count(n.shape) == element_count(plan_.tensors[k].shape))
                return &n;
        return nullptr;
    }
    /// With the axes of the document.
    Shape given_shape(std::size_t k) const {
        const WeightNote* note = note_of(k);
        return note ? note->shape : plan_.tensors[k].shape;
    }
    StageShape matrix_family(const WeightPiece& p) const {
        if (const WeightNote* note = note_of(p.tensor); note && note->layout.starts_with("[d_in, head"))
            return StageShape::split_kernel;
        const Shape s = given_shape(p.tensor);
        if (plan_.variant->weights_list)
            return p.out_in ? StageShape::matrices_out_in : StageShape::matrices_in_out;
        if (s.size() == 3) return StageShape::matrices_in_out;
        return p.out_in ? StageShape::matrix_out_in : StageShape::matrix_in_out;
    }
    StageShape vector_family(std::size_t k) const {
        return plan_.variant->weights_list || given_shape(k).size() == 2 ? StageShape::head_vectors
                                                                         : StageShape::vector;
    }
    std::string name_of_tensor(std::size_t k) const {
        const TensorSource& t = plan_.tensors[k];
        if (!t.name.empty()) return t.name;
        std::string name = t.pointer.substr(1);
        std::replace(name.begin(), name.end(), '/', '.');
        return name;
    }

    void parameter(std::vector<std::size_t> tensors, StageShape family, std::string formula) {
        const TensorSource& given = plan_.tensors[tensors.front()];
        for (Index h = 0; h < static_cast<Index>(given.row_names.size()); ++h) {
            const Index dim = given.shape.back();
            add(StageOf::parameter, Stage::queries, given.row_names[idx(h)], formula, StageShape::vector,
                {dim}, tensors)
                .first = h * dim;
        }
        if (!given.row_names.empty()) return;
        Shape shape = given_shape(tensors.front());
        const Index numbers = *element_count(shape);
        if (plan_.variant->weights_list) {
            shape.insert(shape.begin(), static_cast<Index>(tensors.size()));
        } else if (family == StageShape::vector || family == StageShape::per_head) {
            shape = {numbers};
        } else if (family == StageShape::taps) {
            shape = {shape.front(), shape.back()};
        }
        const std::string name = name_of_tensor(tensors.front());
        add(StageOf::parameter, Stage::queries, name, std::move(formula), family, std::move(shape),
            std::move(tensors));
    }

    /// Those that are no weights.
    void others() {
        if (const auto& bias = plan_.position_bias) {
            const Shape& s = plan_.tensors[bias->tensor].shape;
            const bool items = s.size() == 4 && s[0] > 1;
            add(StageOf::parameter, Stage::biased_scores, "position_bias",
                std::string("d_biased_scores") + (items ? "" : " summed over batch") +
                    (bias->buckets ? " and the pairs of each bucket" : ""),
                bias->buckets ? StageShape::bucket_heads
                : items       ? StageShape::item_bias_cells
                              : StageShape::bias_cells,
                bias->buckets || items ? s : Shape{plan_.heads, plan_.queries, plan_.given_keys()},
                {bias->tensor});
        }
        if (!plan_.sinks.empty())
            add(StageOf::parameter, Stage::weights, "sinks",
                "-(1 - row sum of weights) · row sum of weights · d_weights, summed over batch and queries",
                StageShape::per_head, {plan_.heads}, {});
        if (plan_.differential && plan_.differential->lambda)
            add(StageOf::parameter, Stage::differential_weights, "lambda",
                "-d_differential_weights · weights of the second half, summed", StageShape::vector, {1}, {});
    }

    Plan& plan_;
};

}  // namespace

void place_gradient(Builder& b) {
    if (!b.problem.gradient) return;
    GradientInput& asked = *b.problem.gradient;
    Plan& plan = b.plan;
    PlannedGradient g;
    g.loss = asked.loss;
    const auto place = [&](std::optional<TensorSource>& t, const Shape& wanted,
                           const char* form) -> std::optional<std::size_t> {
        if (!t) return std::nullopt;
        check_gradient(*t, wanted, form);
        return b.add_tensor(std::move(*t));
    };
    const Shape result{plan.batch, plan.queries, width_of_result(plan)};
    g.output = place(asked.output, result, "[batch, query, width] as the result is");
    g.target = place(asked.target, result, "[batch, query, width] as the result is");
    g.context = place(asked.context, {plan.batch, plan.context_heads(), plan.queries, plan.value_dim},
                      "[batch, head, query, dim] as the contexts are");
    if (asked.state && !plan.state)
        fail("/gradient/state",
             "enters at a state, but variant \"" + std::string(plan.variant->name) + "\" keeps none");
    if (asked.state)
        g.state = place(asked.state, {plan.batch, plan.kv_heads, plan.dim, plan.value_dim},
                        "[batch, head, dim of keys, dim of values] as the states are");
    plan.gradient = g;
}

void resolve_gradients(Builder& b) {
    if (!b.plan.gradient) return;
    Gradients gradients(b.plan);
    gradients.stages();
    gradients.inputs();
    gradients.parameters();
}

}  // namespace attn
