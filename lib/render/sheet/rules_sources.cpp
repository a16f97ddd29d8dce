// What comes before the scores: projections, norms, rotary positions, caches.
#include "lib/input/choices.hpp"
#include "lib/render/sheet/rules.hpp"

namespace attn::sheet {
namespace {

/// x · W + b for some rows of x and some columns of W.
std::string product(Book& book, WeightRole role, const std::string& rows, Index column, Index columns) {
    const Grid& w = book.weight(role);
    const Index last = column + columns - 1;
    std::string out = "MMULT(" + rows + "," + w.range(w.all_rows(0, 0), column, last) + ")";
    if (const Grid* b = book.bias(role)) out += "+" + b->range({}, column, last);
    return out;
}

/// What a norm is called in formulas: its eps, what it is of, its weight.
struct NormNames {
    const char *eps, *of, *weight;
};
NormNames names_of(Stage stage) {
    if (stage == Stage::normed_queries) return {"norm_eps", "queries and keys", "q_norm"};
    if (stage == Stage::normed_keys) return {"norm_eps", "queries and keys", "k_norm"};
    if (stage == Stage::normed_values) return {"value_norm_eps", "values", "v_norm"};
    if (stage == Stage::normed_context) return {"context_eps", "contexts", "context_norm"};
    if (stage == Stage::normed_latent) return {"latent_eps", "the latent", "kv_a_layernorm"};
    if (stage == Stage::normed_query_latent)
        return {"query_latent_eps", "the latent of the queries", "q_a_layernorm"};
    if (is_embeddings(stage)) return {"embeddings_eps", "embeddings", "embeddings_norm"};
    return {"concat_eps", "the joined heads", "concat_norm"};
}

/// What a norm divides by, and what it takes away first.
struct NormText {
    std::string less, by;
};
NormText norm_text(Book& book, Stage stage, const std::string& row, Index width) {
    const PlannedNorm& norm = book.plan().norm_of(stage);
    const NormNames names = names_of(stage);
    const std::string eps =
                          book.parameter(names.eps, norm.eps, std::string("eps of the norm of ") + names.of),
                      n = std::to_string(width);
    switch (norm.type) {
        case NormType::rms:
            return {"", "SQRT(SUMSQ(" + row + ")/" + n + "+" + eps + ")"};
        case NormType::layer:
            return {"AVERAGE(" + row + ")", "SQRT(DEVSQ(" + row + ")/" + n + "+" + eps + ")"};
        case NormType::l2:
            return {"", "SQRT(SUMSQ(" + row + ")+" + eps + ")"};
    }
    return {};
}

/// The parameter to which a stage is clamped, or "".
std::string limit_text(Book& book, Stage stage) {
    const std::optional<double> limit = book.plan().limit_of(stage);
    return limit ? book.parameter("clip_qkv", *limit, "queries, keys and values are clamped to it") : "";
}
std::string clamp_text(const std::string& limit, const std::string& text) {
    return limit.empty() ? text : "MAX(-" + limit + ",MIN(" + limit + "," + text + "))";
}

}  // namespace

Rule projected(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const bool of_queries = stage.stage == Stage::queries, of_keys = stage.stage == Stage::keys;
    const WeightRole role = of_queries ? WeightRole::query : of_keys ? WeightRole::key : WeightRole::value;
    const Index dim = stage.shape.back();
    if (plan.projected_given) return {.because = "the document's own numbers: change them", .given = true};
    const bool from_latent =
        plan.variant->is_latent() && (!of_queries || plan.projects(WeightRole::query_latent));
    const Grid& x = from_latent ? book.grid(stage.reads.front())
                                : book.embedded(of_queries ? *plan.query_input
                                                : of_keys  ? *plan.key_input
                                                           : *plan.value_input);
    if (!plan.projects(role))
        return {.cell = [&x, dim](const At& at) {
            return "=" + x.cell({at.item, 0, at.row, at.head * dim + at.column});
        }};
    // Where W_query holds the gate too, a head has twice as many columns.
    const Index stride = of_queries && plan.gate && plan.gate->from_queries ? 2 * dim : dim;
    product(book, role, "", 0, 1);  // the sheets are there
    if (const std::string limit = limit_text(book, stage.stage); !limit.empty())
        return {.cell = [&book, &x, role, stride, limit](const At& at) {
            const std::string row = x.row({at.item, 0, at.row, 0});
            return array(clamp_text(limit, product(book, role, row, at.head * stride + at.column, 1)));
        }};
    return {.block = [&book, &x, role, dim, stride](const RowsAt& at) {
        const std::string rows = x.range({at.item, 0, at.from, at.to});
        return array(product(book, role, rows, at.head * stride, dim));
    }};
}

Rule latent(Book& book, const PlannedStage& stage) {
    const bool of_queries = stage.stage == Stage::query_latent;
    const WeightRole role = of_queries ? WeightRole::query_latent : WeightRole::latent;
    const Grid& x = book.embedded(of_queries ? *book.plan().query_input : *book.plan().key_input);
    product(book, role, "", 0, 1);
    return {.block = [&book, &x, role](const RowsAt& at) {
        return array(product(book, role, x.range(at), 0, book.plan().projection(role).d_out));
    }};
}

Rule normed(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const PlannedNorm& norm = plan.norm_of(stage.stage);
    const Grid& x = stage.stage == Stage::normed_embeddings       ? book.embeddings(*plan.query_input)
                    : stage.stage == Stage::normed_key_embeddings ? book.embeddings(*plan.key_input)
                                                                  : book.grid(stage.reads.front());
    const Index dim = stage.shape.back(), heads = norm.over_width ? stage.shape[1] : 1;
    if (heads > 64) return values_because("a norm over more than 64 heads is too long a formula");
    const std::string name = names_of(stage.stage).weight;
    const auto vector = [&](const std::optional<std::size_t>& k, const std::string& of,
                            const char* words) -> const Grid* {
        return k ? &book.tensor(*k, of, words, {1, 1, 1, *element_count(plan.tensors[*k].shape)}) : nullptr;
    };
    const Grid* gain = vector(norm.weight, name, "the weight of the norm");
    const Grid* bias = vector(norm.bias, name + "_bias", "the bias of the norm");
    norm_text(book, stage.stage, "", 1);
    const std::string init =
        norm.factor == 1 ? ""
                         : book.parameter("lambda_init", plan.differential->init, "what lambda begins with");
    return {.cell = [&book, &x, &norm, gain, bias, dim, heads, init, of = stage.stage,
                     limit = limit_text(book, stage.stage)](const At& at) {
        std::string row = x.row(at);
        if (heads > 1) {
            row.clear();
            for (Index h = 0; h < heads; ++h) row += (h == 0 ? "" : ",") + x.row({at.item, h, at.row, 0});
        }
        const NormText text = norm_text(book, of, row, dim * heads);
        std::string out =
            (text.less.empty() ? x.cell(at) : "(" + x.cell(at) + "-" + text.less + ")") + "/" + text.by;
        const At place{0, 0, 0, norm.gain_at(at.head, at.column, dim)};
        if (gain) out += norm.plus_one ? "*(1+" + gain->cell(place) + ")" : "*" + gain->cell(place);
        if (norm.factor != 1) out += "*(1-" + init + ")";
        if (bias) out += "+" + bias->cell(place);
        return "=" + clamp_text(limit, out);
    }};
}

namespace {

const Grid* gain_of(Book& book, Stage stage) {
    const PlannedNorm& norm = book.plan().norm_of(stage);
    if (!norm.weight) return nullptr;
    return &book.tensor(*norm.weight, names_of(stage).weight, "the weight of the norm",
                        {1, 1, 1, *element_count(book.plan().tensors[*norm.weight].shape)});
}

}  // namespace

void prepare_norm(Book& book, const PlannedStage& made) {
    norm_text(book, made.stage, "", 1);
    gain_of(book, made.stage);
    if (book.plan().norm_of(made.stage).factor != 1)
        book.parameter("lambda_init", book.plan().differential->init, "what lambda begins with");
}

std::string norm_back_text(Book& book, const PlannedStage& made, const Grid& x, const Grid& d, const At& at) {
    const PlannedNorm& norm = book.plan().norm_of(made.stage);
    const Index dim = made.shape.back();
    const std::string row = x.row(at), n = norm.type == NormType::l2 ? "" : "/" + std::to_string(dim);
    const NormText text = norm_text(book, made.stage, row, dim);
    std::string e = d.cell(at), es = d.row(at);
    if (const Grid* gain = gain_of(book, made.stage)) {
        const std::string own = gain->cell({0, 0, 0, norm.gain_at(at.head, at.column, dim)}),
                          all = gain->range({}, norm.gain_at(at.head, 0, dim),
                                            norm.gain_at(at.head, dim - 1, dim));
        e += norm.plus_one ? "*(1+" + own + ")" : "*" + own;
        es += norm.plus_one ? "*(1+" + all + ")" : "*" + all;
    }
    if (norm.factor != 1) {
        e += "*(1-lambda_init)";
        es += "*(1-lambda_init)";
    }
    const std::string less = text.less.empty() ? "" : "-" + text.less;
    const std::string along = "SUMPRODUCT(" + es + ",(" + row + less + "))" + n;
    std::string out = e + "-(" + x.cell(at) + less + ")/" + text.by + "*" + along + "/" + text.by;
    if (norm.type == NormType::layer) out += "-SUMPRODUCT(" + es + ")" + n;
    return "(" + out + ")/" + text.by;
}

Rule tempered(Book& book, const PlannedStage& stage) {
    const PlannedQueryScale& scale = *book.plan().query_scale;
    const Grid& by = book.query_scale(scale);
    return from_cell(book.grid(stage.reads.front()), [&by](const std::string& x, const At& at) {
        return "=" + x + "*" + by.cell({at.item, at.head, at.row, 0});
    });
}

namespace {

/// A column that turns: the pair it belongs to, and whether it is the second of it.
struct TurnedColumn {
    Index column = 0, pair = 0, first = 0, second = 0;
    bool is_second = false;
};
TurnedColumn turned(const PlannedRope& rope, Index column) {
    const Index pair = rope.pair_of(column), first = rope.first_of(pair);
    return {column, pair, first, rope.second_of(pair), column != first};
}

std::string turn_text(const PlannedRope& rope, const Book::Turn& turn, const TurnedColumn& c, const At& token,
                      const std::string& first, const std::string& second) {
    const At angle{token.item, 0, token.row, rope.by_column ? c.column : c.pair};
    const std::string along = (c.is_second ? second : first) + "*" + turn.cos->cell(angle),
                      across = (c.is_second ? first : second) + "*" + turn.sin->cell(angle);
    return "=" + along + (c.is_second != rope.reverse ? "+" : "-") + across;
}

}  // namespace

Rule rope_keys(Book& book) {
    const Plan& plan = book.plan();
    const Grid& x = book.embedded(*plan.key_input);
    const Book::Turn turn = book.turn(true);
    product(book, WeightRole::rope_key, "", 0, 1);
    return {.cell = [&book, &x, turn](const At& at) {
        const TurnedColumn c = turned(*book.plan().rope, at.column);
        const std::string row = x.row({at.item, 0, at.row, 0});
        const auto column = [&](Index k) {
            return "(" + product(book, WeightRole::rope_key, row, k, 1) + ")";
        };
        const std::string text = turn_text(*book.plan().rope, turn, c, at, column(c.first), column(c.second));
        return array(text.substr(1));
    }};
}

Rule rotated(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const bool of_keys = stage.stage == Stage::rotated_keys;
    const Grid& x = book.grid(stage.reads.front());
    if (of_keys && plan.projects(WeightRole::rope_key)) {
        const Grid& shared = book.grid(Stage::rope_keys);
        return {.cell = [&x, &shared, width = plan.key_dim](const At& at) {
            return "=" +
                   (at.column < width ? x.cell(at) : shared.cell({at.item, 0, at.row, at.column - width}));
        }};
    }
    const Book::Turn turn = book.turn(of_keys);
    return {.cell = [&book, &x, turn, first = of_keys ? 0 : plan.rope->first_query](const At& at) {
        const PlannedRope& rope = *book.plan().rope;
        if (at.column < first || at.column >= first + rope.dims) return "=" + x.cell(at);
        const TurnedColumn c = turned(rope, at.column - first);
        const auto column = [&](Index k) { return x.cell({at.item, at.head, at.row, first + k}); };
        return turn_text(rope, turn, c, at, column(c.first), column(c.second));
    }};
}

Rule mapped(Book& book, const PlannedStage& stage) {
    const Grid& x = book.grid(stage.reads.front());
    switch (*book.plan().state->feature_map) {
        case FeatureMap::elu1:
            return from_cell(x, [](const std::string& v, const At&) {
                return "=IF(" + v + ">0," + v + "+1,EXP(" + v + "))";
            });
        case FeatureMap::relu:
            return from_cell(x, [](const std::string& v, const At&) { return "=MAX(0," + v + ")"; });
        case FeatureMap::silu:
            return from_cell(
                x, [](const std::string& v, const At&) { return "=" + v + "/(1+EXP(MIN(700,-" + v + ")))"; });
        case FeatureMap::identity:
            break;
    }
    return from_cell(x, [](const std::string& v, const At&) { return "=" + v; });
}

Rule convolved(Book& book, const PlannedStage& stage) {
    constexpr Index most_taps = 16;
    const Plan& plan = book.plan();
    const PlannedConv& conv = *plan.conv;
    const PlannedConv::Part& part = conv.of(stage.stage);
    const Grid& x = book.grid(stage.reads.front());
    const Index tokens = stage.stage == Stage::convolved_queries ? plan.queries : plan.new_keys;
    if (static_cast<Index>(x.rows.size()) != tokens)
        return values_because("a convolution reads tokens that are not shown");
    if (conv.taps > most_taps)
        return values_because("a convolution over so many tokens is too long a formula");
    const bool packed = conv.parts[0].weight == conv.parts[1].weight;
    const std::string name = packed ? "conv" : "conv_" + std::string(x.sheet);
    const Index rows = *element_count(plan.tensors[part.weight].shape) / conv.taps;
    const Grid& taps = book.tensor(part.weight, name, "what the tokens of a convolution are multiplied by",
                                   {1, 1, rows, conv.taps});
    const Grid* bias =
        part.bias ? &book.tensor(*part.bias, name + "_bias", "what a convolution adds", {1, 1, rows, 1})
                  : nullptr;
    const Grid* past = conv.past ? &book.tensor(*conv.past, "past_conv", "what came before the first token",
                                                {plan.batch, 1, conv.width, conv.taps - 1})
                                 : nullptr;
    return {.cell = [&x, &conv, &part, &taps, bias, past, dim = stage.shape.back()](const At& at) {
        const Index channel = at.head * dim + at.column;
        std::string z;
        for (Index k = 0; k < conv.taps; ++k) {
            const Index token = at.row + k + 1 - conv.taps;
            if (token < 0 && !past) continue;
            const std::string seen = token < 0 ? past->cell({at.item, 0, part.past + channel, at.row + k})
                                               : x.cell({at.item, at.head, token, at.column});
            z += (z.empty() ? "" : "+") + seen + "*" + taps.cell({0, 0, part.first + channel, k});
        }
        if (bias) z += "+" + bias->cell({0, 0, part.first + channel, 0});
        return conv.silu ? "=(" + z + ")/(1+EXP(MIN(700,-(" + z + "))))" : "=" + z;
    }};
}

Rule all_keys(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const bool of_keys = stage.stage == Stage::all_keys;
    const Index dim = stage.shape.back();
    const Grid& made = book.grid(stage.reads.front());
    const Grid *past = nullptr, *shared = nullptr, *bias = nullptr;
    const WeightRole role = of_keys ? WeightRole::key : WeightRole::value;
    if (plan.past_latent) {
        past = &book.tensor(*plan.past_latent, "past_latent", "the document's cache",
                            {plan.batch, 1, plan.past, plan.projection(WeightRole::latent).d_out});
        if (of_keys && plan.past_rope_keys)
            shared = &book.tensor(*plan.past_rope_keys, "past_rope_keys", "the document's cache",
                                  {plan.batch, 1, plan.past, plan.rope->dims});
    } else if (const auto& k = of_keys ? plan.past_keys : plan.past_values) {
        past = &book.tensor(*k, of_keys ? "past_keys" : "past_values", "the document's cache",
                            {plan.batch, of_keys ? plan.kv_heads : plan.value_heads(), plan.past, dim});
    }
    if (const auto& k = of_keys ? plan.bias_k : plan.bias_v)
        bias = &book.tensor(*k, of_keys ? "bias_k" : "bias_v", "a key and a value that are appended",
                            {1, of_keys ? plan.kv_heads : plan.value_heads(), 1, dim});
    return {.cell = [&book, &made, past, shared, bias, role, of_keys](const At& at) -> std::string {
        const Plan& p = book.plan();
        if (at.row < p.past) {
            if (!p.past_latent) return "=" + past->cell(at);
            const Index width = of_keys ? p.key_dim : p.value_dim;
            if (at.column >= width) return "=" + shared->cell({at.item, 0, at.row, at.column - width});
            return array(
                product(book, role, past->row({at.item, 0, at.row, 0}), at.head * width + at.column, 1));
        }
        if (at.row < p.given_keys()) return "=" + made.cell({at.item, at.head, at.row - p.past, at.column});
        if (at.row == p.given_keys() && bias) return "=" + bias->cell({0, at.head, 0, at.column});
        return "=0";
    }};
}

}  // namespace attn::sheet
