// Gradients of stages: what enters, and what each stage that reads another sends back, summed.
#include <algorithm>
#include <utility>

#include "lib/option_words.hpp"
#include "lib/render/sheet/backwards.hpp"

namespace attn::sheet {
namespace {

bool is_cells(const PlannedStage& stage) {
    const Phase phase = info_of(stage.stage).phase;
    return phase == Phase::cells || phase == Phase::paired;
}

}  // namespace

std::string joined(const std::vector<std::string>& terms) {
    std::string out;
    for (const std::string& t : terms) out += (out.empty() ? "" : "+") + t;
    return out;
}

Rule gradient(Book& book, const PlannedStage& stage) { return Backwards(book, stage).rule(); }

Rule Backwards::rule() {
    if (of_.of == StageOf::parameter) {
        parameter();
    } else if (of_.of == StageOf::input) {
        input();
    } else {
        stage();
    }
    return made();
}

Rule Backwards::made() {
    if (!because_.empty()) return values_because(because_);
    if (parts_.empty()) return {.cell = [](const At&) { return "=0"; }};
    const std::vector<Part> parts = std::move(parts_);
    const auto all = [&](const auto& has) { return std::all_of(parts.begin(), parts.end(), has); };
    if (all([](const Part& p) { return p.rows != nullptr; }))
        return {.block = [parts](const RowsAt& at) {
            std::vector<std::string> terms;
            for (const Part& p : parts) terms.push_back(p.rows(at));
            return array(joined(terms));
        }};
    if (!all([](const Part& p) { return p.cell != nullptr; }))
        return values_because("its parts are made in two ways");
    const bool is_array = !all([](const Part& p) { return !p.is_array; });
    return {.cell = [parts, is_array](const At& at) {
        std::vector<std::string> terms;
        for (const Part& p : parts) terms.push_back(p.cell(at));
        return is_array ? array(joined(terms)) : "=" + joined(terms);
    }};
}

void Backwards::refuse(const std::string& because) {
    if (because_.empty()) because_ = because;
}

void Backwards::add_copy(const Grid* from, Index rows_later) {
    if (!from) return;
    add({[from, rows_later](const RowsAt& at) {
             return from->range({at.item, at.head, at.from + rows_later, at.to + rows_later});
         },
         [from, rows_later](const At& at) {
             return from->cell({at.item, at.head, at.row + rows_later, at.column});
         }});
}

void Backwards::add_cell(std::function<std::string(const At&)> cell, bool is_array) {
    add({{}, std::move(cell), is_array});
}

const Grid* Backwards::there(const PlannedStage* stage) {
    if (!stage->shown) {
        refuse(stage->name + " is not in this file (" + option::stages + ")");
        return nullptr;
    }
    return &book_.grid(*stage);
}

void Backwards::stage() {
    entering();
    if (of_.stage == Stage::state || of_.stage == Stage::states) return refuse(carried);
    for (const PlannedStage& by : plan_.stages)
        if (plan_.find_gradient(by.stage) &&
            std::find(by.reads.begin(), by.reads.end(), of_.stage) != by.reads.end())
            sent_back(by);
    layers(of_.stage, {});
}

void Backwards::entering() {
    const PlannedGradient& g = *plan_.gradient;
    const Shape& s = of_.shape;
    const auto given = [&](const std::optional<std::size_t>& t, const char* name) -> const Grid* {
        if (!t) return nullptr;
        const bool heads = has_heads(of_.family);
        return &book_.tensor(*t, name, "what enters the backward pass",
                             {s[0], heads ? s[1] : 1, s[s.size() - 2], s.back()});
    };
    if (of_.stage == Stage::context && g.context) add_copy(given(g.context, "gradient_context"));
    if (of_.stage == Stage::state && g.state) add_copy(given(g.state, "gradient_state"));
    if (of_.stage != g.result) return;
    if (g.output) add_copy(given(g.output, "gradient_output"));
    if (g.loss == Loss::sum) {
        const PlannedStage* result = plan_.find(g.result);
        const Grid* y = result->shown ? &book_.grid(*result) : nullptr;
        Part ones{{}, [](const At&) { return std::string("1"); }};
        if (y) ones.rows = [y](const RowsAt& at) { return "(" + y->range(at) + "*0+1)"; };
        add(std::move(ones));
    }
    if (g.loss != Loss::mean_squared_error) return;
    const Grid *y = of_stage(g.result), *target = given(g.target, "target");
    if (!y) return;
    const std::string n = std::to_string(*element_count(s));
    add({[=](const RowsAt& at) { return "2*(" + y->range(at) + "-" + target->range(at) + ")/" + n; },
         [=](const At& at) { return "2*(" + y->cell(at) + "-" + target->cell(at) + ")/" + n; }});
}

void Backwards::sent_back(const PlannedStage& by) {
    if (by.stage == Stage::state || by.stage == Stage::states) return;  // with the context
    if (is_cells(by) || by.stage == Stage::context) return cells(by);
    switch (by.stage) {
        case Stage::concat: {
            const Grid* d = gradient_of(by.stage);
            const Index width = plan_.value_dim;
            if (!d) return;
            return add({[=](const RowsAt& at) {
                            return d->range({at.item, 0, at.from, at.to}, at.head * width,
                                            (at.head + 1) * width - 1);
                        },
                        [=](const At& at) {
                            return d->cell({at.item, 0, at.row, at.head * width + at.column});
                        }});
        }
        case Stage::gated_context: {
            if (of_.stage != by.reads.front()) return;
            const Grid* d = gradient_of(by.stage);
            if (plan_.projected_given || !has_gate_matrix(plan_))
                return refuse("the gate is no product with a matrix here");
            if (!d) return;
            prepare_gate(book_);
            return add_rows([this_book = &book_, d](const RowsAt& at) {
                return d->range(at) + "*" + opening_text(*this_book, at);
            });
        }
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
        case Stage::tempered_queries: {
            const Grid *d = gradient_of(by.stage), *factor = &book_.query_scale(*plan_.query_scale);
            if (d)
                add_cell([=](const At& at) {
                    return d->cell(at) + "*" + factor->cell({at.item, at.head, at.row, 0});
                });
            return;
        }
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
            return map(by);
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
            return refuse("what a convolution sends back is no formula of a cell");
        case Stage::all_keys:
        case Stage::all_values:
            return add_copy(gradient_of(by.stage), plan_.past);
        default:  // layers
            return;
    }
}

void Backwards::map(const PlannedStage& by) {
    const Grid *d = gradient_of(by.stage), *x = of_stage(of_.stage);
    if (!have(d, x)) return;
    const FeatureMap kind = *plan_.state->feature_map;
    add_cell([=](const At& at) {
        std::string g = d->cell(at);
        const std::string v = x->cell(at), s = "(1/(1+EXP(MIN(700,-" + v + "))))";
        switch (kind) {
            case FeatureMap::elu1:
                return "IF(" + v + ">0," + g + "," + g + "*EXP(" + v + "))";
            case FeatureMap::relu:
                return "IF(" + v + ">0," + g + ",0)";
            case FeatureMap::silu:
                return g + "*" + s + "*(1+" + v + "*(1-" + s + "))";
            case FeatureMap::identity:
                break;
        }
        return g;
    });
}

void Backwards::norm(const PlannedStage& by) {
    const PlannedNorm& norm = plan_.norm_of(by.stage);
    if (norm.over_width) return refuse("what a norm over all heads sends back is too long a formula");
    if (plan_.limit_of(by.stage)) return refuse("what is clamped sends nothing back beyond its bound");
    const Grid* d = gradient_of(by.stage);
    const Grid* x = by.stage == Stage::normed_embeddings       ? &book_.embeddings(*plan_.query_input)
                    : by.stage == Stage::normed_key_embeddings ? &book_.embeddings(*plan_.key_input)
                                                               : of_stage(of_.stage);
    if (!have(d, x)) return;
    prepare_norm(book_, by);
    add_cell([this_book = &book_, stage = &by, d, x](const At& at) {
        return norm_back_text(*this_book, *stage, *x, *d, at);
    });
}

void Backwards::rotation(const PlannedStage& by) {
    const Grid* d = gradient_of(by.stage);
    if (!d) return;
    const Index width = plan_.key_dim;
    if (of_.stage == Stage::rope_keys) {
        const Index heads = plan_.key_heads(), last = by.shape.back() - 1;
        if (heads > most_terms) return refuse(too_long);
        return add_rows([=](const RowsAt& at) {
            std::vector<std::string> terms;
            for (Index h = 0; h < heads; ++h)
                terms.push_back(d->range({at.item, h, at.from, at.to}, width, last));
            return joined(terms);
        });
    }
    if (by.reads.size() > 1)
        return add({[=](const RowsAt& at) { return d->range(at, 0, width - 1); },
                    [=](const At& at) { return d->cell(at); }});
    const bool of_keys = by.stage == Stage::rotated_keys;
    const Book::Turn turn = book_.turn(of_keys);
    const PlannedRope* rope = &*plan_.rope;
    const Index first = of_keys ? 0 : rope->first_query;
    add_cell([=](const At& at) {
        const Index k = at.column - first;
        if (k < 0 || k >= rope->dims) return d->cell(at);
        const Index pair = rope->pair_of(k), i = rope->first_of(pair), j = rope->second_of(pair),
                    other = k == i ? j : i;
        const auto angle = [&](Index column) {
            return At{at.item, 0, at.row, rope->by_column ? column : pair};
        };
        const std::string along = d->cell(at) + "*" + turn.cos->cell(angle(k)),
                          across = d->cell({at.item, at.head, at.row, first + other}) + "*" +
                                   turn.sin->cell(angle(other));
        return along + ((k == i) == rope->reverse ? "-" : "+") + across;
    });
}

void Backwards::cells(const PlannedStage& by) {
    const Grid* d = gradient_of(by.stage);
    if (!d) return;
    switch (by.stage) {
        case Stage::context:
            if (plan_.state) return refuse(carried);
            return of_.stage == by.reads[0] ? to_weights(by, *d) : to_values(by, *d);
        case Stage::differential_weights: {
            const std::string lambda = lambda_text(book_);
            return add_cell([&plan = plan_, d, lambda](const At& at) {
                const Index head = plan.context_head_of(at.head);
                const std::string of = d->cell({at.item, head, at.row, at.column});
                const bool first = at.head == plan.differential->half_of(head, false, plan.context_heads());
                return first ? of : "-" + lambda + "*" + of;
            });
        }
        case Stage::dropped_weights: {
            const Grid* kept = &book_.kept();
            const std::string p = dropout_text(book_);
            return add_cell([=](const At& at) {
                return "IF(" + p + "=1,0," + d->cell(at) + "*" + kept->cell(at) + "/(1-" + p + "))";
            });
        }
        case Stage::renormalized_weights: {
            const Grid *y = of_stage(by.stage), *x = of_stage(of_.stage), *visible = &book_.visible();
            if (have(y, x))
                add_cell([=](const At& at) {
                    return "IF(SUM(" + visible->row(at) + ")=0,0,(" + d->cell(at) + "-SUMPRODUCT(" +
                           y->row(at) + "," + d->row(at) + "))/SUM(" + x->row(at) + "))";
                });
            return;
        }
        case Stage::masked_scores:
        case Stage::masked_weights: {
            const Grid* visible = &book_.visible();
            return add_cell(
                [=](const At& at) { return "IF(" + visible->cell(at) + "=1," + d->cell(at) + ",0)"; });
        }
        case Stage::weights:
            return softmax(*d);
        case Stage::biased_scores:
            return add_copy(d);
        case Stage::capped_scores: {
            const Grid* y = of_stage(by.stage);
            const std::string cap = cap_text(book_);
            if (y)
                add_cell(
                    [=](const At& at) { return d->cell(at) + "*(1-(" + y->cell(at) + "/" + cap + ")^2)"; });
            return;
        }
        case Stage::scaled_scores: {
            const std::string scale = scale_text(book_);
            return add_cell([=](const At& at) { return d->cell(at) + "*" + scale; });
        }
        default:  // scores
            return plan_.additive ? additive(by, *d) : products(by, *d);
    }
}

void Backwards::softmax(const Grid& d) {
    const Grid *p = of_stage(Stage::weights), *x = of_stage(of_.stage);
    if (!have(p, x)) return;
    const bool hides = plan_.masked && plan_.mask_at != MaskAt::weights,
               empties = hides && !plan_.has_appended();
    const Normalize kind = plan_.normalize;
    add_cell([=, &d](const At& at) {
        const std::string shared = "SUMPRODUCT(" + p->row(at) + "," + d.row(at) + ")";
        std::string text = p->cell(at) + "*(" + d.cell(at) + "-" + shared + ")";
        if (kind == Normalize::sigmoid) text = d.cell(at) + "*" + p->cell(at) + "*(1-" + p->cell(at) + ")";
        if (kind == Normalize::sum) {
            text = "(" + d.cell(at) + "-" + shared + ")/SUM(" + x->row(at) + ")";
            if (hides) text = "IF(ISNUMBER(" + x->cell(at) + ")," + text + ",0)";
        }
        return empties ? "IF(COUNT(" + x->row(at) + ")=0,0," + text + ")" : text;
    });
}

void Backwards::to_weights(const PlannedStage& by, const Grid& d) {
    const Grid* v = of_stage(by.reads[1]);
    if (v)
        add_rows([&plan = plan_, v, &d](const RowsAt& at) {
            return "MMULT(" + d.range(at) + ",TRANSPOSE(" +
                   v->range(v->all_rows(at.item, plan.values_of(at.head))) + "))";
        });
}

void Backwards::to_values(const PlannedStage& by, const Grid& d) {
    const Grid* w = of_stage(by.reads[0]);
    if (plan_.context_heads() > most_terms) return refuse(too_long);
    if (w)
        add_rows([&plan = plan_, w, &d](const RowsAt& at) {
            std::vector<std::string> terms;
            for (Index h = 0; h < plan.context_heads(); ++h)
                if (plan.values_of(h) == at.head)
                    terms.push_back("MMULT(TRANSPOSE(" + w->range(w->all_rows(at.item, h), at.from, at.to) +
                                    ")," + d.range(d.all_rows(at.item, h)) + ")");
            return joined(terms);
        });
}

void Backwards::products(const PlannedStage& by, const Grid& d) {
    const Grid *q = of_stage(by.reads[0]), *k = of_stage(by.reads[1]);
    if (!have(q, k)) return;
    const Grid* w = plan_.projects(WeightRole::score) ? &book_.weight(WeightRole::score) : nullptr;
    const std::string matrix = w ? w->range(w->all_rows(0, 0)) : "";
    if (of_.stage == by.reads[0])
        return add_rows([&plan = plan_, k, &d, matrix](const RowsAt& at) {
            const std::string text =
                "MMULT(" + d.range(at) + "," + k->range(k->all_rows(at.item, plan.kv_head_of(at.head))) + ")";
            return matrix.empty() ? text : "MMULT(" + text + ",TRANSPOSE(" + matrix + "))";
        });
    if (plan_.heads > most_terms) return refuse(too_long);
    add_rows([&plan = plan_, q, &d, matrix](const RowsAt& at) {
        std::vector<std::string> terms;
        for (Index h = 0; h < plan.heads; ++h) {
            if (plan.kv_head_of(h) != at.head) continue;
            std::string rows = q->range(q->all_rows(at.item, h));
            if (!matrix.empty()) rows = "MMULT(" + rows + "," + matrix + ")";
            terms.push_back("MMULT(TRANSPOSE(" + d.range(d.all_rows(at.item, h), at.from, at.to) + ")," +
                            rows + ")");
        }
        return joined(terms);
    });
}

void Backwards::additive(const PlannedStage& by, const Grid& d) {
    const Grid *q = of_stage(by.reads[0]), *k = of_stage(by.reads[1]);
    if (!have(q, k)) return;
    const Grid* v = &additive_vector(book_);
    const auto slope = [](const std::string& a, const std::string& b) {
        return "1-TANH(" + a + "+" + b + ")^2";
    };
    if (of_.stage == by.reads[0])
        return add_cell(
            [&plan = plan_, q, k, v, slope, &d](const At& at) {
                const RowsAt keys = k->all_rows(at.item, plan.kv_head_of(at.head));
                return "MMULT(" + d.row(at) + "," + slope(q->cell(at), k->range(keys, at.column, at.column)) +
                       ")*" + v->cell({0, at.head, 0, at.column});
            },
            true);
    if (plan_.heads > most_terms) return refuse(too_long);
    add_cell(
        [&plan = plan_, q, k, v, slope, &d](const At& at) {
            std::vector<std::string> terms;
            for (Index h = 0; h < plan.heads; ++h)
                if (plan.kv_head_of(h) == at.head)
                    terms.push_back(
                        "MMULT(TRANSPOSE(" + d.range(d.all_rows(at.item, h), at.row, at.row) + ")," +
                        slope(q->range(q->all_rows(at.item, h), at.column, at.column), k->cell(at)) + ")*" +
                        v->cell({0, h, 0, at.column}));
            return joined(terms);
        },
        true);
}

}  // namespace attn::sheet
