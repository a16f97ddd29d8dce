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

/// What a norm divides by, and what it takes away first.
struct NormText {
    std::string less, by;
};
NormText norm_text(Book& book, const QkNorm& norm, const std::string& row, Index width) {
    const std::string eps = book.parameter("norm_eps", norm.eps, "eps of the norm of queries and keys"),
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

}  // namespace

Rule projected(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const bool of_queries = stage.stage == Stage::queries, of_keys = stage.stage == Stage::keys;
    const WeightRole role = of_queries ? WeightRole::query : of_keys ? WeightRole::key : WeightRole::value;
    const Index dim = stage.shape.back();
    if (plan.projected_given) return {.because = "the document's own numbers: change them", .given = true};
    const bool from_latent = !of_queries && plan.variant->is_latent();
    const Grid& x = from_latent ? book.grid(Stage::latent)
                                : book.embeddings(of_queries ? *plan.query_input
                                                  : of_keys  ? *plan.key_input
                                                             : *plan.value_input);
    if (!plan.projects(role))
        return {.cell = [&x, dim](const At& at) {
            return "=" + x.cell({at.item, 0, at.row, at.head * dim + at.column});
        }};
    // Where W_query holds the gate too, a head has twice as many columns.
    const Index stride = of_queries && plan.gate && plan.gate->from_queries ? 2 * dim : dim;
    const bool two = of_queries && plan.projects(WeightRole::query_latent);
    product(book, role, "", 0, 1);  // the sheets are there
    if (two) product(book, WeightRole::query_latent, "", 0, 1);
    return {.block = [&book, &x, role, dim, stride, two](const RowsAt& at) {
        std::string rows = x.range({at.item, 0, at.from, at.to});
        if (two)
            rows = product(book, WeightRole::query_latent, rows, 0,
                           book.plan().projection(WeightRole::query_latent).d_out);
        return array(product(book, role, rows, at.head * stride, dim));
    }};
}

Rule latent(Book& book) {
    const Grid& x = book.embeddings(*book.plan().key_input);
    product(book, WeightRole::latent, "", 0, 1);
    return {.block = [&book, &x](const RowsAt& at) {
        return array(product(book, WeightRole::latent, x.range(at), 0,
                             book.plan().projection(WeightRole::latent).d_out));
    }};
}

Rule normed(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const QkNorm& norm = *plan.qk_norm;
    const bool of_queries = stage.stage == Stage::normed_queries;
    const Grid& x = book.grid(stage.reads.front());
    const Index dim = stage.shape.back(), heads = norm.over_width ? stage.shape[1] : 1;
    if (heads > 64) return values_because("a norm over more than 64 heads is too long a formula");
    const std::optional<std::size_t>& weight = of_queries ? plan.query_norm : plan.key_norm;
    const Grid* gain = nullptr;
    if (weight)
        gain = &book.tensor(*weight, of_queries ? "q_norm" : "k_norm", "the weight of the norm",
                            {1, 1, 1, *element_count(plan.tensors[*weight].shape)});
    norm_text(book, norm, "", 1);
    return {.cell = [&book, &x, &norm, gain, dim, heads](const At& at) {
        std::string row = x.row(at);
        if (heads > 1) {
            row.clear();
            for (Index h = 0; h < heads; ++h) row += (h == 0 ? "" : ",") + x.row({at.item, h, at.row, 0});
        }
        const NormText text = norm_text(book, norm, row, dim * heads);
        std::string out =
            "=" + (text.less.empty() ? x.cell(at) : "(" + x.cell(at) + "-" + text.less + ")") + "/" + text.by;
        if (!gain) return out;
        const std::string weight_cell = gain->cell({0, 0, 0, (heads > 1 ? at.head * dim : 0) + at.column});
        return out + (norm.plus_one ? "*(1+" + weight_cell + ")" : "*" + weight_cell);
    }};
}

namespace {

/// A column that turns: its pair, and whether it is the second of it.
struct TurnedColumn {
    Index pair = 0, first = 0, second = 0;
    bool is_second = false;
};
TurnedColumn turned(const PlannedRope& rope, Index column) {
    const Index pairs = rope.dims / 2;
    if (rope.interleaved) return {column / 2, column - column % 2, column - column % 2 + 1, column % 2 == 1};
    const Index pair = column % pairs;
    return {pair, pair, pair + pairs, column >= pairs};
}

std::string turn_text(const Book::Turn& turn, const TurnedColumn& c, const At& token,
                      const std::string& first, const std::string& second) {
    const At angle{token.item, 0, token.row, c.pair};
    return "=" + first + "*" + (c.is_second ? turn.sin : turn.cos)->cell(angle) + (c.is_second ? "+" : "-") +
           second + "*" + (c.is_second ? turn.cos : turn.sin)->cell(angle);
}

}  // namespace

Rule rope_keys(Book& book) {
    const Plan& plan = book.plan();
    const Grid& x = book.embeddings(*plan.key_input);
    const Book::Turn turn = book.turn(true);
    product(book, WeightRole::rope_key, "", 0, 1);
    return {.cell = [&book, &x, turn](const At& at) {
        const TurnedColumn c = turned(*book.plan().rope, at.column);
        const std::string row = x.row({at.item, 0, at.row, 0});
        const auto column = [&](Index k) {
            return "(" + product(book, WeightRole::rope_key, row, k, 1) + ")";
        };
        const std::string text = turn_text(turn, c, at, column(c.first), column(c.second));
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
        return turn_text(turn, c, at, column(c.first), column(c.second));
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
        case FeatureMap::identity:
            break;
    }
    return from_cell(x, [](const std::string& v, const At&) { return "=" + v; });
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
                            {plan.batch, plan.kv_heads, plan.past, dim});
    }
    if (const auto& k = of_keys ? plan.bias_k : plan.bias_v)
        bias = &book.tensor(*k, of_keys ? "bias_k" : "bias_v", "a key and a value that are appended",
                            {1, plan.kv_heads, 1, dim});
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
