// From the scores to the weights.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "lib/render/sheet/rules.hpp"

namespace attn::sheet {
namespace {

/// At the right of weights: a blank column and the maximum, another and the sum, another and the
/// exponentials.
constexpr Index maximum_beside = 1, sum_beside = 3, exponentials_beside = 5;

/// What an empty row's weights are.
std::string fill_text(const Plan& plan) {
    return plan.empty_rows == EmptyRows::uniform ? "1/" + std::to_string(plan.keys) : "0";
}

/// Cells may say "-inf", which is text: a sheet has no infinity.
bool may_be_hidden(const Plan& plan) { return plan.masked && plan.mask_at != MaskAt::weights; }

constexpr bool hides(double score) { return score == -std::numeric_limits<double>::infinity(); }

double sum_of(std::span<const double> row) {
    double sum = 0;
    for (const double v : row) sum += hides(v) ? 0 : v;
    return sum;
}

}  // namespace

std::string scale_text(Book& book) {
    const Plan& plan = book.plan();
    return book.parameter("scale", plan.scale, "scores times it: " + plan.scale_text,
                          plan.scale_root > 0 ? "=1/SQRT(" + std::to_string(plan.scale_root) + ")" : "");
}

std::string cap_text(Book& book) {
    return book.parameter("softcap", *book.plan().softcap, "scores stay between -this and this");
}

std::string dropout_text(Book& book) {
    return book.parameter("dropout_p", book.plan().dropout->p, "the share of weights that is dropped");
}

const Grid& additive_vector(Book& book) {
    const Plan& plan = book.plan();
    const Index n = *element_count(plan.tensors[*plan.additive].shape);
    return book.tensor(*plan.additive, "v", "v of v · tanh(query + key)",
                       {1, n > plan.dim ? plan.heads : 1, 1, plan.dim});
}

Rule scores(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const Grid &q = book.grid(stage.reads[0]), &k = book.grid(stage.reads[1]);
    if (plan.additive) {
        const Grid& v = additive_vector(book);
        return {.cell = [&plan, &q, &k, &v](const At& at) {
            return "=SUMPRODUCT(" + v.row({0, at.head, 0, 0}) + ",TANH(" + q.row(at) + "+" +
                   k.row({at.item, plan.kv_head_of(at.head), at.column, 0}) + "))";
        }};
    }
    const Grid* w = plan.projects(WeightRole::score) ? &book.weight(WeightRole::score) : nullptr;
    return {.block = [&plan, &q, &k, w](const RowsAt& at) {
        std::string rows = q.range(at);
        if (w) rows = "MMULT(" + rows + "," + w->range(w->all_rows(0, 0)) + ")";
        return array("MMULT(" + rows + ",TRANSPOSE(" +
                     k.range(k.all_rows(at.item, plan.kv_head_of(at.head))) + "))");
    }};
}

namespace {

/// x, or "-inf" where a mask before this stage said so.
std::string unless_hidden(bool hidden, const std::string& x, const std::string& text) {
    return hidden ? "=IF(ISNUMBER(" + x + ")," + text + ",\"-inf\")" : "=" + text;
}

bool reads_hidden(const PlannedStage& stage, const Plan& plan) {
    return plan.masked && plan.mask_at == MaskAt::scores && stage.stage != Stage::masked_scores;
}

}  // namespace

Rule scaled_scores(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const std::string scale = scale_text(book);
    const bool hidden = reads_hidden(stage, plan);
    return from_cell(book.grid(stage.reads.front()), [scale, hidden](const std::string& x, const At&) {
        return unless_hidden(hidden, x, x + "*" + scale);
    });
}

Rule capped_scores(Book& book, const PlannedStage& stage) {
    const std::string cap = cap_text(book);
    const bool hidden = reads_hidden(stage, book.plan());
    return from_cell(book.grid(stage.reads.front()), [cap, hidden](const std::string& x, const At&) {
        return unless_hidden(hidden, x, cap + "*TANH(" + x + "/" + cap + ")");
    });
}

Rule biased_scores(Book& book, const PlannedStage& stage, const Grid& own) {
    const Plan& plan = book.plan();
    const Grid *slopes = nullptr, *bias = nullptr;
    if (!plan.alibi.empty()) {
        slopes = &book.per_head("slopes", "ALiBi: a number for each head", plan.alibi);
        for (const Index item : plan.batch_shown.indices) book.query_offset(item);
    }
    if (plan.position_bias) bias = &book.position_bias();
    const bool hidden = reads_hidden(stage, plan);
    return from_cell(book.grid(stage.reads.front()), [&book, &plan, &own, slopes, bias, hidden](
                                                         const std::string& x, const At& at) {
        if (at.column >= plan.given_keys()) return "=" + x;
        std::string text = x;
        if (slopes)
            text += "-" + slopes->cell({0, 0, 0, at.head}) + "*(" + own.row_number(at) + "+" +
                    book.query_offset(at.item) + "-" + own.column_number(at) + ")";
        if (bias)
            text += "+" + bias->cell({bias->items.size() > 1 ? at.item : 0, at.head, at.row, at.column});
        return unless_hidden(hidden, x, text);
    });
}

Rule masked_scores(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const Grid& visible = book.visible();
    std::vector<const Grid*> added;
    for (std::size_t k = 0; k < plan.masks.size(); ++k)
        if (plan.masks[k].kind == MaskKind::add)
            added.push_back(
                &book.cells_tensor(plan.masks[k].tensor,
                                   plan.masks.size() > 1 ? "mask_add_" + std::to_string(k) : "mask_add", ""));
    return from_cell(book.grid(stage.reads.front()),
                     [&plan, &visible, added](const std::string& x, const At& at) {
                         std::string text = x;
                         if (at.column < plan.given_keys())
                             for (const Grid* a : added) text += "+" + a->cell(at);
                         return "=IF(" + visible.cell(at) + "=1," + text + ",\"-inf\")";
                     });
}

Rule weights(Book& book, const PlannedStage& stage, const Grid& own) {
    const Plan& plan = book.plan();
    const Grid& x = book.grid(stage.reads.front());
    const bool hidden = may_be_hidden(plan), empties = hidden && !plan.has_appended();
    const std::string fill = fill_text(plan);
    Rule rule;
    rule.read = stage.reads.front();
    const auto unless_empty = [&x, empties, fill](const At& at, const std::string& text) {
        return empties ? "=IF(COUNT(" + x.row(at) + ")=0," + fill + "," + text + ")" : "=" + text;
    };
    if (plan.normalize == Normalize::sigmoid) {
        rule.cell = [&x, hidden, unless_empty](const At& at) {
            const std::string c = x.cell(at), text = "1/(1+EXP(MIN(700,-" + c + ")))";
            return unless_empty(at, hidden ? "IF(ISNUMBER(" + c + ")," + text + ",0)" : text);
        };
        return rule;
    }
    if (plan.normalize == Normalize::sum) {
        rule.beside = {{"row sum", false, [&x](const At& at) { return "=SUM(" + x.row(at) + ")"; }}};
        rule.numbers_beside = [](std::span<const double> row, Index) {
            return std::vector<double>{sum_of(row)};
        };
        rule.cell = [&x, &own, hidden, unless_empty](const At& at) {
            const std::string c = x.cell(at), text = c + "/" + own.right(at, 1);
            return unless_empty(at, hidden ? "IF(ISNUMBER(" + c + ")," + text + ",0)" : text);
        };
        return rule;
    }
    const Grid* sinks =
        plan.sinks.empty() ? nullptr : &book.per_head("sinks", "a logit for each head", plan.sinks);
    rule.beside = {
        {"maximum", false,
         [&x, sinks](const At& at) {
             return "=MAX(" + x.row(at) + (sinks ? "," + sinks->cell({0, 0, 0, at.head}) : "") + ")";
         }},
        {"row sum", false,
         [&plan, &own, sinks](const At& at) {
             return "=SUM(" + own.right(at, exponentials_beside, exponentials_beside + plan.keys - 1) + ")" +
                    (sinks ? "+EXP(" + sinks->cell({0, 0, 0, at.head}) + "-" + own.right(at, maximum_beside) +
                                 ")"
                           : "");
         }},
        {"e^(score - maximum)", true, [&x, &own, hidden](const At& at) {
             const std::string c = x.cell(at), text = "EXP(" + c + "-" + own.right(at, maximum_beside) + ")";
             return hidden ? "=IF(ISNUMBER(" + c + ")," + text + ",0)" : "=" + text;
         }}};
    rule.numbers_beside = [&plan](std::span<const double> row, Index head) {
        const double sink =
            plan.sinks.empty() ? -std::numeric_limits<double>::infinity() : plan.sinks[idx(head)];
        double max = sink;
        for (const double v : row) max = std::max(max, v);
        if (hides(max)) max = 0;  // MAX of no number
        std::vector<double> out{max, std::exp(sink - max)};
        for (const double v : row) {
            out.push_back(hides(v) ? 0 : std::exp(v - max));
            out[1] += out.back();
        }
        return out;
    };
    rule.cell = [&own, unless_empty](const At& at) {
        return unless_empty(at, own.right(at, exponentials_beside + own.place_of_column(at.column)) + "/" +
                                    own.right(at, sum_beside));
    };
    return rule;
}

Rule masked_weights(Book& book, const PlannedStage& stage) {
    const Grid& visible = book.visible();
    return from_cell(book.grid(stage.reads.front()), [&visible](const std::string& x, const At& at) {
        return "=IF(" + visible.cell(at) + "=1," + x + ",0)";
    });
}

Rule renormalized_weights(Book& book, const PlannedStage& stage, const Grid& own) {
    const Grid &x = book.grid(stage.reads.front()), &visible = book.visible();
    Rule rule;
    rule.read = stage.reads.front();
    rule.beside = {{"row sum", false, [&x](const At& at) { return "=SUM(" + x.row(at) + ")"; }}};
    rule.numbers_beside = [](std::span<const double> row, Index) { return std::vector<double>{sum_of(row)}; };
    rule.cell = [&x, &own, &visible, fill = fill_text(book.plan())](const At& at) {
        return "=IF(SUM(" + visible.row(at) + ")=0," + fill + "," + x.cell(at) + "/" + own.right(at, 1) + ")";
    };
    return rule;
}

Rule dropped_weights(Book& book, const PlannedStage& stage) {
    const Grid& kept = book.kept();
    const std::string p = dropout_text(book);
    return from_cell(book.grid(stage.reads.front()), [&kept, p](const std::string& x, const At& at) {
        return "=IF(" + p + "=1,0," + x + "*" + kept.cell(at) + "/(1-" + p + "))";
    });
}

std::string lambda_text(Book& book) {
    const PlannedDifferential& pairs = *book.plan().differential;
    if (pairs.lambda)
        return book.parameter("lambda", *pairs.lambda, "the factor of the second half's weights");
    constexpr std::array names{"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"};
    std::array<std::string, names.size()> rows;
    for (std::size_t k = 0; k < names.size(); ++k)
        rows[k] = book.tensor(pairs.vectors[k], names[k], "a part of lambda", {1, 1, 1, pairs.width}).row({});
    const std::string init = book.parameter("lambda_init", pairs.init, "what lambda begins with");
    return "(EXP(SUMPRODUCT(" + rows[0] + "," + rows[1] + "))-EXP(SUMPRODUCT(" + rows[2] + "," + rows[3] +
           "))+" + init + ")";
}

Rule differential_weights(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const PlannedDifferential& pairs = *plan.differential;
    const Grid& x = book.grid(stage.reads.front());
    const std::string lambda = lambda_text(book);
    return {.cell = [&plan, &pairs, &x, lambda](const At& at) {
        const auto half = [&](bool second) {
            return x.cell({at.item, pairs.half_of(at.head, second, plan.context_heads()), at.row, at.column});
        };
        return "=" + half(false) + "-" + lambda + "*" + half(true);
    }};
}

Rule log_sums(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    if (!plan.find(Stage::weights)->shown || !book.is_live(Stage::weights))
        return values_because("maxima and sums are those of weights, which has no formulas in this file");
    const Grid &x = book.grid(stage.reads.front()), &w = book.grid(Stage::weights);
    return {.cell = [&x, &w, empties = may_be_hidden(plan) && plan.sinks.empty()](const At& at) {
        const At row{at.item, at.head, at.column, 0};
        const std::string sheet = w.sheet + "!";
        const std::string text =
            sheet + w.right(row, maximum_beside) + "+LN(" + sheet + w.right(row, sum_beside) + ")";
        return empties ? "=IF(COUNT(" + x.row(row) + ")=0,\"-inf\"," + text + ")" : "=" + text;
    }};
}

}  // namespace attn::sheet
