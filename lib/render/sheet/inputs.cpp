// The sheets that formulas read and that are no stages.
#include "lib/plan/inputs.hpp"

#include <algorithm>
#include <cmath>

#include "lib/input/choices.hpp"
#include "lib/render/sheet/book.hpp"
#include "lib/text.hpp"

namespace attn::sheet {
namespace {

std::string drawn_with(const Plan& plan, bool shared, std::uint64_t seed) {
    return "drawn with the " + seed_words(plan, shared, seed) + ", which no formula does";
}

/// What a projection's matrix is called in formulas of stages.
std::string name_of_weight(const Plan& plan, WeightRole role) {
    const bool latent = plan.variant->is_latent();
    switch (role) {
        case WeightRole::query:
            return plan.projects(WeightRole::query_latent) ? "UQ" : "query";
        case WeightRole::key:
            return latent ? "UK" : "key";
        case WeightRole::value:
            return latent ? "UV" : "value";
        case WeightRole::output:
            return "out";
        case WeightRole::gate:
            return "gate";
        case WeightRole::score:
            return "score";
        case WeightRole::query_latent:
            return "DQ";
        case WeightRole::latent:
            return "DKV";
        case WeightRole::rope_key:
            return "KR";
        case WeightRole::decay:
            return "decay";
        case WeightRole::beta:
            return "beta";
        case WeightRole::query_up:
        case WeightRole::key_up:
        case WeightRole::value_up:
        case WeightRole::packed:
        case WeightRole::bias_k:
        case WeightRole::bias_v:
        case WeightRole::query_norm:
        case WeightRole::key_norm:
        case WeightRole::context_norm:
        case WeightRole::additive:
        case WeightRole::decay_log_rate:
        case WeightRole::decay_bias:
        case WeightRole::query_conv:
        case WeightRole::key_conv:
        case WeightRole::value_conv:
        case WeightRole::packed_conv:
        case WeightRole::query_norm_bias:
        case WeightRole::key_norm_bias:
        case WeightRole::value_norm:
        case WeightRole::concat_norm:
        case WeightRole::concat_norm_bias:
        case WeightRole::packed_rates:
        case WeightRole::lambda_q1:
        case WeightRole::lambda_k1:
        case WeightRole::lambda_q2:
        case WeightRole::lambda_k2:
        case WeightRole::latent_and_rope:
        case WeightRole::key_value_up:
        case WeightRole::query_latent_norm:
        case WeightRole::latent_norm:
            break;
    }
    return "weight";
}

std::string drawn_words(const Plan& plan, std::size_t tensor) {
    const TensorSource& t = plan.tensors[tensor];
    switch (t.kind) {
        case TensorSource::Kind::literal:
            return {};
        case TensorSource::Kind::rand:
        case TensorSource::Kind::randn:
        case TensorSource::Kind::embedding:
            return drawn_with(plan, t.shared, t.seed);
        case TensorSource::Kind::drawn_weight:
            return drawn_with(plan, plan.init->shared, plan.init->seed);
    }
    return {};
}

template <class T>
bool varies(const std::vector<T>& list) {
    return std::any_of(list.begin(), list.end(), [&](const T& v) { return v != list[0]; });
}

/// What says from where to where a query sees keys differs between batch items.
bool ranges_vary(const Plan& plan) {
    return varies(plan.offsets) || varies(plan.prefix) || varies(plan.token_blocks) ||
           (plan.key_lengths && varies(*plan.key_lengths));
}

}  // namespace

const Grid& Book::tensor(std::size_t tensor, const std::string& name, const std::string& words,
                         const std::array<Index, 4>& shape, const std::vector<std::string>* row_tokens) {
    if (const Grid* there = find(name)) return *there;
    Input input{words, drawn_words(plan_, tensor), {}, {}};
    input.grid.sheet = name;
    input.grid.items = counted(shape[0]);
    input.grid.heads = counted(shape[1]);
    input.grid.rows = counted(shape[2]);
    input.grid.columns = counted(shape[3]);
    input.number = [tensor, shape](PlanNumbers& numbers, const At& at) {
        return numbers.tensor(tensor,
                              ((at.item * shape[1] + at.head) * shape[2] + at.row) * shape[3] + at.column);
    };
    input.row_tokens = row_tokens;
    return add(std::move(input));
}

const Grid& Book::embeddings(std::size_t tensor) {
    const Shape& shape = plan_.tensors[tensor].shape;
    const Index tokens = shape[shape.size() - 2], width = shape.back();
    const bool of_queries = tensor == *plan_.query_input;
    const std::string name = of_queries                   ? "embeddings"
                             : tensor == *plan_.key_input ? "key_embeddings"
                                                          : "value_embeddings";
    const std::vector<std::string>* labels = nullptr;
    if (of_queries ? plan_.tokens_given : plan_.key_tokens_given)
        labels = of_queries ? &plan_.query_tokens : &plan_.key_tokens;
    const Grid& grid = this->tensor(tensor, name, "the document's " + name,
                                    {*element_count(shape) / (tokens * width), 1, tokens, width}, labels);
    if (!of_queries && inputs_.back().grid.sheet == name) inputs_.back().first_row_token = plan_.past;
    return grid;
}

const Grid& Book::cells_tensor(std::size_t tensor, const std::string& name, const std::string& words) {
    const Shape s = four_axes(plan_.tensors[tensor].shape);
    const Grid& grid = this->tensor(tensor, name, words, {s[0], s[1], s[2], s[3]});
    if (inputs_.back().grid.sheet == grid.sheet) {
        if (plan_.tokens_given && s[2] > 1) inputs_.back().row_tokens = &plan_.query_tokens;
        if (plan_.key_tokens_given && s[3] > 1) inputs_.back().column_tokens = &plan_.key_tokens;
    }
    return grid;
}

const Grid& Book::weight(WeightRole role) {
    const std::string name = "W_" + name_of_weight(plan_, role);
    if (const Grid* there = find(name)) return *there;
    const Projection& p = plan_.projection(role);
    Input input{
        "a weight, x · W: a row for each number that goes in, a column for each that comes out",
        drawn_words(plan_, p.weight.front().tensor),
        {},
        [role](PlanNumbers& numbers, const At& at) { return numbers.weight(role, at.row, at.column); }};
    input.grid.sheet = name;
    input.grid.rows = counted(p.d_in);
    input.grid.columns = counted(p.d_out);
    return add(std::move(input));
}

const Grid* Book::bias(WeightRole role) {
    const Projection& p = plan_.projection(role);
    if (p.bias.empty()) return nullptr;
    const std::string name = "b_" + name_of_weight(plan_, role);
    if (const Grid* there = find(name)) return there;
    Input input{"a bias, added to each row",
                drawn_words(plan_, p.bias.front().tensor),
                {},
                [role](PlanNumbers& numbers, const At& at) { return numbers.bias(role, at.column); }};
    input.grid.sheet = name;
    input.grid.columns = counted(p.d_out);
    return &add(std::move(input));
}

const Grid& Book::per_head(const std::string& name, const std::string& words,
                           const std::vector<double>& numbers) {
    if (const Grid* there = find(name)) return *there;
    Input input{words, {}, {}, [&numbers](PlanNumbers&, const At& at) { return numbers[idx(at.column)]; }};
    input.grid.sheet = name;
    input.grid.columns = counted(static_cast<Index>(numbers.size()));
    return add(std::move(input));
}

const Grid& Book::query_scale(const PlannedQueryScale& scale) {
    if (const Grid* there = find("query_scale")) return *there;
    Input input{"a factor for each query", {}, {}, [&scale](PlanNumbers&, const At& at) {
                    return scale.at(at.item, at.head, at.row);
                }};
    input.grid.sheet = "query_scale";
    if (scale.items > 1) input.grid.items = counted(scale.items);
    if (scale.heads > 1) input.grid.heads = counted(scale.heads);
    input.grid.rows = counted(scale.queries);
    if (plan_.tokens_given) input.row_tokens = &plan_.query_tokens;
    return add(std::move(input));
}

const Grid& Book::visible() {
    if (const Grid* there = find("visible")) return *there;
    struct Cells {
        const Grid* grid;
        const char* condition;
    };
    std::vector<Cells> rules;
    Index items = ranges_vary(plan_) ? plan_.batch : 1, heads = 1;
    for (std::size_t k = 0; k < plan_.masks.size(); ++k) {
        const MaskRule& m = plan_.masks[k];
        const std::string kind(choice_name(m.kind));
        const std::string name = "mask_" + kind + (plan_.masks.size() > 1 ? "_" + std::to_string(k) : "");
        const Grid& grid = cells_tensor(m.tensor, name,
                                        "mask: " + kind + (m.kind == MaskKind::add ? ", to the scores" : ""));
        rules.push_back({&grid, m.kind == MaskKind::keep ? "<>0" : m.kind == MaskKind::drop ? "=0" : ""});
        items = std::max(items, static_cast<Index>(grid.items.size()));
        heads = std::max(heads, static_cast<Index>(grid.heads.size()));
    }
    Input input{"1 where a query sees a key, 0 where the mask hides it",
                {},
                {},
                [](PlanNumbers& numbers, const At& at) { return numbers.is_visible(at) ? 1.0 : 0.0; }};
    input.grid.sheet = "visible";
    if (items > 1) input.grid.items = plan_.batch_shown.indices;
    if (heads > 1) input.grid.heads = plan_.heads_shown.indices;
    input.grid.rows = plan_.queries_shown.indices;
    input.grid.columns = counted(plan_.keys);
    if (plan_.tokens_given) input.row_tokens = &plan_.query_tokens;
    if (plan_.key_tokens_given) input.column_tokens = &plan_.key_tokens;
    const Grid& grid = add(std::move(input));
    const bool per_item = items > 1;
    const auto prefix_name = [this](Index item) {
        return varies(plan_.prefix) ? "prefix_keys_" + std::to_string(item) : std::string("prefix_keys");
    };
    inputs_[inputs_.size() - 1].formula = [this, &grid, rules, per_item,
                                           prefix_name](const At& at) -> std::string {
        if (at.column >= plan_.given_keys()) return {};
        const Index item = per_item ? at.item : 0;
        const std::string key = grid.column_number(at);
        std::string all;
        const auto add_condition = [&](const std::string& condition) {
            all += (all.empty() ? "" : ",") + condition;
        };
        const auto diagonal = [&] { return grid.row_number(at) + "+" + query_offset(item); };
        if (plan_.causal) add_condition(key + "<=" + diagonal());
        if (plan_.window && plan_.window->left) add_condition(key + ">=" + diagonal() + "-window_left");
        if (plan_.window && plan_.window->right) add_condition(key + "<=" + diagonal() + "+window_right");
        if (plan_.chunk) add_condition("INT(" + key + "/chunk)=INT((" + diagonal() + ")/chunk)");
        if (!all.empty()) {
            std::string shown;
            if (!plan_.prefix.empty()) shown += key + "<" + prefix_name(item) + ",";
            const TokenBlock own = plan_.own_block(item, at.row + plan_.offsets[idx(item)]);
            if (own.from < own.to)
                shown += "AND(" + key + ">=" + std::to_string(own.from) + "," + key + "<" +
                         std::to_string(own.to) + "),";
            if (!shown.empty()) all = "OR(" + shown + "AND(" + all + "))";
        }
        if (plan_.key_lengths)
            add_condition(key + "<key_length" +
                          (varies(*plan_.key_lengths) ? "_" + std::to_string(item) : ""));
        for (const Cells& c : rules) {
            const std::string cell = c.grid->cell(at);
            add_condition(*c.condition == 0 ? "ISNUMBER(" + cell + ")" : cell + c.condition);
        }
        return all.empty() ? "" : "=IF(AND(" + all + "),1,0)";
    };
    // The names are there before a formula is asked for.
    const auto of_item = [&](Index k) { return per_item ? k : 0; };
    for (const Index k : plan_.batch_shown.indices) {
        if (plan_.places_queries()) query_offset(of_item(k));
        if (!plan_.prefix.empty())
            parameter(prefix_name(of_item(k)), static_cast<double>(plan_.prefix[idx(k)]),
                      "every query sees the keys before it");
        if (plan_.key_lengths)
            parameter(varies(*plan_.key_lengths) ? "key_length_" + std::to_string(k) : "key_length",
                      static_cast<double>((*plan_.key_lengths)[idx(k)]), "keys at and past it are hidden");
    }
    if (plan_.chunk)
        parameter("chunk", static_cast<double>(*plan_.chunk), "tokens that see each other and no others");
    if (plan_.window && plan_.window->left)
        parameter("window_left", static_cast<double>(*plan_.window->left),
                  "keys that a query sees before itself");
    if (plan_.window && plan_.window->right)
        parameter("window_right", static_cast<double>(*plan_.window->right),
                  "keys that it sees after itself");
    return grid;
}

const Grid& Book::position_bias() {
    if (const Grid* there = find("position_bias")) return *there;
    const PlannedBias& bias = *plan_.position_bias;
    const Shape four = four_axes(plan_.tensors[bias.tensor].shape);
    if (!bias.buckets)
        return tensor(bias.tensor, "position_bias", "the document's position_bias",
                      {four[0], plan_.heads, plan_.queries, plan_.given_keys()});
    const Grid& table = tensor(bias.tensor, "buckets", "the table of biases: a row for each bucket",
                               {1, 1, bias.rows, plan_.heads});
    Input input{"the bucket of each distance, from the table",
                {},
                {},
                [this, &bias](PlanNumbers& numbers, const At& at) {
                    return numbers.tensor(bias.tensor,
                                          plan_.bias_number(at.item, at.head, at.row, at.column));
                }};
    input.grid.sheet = "position_bias";
    if (varies(plan_.offsets)) input.grid.items = plan_.batch_shown.indices;
    input.grid.heads = plan_.heads_shown.indices;
    input.grid.rows = plan_.queries_shown.indices;
    input.grid.columns = counted(plan_.given_keys());
    if (plan_.tokens_given) input.row_tokens = &plan_.query_tokens;
    if (plan_.key_tokens_given) input.column_tokens = &plan_.key_tokens;
    const bool per_item = varies(plan_.offsets);
    input.formula = [this, &table, per_item](const At& at) {
        const Index number = plan_.bias_number(per_item ? at.item : 0, at.head, at.row, at.column);
        return "=" + table.cell({0, 0, number / plan_.heads, number % plan_.heads});
    };
    return add(std::move(input));
}

const Grid& Book::kept() {
    if (const Grid* there = find("keep")) return *there;
    if (plan_.dropout_keep)
        return cells_tensor(*plan_.dropout_keep, "keep", "1 where dropout keeps a weight");
    Input input{"1 where dropout keeps a weight (" + std::string(choice_name(plan_.dropout->kind)) + ")",
                drawn_with(plan_, plan_.dropout->shared, plan_.dropout->seed),
                {},
                [](PlanNumbers& numbers, const At& at) { return numbers.is_kept(at) ? 1.0 : 0.0; }};
    input.grid.sheet = "keep";
    input.grid.items = plan_.batch_shown.indices;
    input.grid.heads = plan_.heads_shown.indices;
    input.grid.rows = plan_.queries_shown.indices;
    input.grid.columns = counted(plan_.keys);
    if (plan_.tokens_given) input.row_tokens = &plan_.query_tokens;
    if (plan_.key_tokens_given) input.column_tokens = &plan_.key_tokens;
    return add(std::move(input));
}

Book::Turn Book::turn(bool of_keys) {
    const PlannedRope& rope = *plan_.rope;
    if (rope.cos) {
        const auto table = [&](std::size_t k, const char* name) -> const Grid& {
            const Shape& s = plan_.tensors[k].shape;
            return tensor(k, name, std::string("the document's ") + name + " of the rotary embedding",
                          {s.size() == 3 ? s[0] : 1, 1, s[s.size() - 2], s.back()});
        };
        return {&table(*rope.cos, "cos"), &table(*rope.sin, "sin")};
    }
    const bool alike = rope.query_positions == rope.key_positions;
    const std::string lead = of_keys && !alike ? "key_" : "";
    const Places& places = rope.positions(!of_keys);
    const auto made = [&](const std::string& name, const std::string& words, std::vector<Index> columns,
                          std::function<double(PlanNumbers&, const At&)> number,
                          std::function<std::string(const At&)> formula) -> const Grid& {
        if (const Grid* there = find(name)) return *there;
        Input input{words, {}, {}, std::move(number), std::move(formula)};
        input.grid.sheet = name;
        if (places.items > 1) input.grid.items = plan_.batch_shown.indices;
        input.grid.rows = counted(places.tokens());
        input.grid.columns = std::move(columns);
        const bool given = of_keys ? plan_.key_tokens_given : plan_.tokens_given;
        if (given) input.row_tokens = of_keys ? &plan_.key_tokens : &plan_.query_tokens;
        if (of_keys) input.first_row_token = plan_.past;
        return add(std::move(input));
    };
    const Grid& positions =
        made(lead + "positions", "where each token stands, for the rotary embedding", {0},
             [&places](PlanNumbers&, const At& at) { return places.at(at.item, at.row); }, {});
    const Grid* factors = nullptr;
    if (!rope.frequency_factors.empty())
        factors = &per_head("frequency_factors",
                            "what the scaling (" + std::string(choice_name(rope.scaling)) +
                                ") makes of each pair's frequency",
                            rope.frequency_factors);
    parameter("rope_base", rope.base,
              "pair n turns by position · rope_base^(-2n / " + std::to_string(rope.dims) + ")" +
                  (factors ? " · frequency_factors" : ""));
    const std::string times =
        rope.amplitude == 1
            ? ""
            : parameter("rope_amplitude", rope.amplitude, "a factor of cosines and sines") + "*";
    const auto angles = [&](const std::string& name, const char* function,
                            double (*of)(double)) -> const Grid& {
        const Grid& grid =
            made(lead + name, std::string(function) + " of the angle by which pair n of a token turns",
                 counted(rope.pairs()),
                 [&places, &rope, of](PlanNumbers&, const At& at) {
                     return rope.amplitude * of(places.at(at.item, at.row) * rope.frequency(at.column));
                 },
                 {});
        if (inputs_.back().grid.sheet == grid.sheet)
            inputs_.back().formula = [&grid, &positions, &rope, factors, times, function](const At& at) {
                return "=" + times + function + "(" + positions.cell({at.item, 0, at.row, 0}) +
                       "*rope_base^(-2*" + grid.column_number(at) + "/" + std::to_string(rope.dims) + ")" +
                       (factors ? "*" + factors->cell({0, 0, 0, at.column}) : "") + ")";
            };
        return grid;
    };
    return {&angles("cos", "COS", std::cos), &angles("sin", "SIN", std::sin)};
}

}  // namespace attn::sheet
