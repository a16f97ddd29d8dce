// Scores, and what becomes of them before they are weights.
#include <cmath>

#include "lib/explain/writer.hpp"

namespace attn::explain {
namespace {

void explain_products(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const Index kv = plan.kv_head_of(row.head);
    std::function<Expr(Index)> q = [&](Index d) {
        return w.at(w.query_stage(), row.batch, row.head, row.row, d);
    };
    const auto k = [&](Index key, Index d) { return w.at(w.key_stage(), row.batch, kv, key, d); };
    std::vector<Expr> mapped;
    if (plan.projects(WeightRole::score)) {
        // One query meets every key: its product with the matrix comes first.
        for (Index o = 0; o < plan.dim; ++o)
            mapped.push_back(w.between("query·W_score d" + std::to_string(o),
                                       "(query · W_score) d" + std::to_string(o),
                                       w.projected(WeightRole::score, o, q)));
        q = [&](Index d) { return mapped[idx(d)]; };
    }
    w.why(plan.kv_heads == plan.heads
              ? "how well does the query match each key?"
              : "how well does the query match each key? its keys are those of head " + std::to_string(kv));
    const std::string query = w.query_label(row.row);
    w.each(columns, "keys", [&](Index key) {
        Expr e = w.sum_of(plan.dim, [&](Index d) {
            if (!plan.additive) return product({q(d), k(key, d)});
            const Index own =
                *element_count(plan.tensors[*plan.additive].shape) > plan.dim ? row.head * plan.dim : 0;
            return product(
                {w.tensor(*plan.additive, own + d), function(Expr::Kind::tanh, sum({q(d), k(key, d)}))});
        });
        w.result(cell_of(row, key), query + "·" + w.key_label(key), std::move(e)).chained = true;
    });
}

void explain_scaled(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const bool by_root = plan.scale_root > 0;
    w.why(by_root ? "keeps scores small when the width is large" : "the scale that was asked for");
    w.each(columns, "keys", [&](Index key) {
        Expr x = previous(w, row, key);
        w.result(cell_of(row, key), w.key_label(key),
                 by_root ? quotient(std::move(x), function(Expr::Kind::root,
                                                           constant(static_cast<double>(plan.scale_root))))
                         : product({std::move(x), constant(plan.scale)}));
    });
}

void explain_capped(Writer& w, const RowOf& row, Columns columns) {
    const Expr c = constant(*w.plan.softcap);
    w.why("no score leaves -c to c; small ones hardly change");
    w.each(columns, "keys", [&](Index key) {
        w.result(cell_of(row, key), w.key_label(key),
                 product({c, function(Expr::Kind::tanh, quotient(previous(w, row, key), c))}));
    });
}

void explain_biased(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    const Index diagonal = row.row + plan.offsets[idx(row.batch)];
    const bool by_bucket = plan.position_bias && plan.position_bias->buckets;
    w.why(plan.alibi.empty() && by_bucket
              ? "a number for the distance from the query to the key: that of its bucket"
          : plan.alibi.empty()
              ? "a number for each pair of places"
              : "the farther a key, the lower its score: slope · (place of the query - place "
                "of the key)");
    w.each(columns, "keys", [&](Index key) {
        std::vector<Expr> parts{previous(w, row, key)};
        const bool appended = key >= plan.given_keys();
        if (!plan.alibi.empty() && !appended) {
            Expr slope = constant(plan.alibi[idx(row.head)]);
            slope.place = "slope[" + std::to_string(row.head) + "]";
            Expr bias = product({std::move(slope), difference(constant(static_cast<double>(diagonal)),
                                                              constant(static_cast<double>(key)))});
            bias.minus = true;
            parts.push_back(std::move(bias));
        }
        if (plan.position_bias && !appended)
            parts.push_back(
                w.tensor(plan.position_bias->tensor, plan.bias_number(row.batch, row.head, row.row, key)));
        w.result(cell_of(row, key), w.key_label(key), sum(std::move(parts)),
                 appended ? "appended: no bias" : "");
    });
}

void explain_masked(Writer& w, const RowOf& row, Columns columns) {
    const Plan& plan = w.plan;
    w.why("what the query may not see gets -inf: its weight will be 0");
    w.each(columns, "keys", [&](Index key) {
        const Cell cell = cell_of(row, key);
        if (w.values.is_hidden(cell)) {
            w.result(cell, w.key_label(key), std::nullopt, "hidden: " + rule_of(w, row, key));
            return;
        }
        std::vector<Expr> parts{previous(w, row, key)};
        if (key < plan.given_keys())
            for (const MaskRule& m : plan.masks)
                if (m.kind == MaskKind::add)
                    parts.push_back(w.broadcast(m.tensor, row.batch, row.head, row.row, key));
        const bool adds = parts.size() > 1;
        w.result(cell, w.key_label(key), sum(std::move(parts)), adds ? "" : "visible");
    });
}

}  // namespace

void explain_scores(Writer& w, const RowOf& row, Columns columns) {
    switch (row.stage) {
        case Stage::scaled_scores:
            return explain_scaled(w, row, columns);
        case Stage::capped_scores:
            return explain_capped(w, row, columns);
        case Stage::biased_scores:
            return explain_biased(w, row, columns);
        case Stage::masked_scores:
            return explain_masked(w, row, columns);
        default:
            return explain_products(w, row, columns);
    }
}

namespace {

/// What causal, window and chunk say of a pair that no prefix and no block shows; empty: it is visible.
std::string hidden_by_place(const Writer& w, const RowOf& row, Index key) {
    const Plan& plan = w.plan;
    const Index offset = plan.offsets[idx(row.batch)], diagonal = row.row + offset;
    const auto n = [](Index k) { return std::to_string(k); };
    const std::string place = offset == 0  ? n(row.row)
                              : offset > 0 ? n(row.row) + " + " + n(offset)
                                           : n(row.row) + " - " + n(-offset);
    if (plan.causal && key > diagonal) return "key " + n(key) + " > query " + place;
    if (plan.window && plan.window->left && key < diagonal - *plan.window->left)
        return "window: key " + n(key) + " < query " + place + " - " + n(*plan.window->left);
    if (plan.window && plan.window->right && key > diagonal + *plan.window->right)
        return "window: key " + n(key) + " > query " + place + " + " + n(*plan.window->right);
    if (plan.chunk && floor_of(key, *plan.chunk) != floor_of(diagonal, *plan.chunk))
        return "chunk: key " + n(key) + " is in chunk " + n(floor_of(key, *plan.chunk)) + ", query " + place +
               " in chunk " + n(floor_of(diagonal, *plan.chunk));
    return {};
}

}  // namespace

/// Mirrors Mask in lib/run: causal, window, chunk, unless a prefix or a block shows the pair; lengths, then
/// the rules of single cells.
std::string rule_of(const Writer& w, const RowOf& row, Index key) {
    const Plan& plan = w.plan;
    const auto n = [](Index k) { return std::to_string(k); };
    if (!plan.shows_anyway(row.batch, row.row, key)) {
        std::string why = hidden_by_place(w, row, key);
        if (!why.empty()) return why;
    }
    if (plan.key_lengths) {
        const Index length = (*plan.key_lengths)[idx(row.batch)];
        if (key >= length) return "key " + n(key) + " is past the key length " + n(length);
    }
    for (const MaskRule& m : plan.masks) {
        const Expr cell = w.broadcast(m.tensor, row.batch, row.head, row.row, key);
        if (m.kind == MaskKind::drop && cell.value != 0) return cell.place + " drops it";
        if (m.kind == MaskKind::keep && cell.value == 0) return cell.place + " does not keep it";
        if (m.kind == MaskKind::add && std::isinf(cell.value)) return cell.place + " is -inf";
    }
    return "by the mask";
}

}  // namespace attn::explain
