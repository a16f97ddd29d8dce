// Gradients of what projections read, of inputs and of parameters.
#include <algorithm>
#include <utility>

#include "lib/option_words.hpp"
#include "lib/render/sheet/backwards.hpp"

namespace attn::sheet {

std::vector<Backwards::Layer> Backwards::all_layers() const {
    std::vector<Layer> out;
    using Role = WeightRole;
    const auto put = [&](Role role, Stage made, const std::optional<std::size_t>& tensor) {
        const PlannedStage* s = plan_.find(made);
        if (!s || (plan_.projected_given && made != Stage::output)) return;
        Layer l{role, made, {}, {}};
        if (!s->reads.empty()) l.stage = s->reads.front();
        if (!l.stage) l.tensor = tensor;
        out.push_back(l);
    };
    put(Role::query, Stage::queries, plan_.query_input);
    put(Role::key, Stage::keys, plan_.key_input);
    put(Role::value, Stage::values, plan_.value_input);
    put(Role::query_latent, Stage::query_latent, plan_.query_input);
    put(Role::latent, Stage::latent, plan_.key_input);
    put(Role::rope_key, Stage::rope_keys, plan_.key_input);
    put(Role::output, Stage::output, {});
    for (const Stage s : {Stage::decay, Stage::beta})
        if (plan_.find(s) && plan_.projects(s == Stage::decay ? Role::decay : Role::beta))
            put(s == Stage::decay ? Role::decay : Role::beta, s, plan_.key_input);
    if (plan_.gate && !plan_.gate->from_queries) {
        const auto normed = plan_.normed_input(*plan_.query_input);
        out.push_back({Role::gate, Stage::gated_context, normed,
                       normed ? std::optional<std::size_t>{} : plan_.query_input});
    }
    if (plan_.past_latent) {
        out.push_back({Role::key, Stage::all_keys, {}, plan_.past_latent});
        out.push_back({Role::value, Stage::all_values, {}, plan_.past_latent});
    }
    return out;
}

bool Backwards::is_plain(const Layer& l) {
    if (l.role == WeightRole::gate) refuse("the gate's own gradient is no stage of its own");
    if (l.role == WeightRole::query && plan_.gate && plan_.gate->from_queries)
        refuse("the gate's own gradient is no stage of its own");
    if (l.role == WeightRole::rope_key) refuse("a rotary part is turned before it is a stage");
    if (l.role == WeightRole::decay || l.role == WeightRole::beta) refuse(carried);
    if (plan_.limit_of(l.made)) refuse("what is clamped sends nothing back beyond its bound");
    return because_.empty();
}

void Backwards::layers(std::optional<Stage> stage, std::optional<std::size_t> tensor) {
    for (const Layer& l : all_layers())
        if (l.stage == stage && l.tensor == tensor && is_plain(l)) through(l);
}

void Backwards::through(const Layer& l) {
    const Grid* d = gradient_of(l.made);
    if (!d) return;
    const PlannedStage& made = *plan_.find(l.made);
    const Index heads = has_heads(made.family) ? made.shape[1] : 1;
    const Index dim = l.made == Stage::all_keys ? plan_.key_dim : made.shape.back();
    if (!plan_.projects(l.role) && heads == 1) return add_copy(d);
    if (!plan_.projects(l.role))
        return add_cell([d, dim](const At& at) {
            return d->cell({at.item, at.column / dim, at.row, at.column % dim});
        });
    if (heads > most_terms) return refuse(too_long);
    const Grid* w = &book_.weight(l.role);
    add_rows([=](const RowsAt& at) {
        std::vector<std::string> terms;
        for (Index h = 0; h < heads; ++h)
            terms.push_back("MMULT(" + d->range({at.item, h, at.from, at.to}, 0, dim - 1) + ",TRANSPOSE(" +
                            w->range(w->all_rows(0, 0), h * dim, (h + 1) * dim - 1) + "))");
        return joined(terms);
    });
}

void Backwards::input() {
    const std::size_t tensor = of_.tensors.front();
    const bool keys = plan_.past_keys == tensor, values = plan_.past_values == tensor;
    const bool embeddings = of_.family == StageShape::embedded || of_.family == StageShape::merged_keys;
    if (const auto stage = plan_.normed_input(tensor); stage && embeddings) return norm(*plan_.find(*stage));
    if (keys || values) return add_copy(gradient_of(keys ? Stage::all_keys : Stage::all_values));
    if (plan_.past_rope_keys == tensor) {
        const Grid* d = gradient_of(Stage::all_keys);
        const Index heads = plan_.kv_heads, width = plan_.key_dim, last = plan_.dim - 1;
        if (heads > most_terms) return refuse(too_long);
        if (d)
            add_rows([=](const RowsAt& at) {
                std::vector<std::string> terms;
                for (Index h = 0; h < heads; ++h)
                    terms.push_back(d->range({at.item, h, at.from, at.to}, width, last));
                return joined(terms);
            });
        return;
    }
    if (plan_.state && plan_.state->past == tensor) return refuse(carried);
    if (plan_.conv && plan_.conv->past == tensor)
        return refuse("what a convolution sends back is no formula of a cell");
    layers({}, tensor);
}

void Backwards::parameter() {
    if (plan_.batch > most_terms) return refuse(too_long);
    if (of_.tensors.empty()) return of_.stage == Stage::weights ? sinks() : lambda();
    if (plan_.position_bias && plan_.position_bias->tensor == of_.tensors.front()) return position_bias();
    const std::size_t tensor = of_.tensors.front();
    for (const Layer& l : all_layers())
        for (const auto* pieces : {&plan_.projection(l.role).weight, &plan_.projection(l.role).bias})
            for (const WeightPiece& p : *pieces)
                if (std::find(of_.tensors.begin(), of_.tensors.end(), p.tensor) != of_.tensors.end()) {
                    layers_.push_back(l);
                    break;
                }
    if (layers_.empty())
        return refuse(plan_.bias_k == tensor || plan_.bias_v == tensor || plan_.additive == tensor
                          ? too_long
                          : "a sum over all that it served is no formula of a cell");
    for (const Layer& l : layers_)
        if (!is_plain(l) || !x_of(l) || !gradient_of(l.made)) {
            refuse("what it was multiplied by is not in this file (" + option::stages + ")");
            return;
        }
    add_cell([self = *this](const At& at) { return self.products_of(at); });
}

const Grid* Backwards::x_of(const Layer& l) {
    if (l.stage) return of_stage(*l.stage);
    if (l.tensor == plan_.past_latent)
        return &book_.tensor(*l.tensor, "past_latent", "the document's cache",
                             {plan_.batch, 1, plan_.past, plan_.projection(WeightRole::latent).d_out});
    return &book_.embeddings(*l.tensor);
}

std::string Backwards::products_of(const At& at) const {
    const Index tensors = static_cast<Index>(of_.tensors.size());
    const Shape& s = of_.shape;
    const Index rows = has_one_row(of_.family) ? 1 : s[s.size() - 2];
    const Index flat = (at.head * rows + at.row) * s.back() + at.column;
    const Index each = *element_count(s) / tensors;
    const std::size_t tensor = of_.tensors[idx(flat / each)];
    const Index own = of_.first + flat % each;
    std::vector<std::string> terms;
    Backwards self = *this;
    for (const Layer& l : layers_) {
        const Projection& p = plan_.projection(l.role);
        const Grid *x = self.x_of(l), *d = self.gradient_of(l.made);
        const Index dim = l.made == Stage::all_keys ? plan_.key_dim : plan_.find(l.made)->shape.back();
        const Index count = l.tensor && l.tensor == plan_.past_latent ? plan_.past : 0;
        const auto column = [&](Index item, Index o) {
            RowsAt all = d->all_rows(item, o / dim);
            if (count > 0) all.to = count - 1;
            return d->range(all, o % dim, o % dim);
        };
        for (Index b = 0; b < plan_.batch; ++b) {
            for (const WeightPiece& piece : p.weight) {
                if (piece.tensor != tensor || own < piece.base) continue;
                const Index columns = plan_.tensors[tensor].shape.back(), at_piece = own - piece.base;
                const Index i = piece.out_in ? at_piece % columns : at_piece / columns,
                            o = (piece.out_in ? at_piece / columns : at_piece % columns) - piece.source_begin;
                if (o < 0 || o >= piece.outputs || i >= p.d_in) continue;
                terms.push_back("SUMPRODUCT(" + x->range(x->all_rows(b, 0), i, i) + "," +
                                column(b, piece.target_begin + o) + ")");
            }
            for (const WeightPiece& piece : p.bias) {
                const Index o = own - piece.source_begin;
                if (piece.tensor == tensor && o >= 0 && o < piece.outputs)
                    terms.push_back("SUM(" + column(b, piece.target_begin + o) + ")");
            }
        }
    }
    return terms.empty() ? "0" : joined(terms);
}

void Backwards::position_bias() {
    if (plan_.position_bias->buckets) return refuse("pairs of all distances share a bucket");
    const Grid* d = gradient_of(Stage::biased_scores);
    if (!d) return;
    const Index batch = has_batch(of_.family) ? 1 : plan_.batch;
    add_cell([=](const At& at) {
        std::vector<std::string> terms;
        for (Index b = 0; b < batch; ++b)
            terms.push_back(d->cell({batch > 1 ? b : at.item, at.head, at.row, at.column}));
        return joined(terms);
    });
}

void Backwards::sinks() {
    const Grid *p = of_stage(Stage::weights), *d = gradient_of(Stage::weights);
    if (plan_.batch * plan_.queries > most_terms) return refuse(too_long);
    if (plan_.masked) return refuse("rows without a visible key have no part in it");
    if (!have(p, d)) return;
    add_cell([&plan = plan_, p, d](const At& at) {
        std::string text;
        for (Index b = 0; b < plan.batch; ++b)
            for (Index i = 0; i < plan.queries; ++i) {
                const At row{b, at.column, i, 0};
                text += "-(1-SUM(" + p->row(row) + "))*SUMPRODUCT(" + p->row(row) + "," + d->row(row) + ")";
            }
        return text;
    });
}

void Backwards::lambda() {
    const Grid *d = gradient_of(Stage::differential_weights),
               *w = of_stage(read_by(Stage::differential_weights));
    const Index heads = plan_.context_heads();
    if (plan_.batch * heads > most_terms) return refuse(too_long);
    if (!have(d, w)) return;
    add_cell([&plan = plan_, d, w, heads](const At&) {
        std::string text;
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < heads; ++h)
                text += "-SUMPRODUCT(" + d->range(d->all_rows(b, h)) + "," +
                        w->range(w->all_rows(b, plan.differential->half_of(h, true, heads))) + ")";
        return text;
    });
}

}  // namespace attn::sheet
