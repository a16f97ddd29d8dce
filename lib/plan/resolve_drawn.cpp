#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "lib/plan/weight_resolver.hpp"

namespace attn {

void Resolver::drawn() {
    WeightsInit& init = *b_.problem.init;
    if (init.kind == WeightsInit::Kind::multihead) {
        drawn_multihead(init);
    } else {
        drawn_heads(init);
    }
    plan_.init = init;
}

std::size_t Resolver::place_drawn(const WeightsInit& init, Shape shape, std::string name) {
    if (!element_count(shape)) fail(init.pointer, "asks for a matrix " + to_string(shape) + ": too large");
    TensorSource t;
    t.kind = TensorSource::Kind::drawn_weight;
    t.pointer = init.pointer;
    t.shape = std::move(shape);
    t.shared = init.shared;
    t.doubles = init.doubles;
    t.name = std::move(name);
    return b_.add_tensor(std::move(t));
}

void Resolver::place_drawn_linear(const WeightsInit& init, WeightRole role, Index d_out, bool out_in,
                                  bool bias) {
    Projection& p = of(role);
    const Shape shape = out_in ? Shape{d_out, p.d_in} : Shape{p.d_in, d_out};
    const std::string name = role == WeightRole::output  ? "out_proj"
                             : role == WeightRole::query ? "W_query"
                             : role == WeightRole::key   ? "W_key"
                                                         : "W_value";
    p.weight.push_back(
        {place_drawn(init, shape, out_in ? name + ".weight" : name), out_in, 0, p.d_out, d_out, 0});
    if (bias) p.bias.push_back({place_drawn(init, {d_out}, name + ".bias"), true, 0, p.d_out, d_out, 0});
    p.d_out += d_out;
    note_layout(plan_, out_in ? "torch.nn.Linear" : "torch.rand", std::string(word(role)), false, out_in,
                shape);
}

Index Resolver::drawn_width(WeightRole role, Index d_out) const {
    const Index heads = b_.problem.num_heads.value_or(1),
                kv = b_.problem.num_kv_heads.value_or(plan_.variant->one_kv_head ? 1 : heads);
    if (role == WeightRole::value && b_.problem.num_value_heads && d_out % heads == 0)
        return d_out / heads * *b_.problem.num_value_heads;
    if (role == WeightRole::query || kv == heads || d_out % heads != 0) return d_out;
    return d_out / heads * kv;
}

void Resolver::drawn_heads(const WeightsInit& init) {
    const bool list = plan_.variant->weights_list;
    const bool linear = init.kind == WeightsInit::Kind::linear;
    const Index sets = list ? b_.problem.num_heads.value_or(1) : 1;
    if (list && init.out_proj.value_or(false))
        fail(child(init.pointer, "out_proj"), "is true, but stacked heads have no output projection",
             "variant \"multi_head\" has one");
    if (static_cast<double>(sets) * static_cast<double>(*init.d_out) > 1e15)
        fail(child(init.pointer, "d_out"), "is " + std::to_string(*init.d_out) + ": too large");
    for (Index k = 0; k < sets; ++k)
        for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value})
            place_drawn_linear(init, r, drawn_width(r, *init.d_out), linear,
                               linear && init.bias.value_or(false));
    split_heads();
    if (!init.out_proj.value_or(false)) return;
    plan_.projection(WeightRole::output).d_in = plan_.context_heads() * plan_.value_dim;
    place_drawn_linear(init, WeightRole::output, init.out_width.value_or(*init.d_out), true, true);
    plan_.has_output = true;
    plan_.output_dim = plan_.projection(WeightRole::output).d_out;
}

void Resolver::drawn_multihead(const WeightsInit& init) {
    const Index width = b_.query_width;
    if (plan_.variant->weights_list)
        fail(child(init.pointer, "init"),
             "is torch.nn.MultiheadAttention, which splits its heads: variant \"multi_head\"");
    if (init.d_out && *init.d_out != width)
        fail(child(init.pointer, "d_out"), "is " + std::to_string(*init.d_out) +
                                               ", but torch.nn.MultiheadAttention keeps the width " +
                                               std::to_string(width) + " of the embeddings");
    if (!init.out_proj.value_or(true))
        fail(child(init.pointer, "out_proj"),
             "is false, but torch.nn.MultiheadAttention always has an output projection");
    if (init.out_width && *init.out_width != width)
        fail(child(init.pointer, "out_proj"), "is " + std::to_string(*init.out_width) +
                                                  ", but torch.nn.MultiheadAttention keeps the width " +
                                                  std::to_string(width) + " of the embeddings");
    const bool bias = init.bias.value_or(true);
    for (const WeightRole r : {WeightRole::query, WeightRole::key, WeightRole::value}) of(r).d_out = width;
    plan_.projection(WeightRole::output).d_in = plan_.projection(WeightRole::output).d_out = width;
    split_heads();
    if (b_.key_width == width && b_.value_width == width) {
        const std::size_t k = place_drawn(init, {3 * width, width}, "in_proj_weight");
        note_layout(plan_, "in_proj_weight", "query, key, value", false, true, {3 * width, width});
        for (int r = 0; r < 3; ++r)
            of(static_cast<WeightRole>(r)).weight.push_back({k, true, r * width, 0, width, 0});
    } else {
        constexpr std::array names{"q_proj_weight", "k_proj_weight", "v_proj_weight"};
        for (int r = 0; r < 3; ++r) {
            Projection& p = of(static_cast<WeightRole>(r));
            p.weight.push_back({place_drawn(init, {width, p.d_in}, names[idx(r)]), true, 0, 0, width, 0});
            note_layout(plan_, names[idx(r)], std::string(word(static_cast<WeightRole>(r))), false, true,
                        {width, p.d_in});
        }
    }
    if (bias) {
        const std::size_t k = place_drawn(init, {3 * width}, "in_proj_bias");
        for (int r = 0; r < 3; ++r)
            of(static_cast<WeightRole>(r)).bias.push_back({k, true, r * width, 0, width, 0});
    }
    Projection& out = plan_.projection(WeightRole::output);
    out.weight.push_back({place_drawn(init, {width, width}, "out_proj.weight"), true, 0, 0, width, 0});
    if (bias) out.bias.push_back({place_drawn(init, {width}, "out_proj.bias"), true, 0, 0, width, 0});
    note_layout(plan_, "out_proj.weight", "output", false, true, {width, width});
    plan_.has_output = true;
    plan_.output_dim = width;
    if (!init.add_bias_kv) return;
    for (auto* appended : {&plan_.bias_k, &plan_.bias_v}) {
        const bool key = appended == &plan_.bias_k;
        *appended = place_drawn(init, {1, 1, width}, key ? "bias_k" : "bias_v");
        plan_.weight_notes.push_back(
            {key ? "bias_k" : "bias_v",
             std::string(word(key ? WeightRole::bias_k : WeightRole::bias_v)) + " that is appended",
             "[dim]",
             {1, 1, width}});
    }
}

void resolve_draws(Builder& b) {
    Plan& plan = b.plan;
    if (!b.problem.manual_seed) return;
    plan.manual_seed = *b.problem.manual_seed;
    for (const std::string& pointer : b.problem.drawn) {
        if (plan.dropout && plan.dropout->shared && pointer == "/dropout") {
            plan.draws.push_back({Draw::Of::dropout, 0});
        } else if (plan.init && plan.init->pointer == pointer) {
            plan.draws.push_back({Draw::Of::weights, 0});
        } else {
            const auto drawn = [&](const TensorSource& t) { return t.shared && t.pointer == pointer; };
            const auto at = std::find_if(plan.tensors.begin(), plan.tensors.end(), drawn);
            if (at == plan.tensors.end())
                throw Error(Exit::defect, pointer, "is drawn, but no tensor of the plan");
            plan.draws.push_back({Draw::Of::tensor, static_cast<std::size_t>(at - plan.tensors.begin())});
        }
    }
}

}  // namespace attn
