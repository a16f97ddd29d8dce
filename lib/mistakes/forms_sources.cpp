// Queries, keys and values from another source, with another weight, cut out of a packed one in another way.
#include <algorithm>
#include <array>

#include "lib/mistakes/forms.hpp"
#include "lib/mistakes/rows.hpp"
#include "lib/mistakes/seen.hpp"

namespace attn {
namespace of_sources {
namespace {

constexpr std::array roles{WeightRole::query, WeightRole::key, WeightRole::value};
constexpr std::array<std::string_view, 3> role_names{"query", "key", "value"};

std::string projected(const Replay& r) {
    const Plan& p = r.plan();
    if (p.projected_given) return "queries, keys and values are given";
    if (p.variant->is_latent()) return "keys and values are made from a latent";
    if (p.variant->weights_list) return "each head has matrices of its own";
    return unless(
        p.projects(WeightRole::query) && p.projects(WeightRole::key) && p.projects(WeightRole::value),
        "queries, keys and values are not projected");
}
std::string two_sources(const Replay& r) {
    const Plan& p = r.plan();
    if (p.projected_given) return "queries, keys and values are given";
    if (p.key_input == p.query_input && p.value_input == p.query_input) return "there is one source";
    if (p.embeddings_norm) return "the sources are normed";
    const Shape &q = p.tensors[*p.query_input].shape, &k = p.tensors[*p.key_input].shape;
    return unless(q == k, "the sources differ in tokens or width");
}

Forms source_other(const Replay& r) {
    const Plan& p = r.plan();
    Forms out;
    const auto form = [&](std::string of, std::string detail, Stage first, bool keys, bool values,
                          std::size_t from) {
        out.push_back({std::move(detail), first, !keys,
                       [keys, values, from](Deviation& d) {
                           if (keys) d.plan.key_input = from;
                           if (values) d.plan.value_input = from;
                       },
                       std::move(of)});
    };
    const std::size_t queries = *p.query_input, keys = *p.key_input, values = *p.value_input;
    if (queries != keys) form(":keys", "from the source of the queries", Stage::keys, true, false, queries);
    if (queries != values && p.tensors[queries].shape == p.tensors[values].shape)
        form(":values", "from the source of the queries", Stage::values, false, true, queries);
    if (keys != values && p.tensors[keys].shape == p.tensors[values].shape) {
        form(":values", "from the source of the keys", Stage::values, false, true, keys);
        form(":keys", "from the source of the values", Stage::keys, true, false, values);
    }
    if (queries != keys && queries != values && p.tensors[queries].shape == p.tensors[values].shape)
        form(":keys", "and values, from the source of the queries", Stage::keys, true, true, queries);
    return out;
}
std::string exchangeable(const Replay& r) {
    std::string why = two_sources(r);
    return why.empty() && r.plan().key_input == r.plan().query_input ? "queries and keys have one source"
                                                                     : why;
}
Forms sources_exchanged(const Replay& r) {
    const Plan& p = r.plan();
    const std::size_t queries = *p.query_input, keys = *p.key_input;
    const bool with_values = p.value_input == p.key_input;
    return {{"", Stage::queries, false, [=](Deviation& d) {
                 d.plan.query_input = keys;
                 d.plan.key_input = queries;
                 if (with_values) d.plan.value_input = queries;
             }}};
}

/// Which weights fit in which places.
std::string like_weights(const Replay& r) {
    std::string why = projected(r);
    if (!why.empty()) return why;
    const Plan& p = r.plan();
    for (std::size_t a = 0; a < 3; ++a)
        for (std::size_t b = 0; b < a; ++b) {
            const Projection &x = p.projection(roles[a]), &y = p.projection(roles[b]);
            if (x.d_in == y.d_in && x.d_out == y.d_out) return "";
        }
    return "the weights of queries, keys and values differ in shape";
}
Forms weight_of_other(const Replay& r) {
    const Plan& p = r.plan();
    constexpr std::array stages{Stage::queries, Stage::keys, Stage::values};
    const std::array inputs{*p.query_input, *p.key_input, *p.value_input};
    Forms out;
    for (std::size_t to = 0; to < 3; ++to)
        for (std::size_t from = 0; from < 3; ++from) {
            const Projection &x = p.projection(roles[to]), &y = p.projection(roles[from]);
            if (to == from || x.d_in != y.d_in || x.d_out != y.d_out) continue;
            // Values made with the keys' weight are the keys: values_are_keys.
            if (to == 2 && from == 1 && inputs[1] == inputs[2]) continue;
            out.push_back(
                {"the weight of " + std::string(role_names[from]) + " for " + std::string(role_names[to]),
                 stages[to], to == 2,
                 [=](Deviation& d) { d.plan.projection(roles[to]) = d.plan.projection(roles[from]); },
                 ":" + std::string(role_names[to]) + "=" + std::string(role_names[from])});
        }
    return out;
}

std::string several_scores(const Replay& r) {
    if (r.plan().state) return "there are no scores";
    return unless(r.plan().keys > 1 && r.plan().dim > 1, "there is one key, or keys are one column wide");
}
Forms key_reshaped(const Replay& /*r*/) {
    return {{"", Stage::scores, false, [](Deviation& d) { d.quirks.key_reshaped = true; }}};
}

/// The columns of a packed weight, or bias, that a projection has.
std::vector<Index> columns_of(const std::vector<WeightPiece>& list) {
    std::vector<Index> out;
    for (const WeightPiece& p : list)
        for (Index k = 0; k < p.outputs; ++k) out.push_back(p.source_begin + k);
    return out;
}
/// One tensor holds the weights of queries, keys and values, and nothing else.
std::string packed(const Replay& r) {
    std::string why = projected(r);
    if (!why.empty()) return why;
    const Plan& p = r.plan();
    const Index width = p.projection(WeightRole::query).d_out;
    std::vector<Index> all;
    for (const WeightRole role : roles) {
        const Projection& x = p.projection(role);
        if (x.d_out != width || x.weight[0].tensor != p.projection(WeightRole::query).weight[0].tensor)
            return "the weights of queries, keys and values are not packed, or differ in width";
        const std::vector<Index> own = columns_of(x.weight);
        all.insert(all.end(), own.begin(), own.end());
    }
    std::sort(all.begin(), all.end());
    for (std::size_t k = 0; k < all.size(); ++k)
        if (all[k] != static_cast<Index>(k))
            return "the packed weight holds more than queries, keys and values";
    return "";
}
std::string packed_heads(const Replay& r) {
    std::string why = packed(r);
    return why.empty() ? applies::projected_heads(r) : why;
}

/// Columns of the packed weight, one after another, as pieces of a projection.
std::vector<WeightPiece> pieces(const WeightPiece& whole, const std::vector<Index>& columns) {
    std::vector<WeightPiece> out;
    for (Index c = 0; c < static_cast<Index>(columns.size()); ++c) {
        const Index from = columns[idx(c)];
        if (!out.empty() && out.back().source_begin + out.back().outputs == from) {
            ++out.back().outputs;
            continue;
        }
        WeightPiece piece = whole;
        piece.source_begin = from;
        piece.target_begin = c;
        piece.outputs = 1;
        out.push_back(piece);
    }
    return out;
}

using Columns = std::array<std::vector<Index>, 3>;  ///< of queries, keys and values
Columns planned_columns(const Plan& plan) {
    Columns out;
    for (std::size_t k = 0; k < 3; ++k) out[k] = columns_of(plan.projection(roles[k]).weight);
    return out;
}
/// Weights, and biases that are packed as they are, by other columns; nothing where they are those planned.
void repacked(const Replay& r, std::string detail, const Columns& columns, Forms& out) {
    const Plan& plan = r.plan();
    if (columns == planned_columns(plan)) return;
    const bool with_bias = std::all_of(roles.begin(), roles.end(), [&](WeightRole role) {
        const Projection& p = plan.projection(role);
        return !p.bias.empty() && columns_of(p.bias) == columns_of(p.weight) &&
               p.bias[0].tensor == plan.projection(roles[0]).bias[0].tensor;
    });
    out.push_back({std::move(detail), Stage::queries, false, [columns, with_bias](Deviation& d) {
                       for (std::size_t k = 0; k < 3; ++k) {
                           Projection& p = d.plan.projection(roles[k]);
                           // Another mistake may have left either of them out.
                           if (!p.weight.empty()) p.weight = pieces(p.weight[0], columns[k]);
                           if (with_bias && !p.bias.empty()) p.bias = pieces(p.bias[0], columns[k]);
                       }
                   }});
}

Forms packed_split(const Replay& r) {
    const Index heads = r.plan().heads, dim = r.plan().projection(WeightRole::query).d_out / heads;
    Forms out;
    const auto form = [&](std::string detail, auto column) {
        Columns columns;
        for (std::size_t k = 0; k < 3; ++k)
            for (Index h = 0; h < heads; ++h)
                for (Index c = 0; c < dim; ++c) columns[k].push_back(column(static_cast<Index>(k), h, c));
        repacked(r, std::move(detail), columns, out);
    };
    const std::vector<Index> queries = planned_columns(r.plan())[0];
    const bool in_runs = queries.back() - queries.front() + 1 == static_cast<Index>(queries.size());
    form("[heads, 3, dim]", [=](Index of, Index h, Index c) { return (h * 3 + of) * dim + c; });
    form("[heads, dim, 3]", [=](Index of, Index h, Index c) { return (h * dim + c) * 3 + of; });
    form("[dim, 3, heads]", [=](Index of, Index h, Index c) { return (c * 3 + of) * heads + h; });
    if (!in_runs)
        form("[3, heads, dim]", [=](Index of, Index h, Index c) { return (of * heads + h) * dim + c; });
    return out;
}
Forms packed_order(const Replay& r) {
    Forms out;
    const Columns planned = planned_columns(r.plan());
    // Queries and keys, or keys and values, that are exchanged are mistakes of their own.
    constexpr std::array<std::array<std::size_t, 3>, 3> orders{{{1, 2, 0}, {2, 0, 1}, {2, 1, 0}}};
    for (const auto& place : orders) {
        std::string words;
        for (std::size_t k = 0; k < 3; ++k)
            words += (k > 0 ? ", " : "") + std::string(role_names[k]) + " from " +
                     std::string(role_names[place[k]]);
        repacked(r, words, {planned[place[0]], planned[place[1]], planned[place[2]]}, out);
    }
    return out;
}

// clang-format off
constexpr std::array source_blind{Blind{"both sources hold the same numbers"}};
constexpr std::array weight_blind{Blind{"the weights are the same"}};
constexpr std::array reshaped_blind{Blind{"keys are symmetric, or their scores come out the same"}};
constexpr std::array packed_blind{Blind{"all numbers come to stand where they belong"}};

constexpr std::array table{
    MistakeRow{"source_other", "source_other:keys, source_other:values", "keys or values are made from another source", "keys or values are those of other tokens",
     "", "cross-attention takes queries from the decoder, keys and values from the encoder",
     source_blind, "sources that differ", two_sources, source_other},
    MistakeRow{"sources_exchanged", "", "queries are made from the keys' source and keys from that of the queries", "queries are those of other tokens",
     "LLM_Survey#2", "cross-attention takes queries from the decoder, keys and values from the encoder",
     source_blind, "sources that differ", exchangeable, sources_exchanged},
    MistakeRow{"weight_of_other", "weight_of_other:query=key, weight_of_other:query=value, weight_of_other:key=query, weight_of_other:key=value, weight_of_other:value=query, weight_of_other:value=key", "queries, keys or values are made with the weight of another", "two of them are the same",
     "", "W_query for queries, W_key for keys, W_value for values", weight_blind, "weights that differ", like_weights, weight_of_other, Pairs::never},
    MistakeRow{"key_reshaped", "", "keys are reshaped to [dim, key] where they are transposed", "scores are those of mixed keys",
     "", "transpose(-2, -1), not view or reshape", reshaped_blind, "more than one key and more than one column", several_scores, key_reshaped, Pairs::never},
    MistakeRow{"packed_split", "", "the packed weight is cut by another layout", "queries, keys and values are mixed",
     "", "[3, heads, dim] in nn.MultiheadAttention and GPT-2, [heads, 3, dim] in GPT-NeoX and BLOOM",
     packed_blind, "more than one head", packed_heads, packed_split, Pairs::never},
    MistakeRow{"packed_order", "", "the packed weight is read in another order than query, key, value", "queries, keys and values are exchanged in a circle",
     "", "in_proj_weight holds the rows of query, key and value, in this order", packed_blind, "weights that differ", packed, packed_order, Pairs::never},
};
// clang-format on

}  // namespace
}  // namespace of_sources

std::span<const MistakeRow> rows_of_sources() { return of_sources::table; }

}  // namespace attn
