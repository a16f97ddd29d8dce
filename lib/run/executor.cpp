#include "lib/run/executor.hpp"

#include <algorithm>

namespace attn {
namespace {

bool is_traced(Stage s) { return s >= Stage::scores && s <= Stage::context; }

}  // namespace

template <class T>
Executor<T>::Executor(const Plan& plan)
    : plan_(plan),
      findings_(plan),
      pool_(plan.threads),
      tensors_(plan, pool_),
      mask_(plan, tensors_),
      biases_(plan, tensors_),
      dropout_(plan, tensors_),
      operands_{plan, mask_, biases_, {}, true, {}, {}, {}, {}} {
    Index widest = 0;
    for (const PlannedStage& s : plan.stages) widest = std::max(widest, s.shape.back());
    dims_ = counted(widest);
    for (std::size_t r = 0; r < projection_count; ++r)
        if (!plan.projections[r].weight.empty()) maps_[r].emplace(plan.projections[r], plan, tensors_);
    if (plan.additive) operands_.additive = tensors_[*plan.additive];
}

template <class T>
bool Executor<T>::wants(Stage first, Stage last) const {
    return std::any_of(plan_.stages.begin(), plan_.stages.end(),
                       [&](const PlannedStage& s) { return s.shown && s.stage >= first && s.stage <= last; });
}

template <class T>
bool Executor<T>::shows_head(Index head) const {
    const auto& shown = plan_.heads_shown.indices;
    return std::binary_search(shown.begin(), shown.end(), head);
}

template <class T>
void Executor<T>::prepare(Sink& sink) {
    arena_.rewind();
    findings_.start();
    has_contexts_ = false;
    traced_.reset();
    recurrence_.reset();
    const bool merges = wants(Stage::concat, Stage::concat) || wants(Stage::output, Stage::output);
    operands_.heads = merges ? counted(plan_.heads) : plan_.heads_shown.indices;
    const bool scores = wants(Stage::scores, Stage::output), context = wants(Stage::context, Stage::output);
    Needs needs{false, false, scores || wants(Stage::normed_queries, Stage::all_values), {}};
    needs.keys = needs.all || wants(Stage::keys, Stage::keys);
    needs.values =
        context || wants(Stage::values, Stage::values) || wants(Stage::all_values, Stage::all_values);
    for (const Index h : operands_.heads) needs.kv_heads.push_back(plan_.kv_head_of(h));
    std::sort(needs.kv_heads.begin(), needs.kv_heads.end());
    needs.kv_heads.erase(std::unique(needs.kv_heads.begin(), needs.kv_heads.end()), needs.kv_heads.end());
    project_all(needs);
    if (needs.all) prepare_operands(needs);
    if (plan_.state && needs.all) prepare_state(needs);
    output_.reset();
    const std::optional<LinearMap<T>>& output_map = map(WeightRole::output);
    if (output_map && wants(Stage::head_outputs, Stage::output))
        output_.emplace(*output_map, 0, plan_.output_dim, plan_.batch * plan_.queries, panels());
    keeps_contexts_ = wants(Stage::normed_context, Stage::output) || (context && plan_.path != Path::traced);
    contexts_.reset();
    if (keeps_contexts_) place_contexts(sink);
    if (plan_.path == Path::traced) traced_ = std::make_unique<Traced<T>>(operands_, dropout_, arena_, pool_);
}

/// Where only the contexts are shown, a sink that has places gets them there at once.
template <class T>
void Executor<T>::place_contexts(Sink& sink) {
    const bool side_by_side = wants(Stage::normed_context, Stage::output);
    for (auto* gated : {&normed_contexts_, &gated_contexts_}) {
        gated->reset();
        if (!plan_.gate) continue;
        *gated = std::make_unique<Contexts<T>>(plan_, findings_, side_by_side);
        (*gated)->take(arena_);
    }
    contexts_ = std::make_unique<Contexts<T>>(plan_, findings_, side_by_side);
    contexts_in_place_ = !side_by_side && plan_.find(Stage::context)->shown && plan_.path != Path::traced &&
                         !sink.stage_by_stage() && sink.has_places();
    if (!contexts_in_place_) return contexts_->take(arena_);
    const PlannedStage& stage = *plan_.find(Stage::context);
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.heads_shown.indices)
            contexts_->set_place(
                b, h,
                static_cast<T*>(sink.place(rows_of(stage, b, h, plan_.queries_shown.indices.front(), 1))));
}

template <class T>
std::vector<std::string> Executor<T>::run(Sink& sink) {
    prepare(sink);
    std::vector<const PlannedStage*> shown;
    for (const PlannedStage& s : plan_.stages)
        if (s.shown) shown.push_back(&s);
    if (sink.stage_by_stage()) {
        for (const PlannedStage* s : shown) {
            sink.begin_stage(plan_, *s);
            pass(sink, {s});
            sink.end_stage(*s);
        }
    } else {
        pass(sink, shown);
    }
    look_at_rows_left_out();
    return findings_.warnings();
}

/// Rows that no table shows are not computed; which of them see no key is known from the masks.
template <class T>
void Executor<T>::look_at_rows_left_out() {
    if (plan_.queries_shown.left_out == 0 || !plan_.masked || !wants(Stage::weights, Stage::output) ||
        plan_.has_appended())
        return;
    const auto by_head = [&](const MaskRule& m) {
        const Shape& shape = plan_.tensors[m.tensor].shape;
        return shape.size() > 2 && shape[shape.size() - 3] > 1;
    };
    const bool differ = std::any_of(plan_.masks.begin(), plan_.masks.end(), by_head);
    const auto& heads = plan_.heads_shown.indices;
    std::vector<Index> rows;
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : heads) {
            if (h == heads.front() || differ) {
                rows.clear();
                for (Index i = 0; i < plan_.queries; ++i)
                    if (mask_.hides_all(b, h, i)) rows.push_back(i);
            }
            for (const Index i : rows)
                if (!std::binary_search(plan_.queries_shown.indices.begin(),
                                        plan_.queries_shown.indices.end(), i))
                    findings_.empty_row_left_out(b, h, i);
        }
}

/// Computes what `shown` needs, and pushes those stages.
template <class T>
void Executor<T>::pass(Sink& sink, const std::vector<const PlannedStage*>& shown) {
    findings_.start_pass();
    const Stage last = shown.empty() ? Stage::queries : shown.back()->stage;
    for (const PlannedStage* s : shown)
        if (s->stage < Stage::scores) emit_source(sink, *s);
    if (last < Stage::scores) return;
    if (plan_.path == Path::traced) {
        // Stages after the context need it of all heads; once it is kept, nothing is computed again.
        if (!has_contexts_ || shown.front()->stage <= Stage::context)
            trace(sink, shown, std::min(last, Stage::context));
    } else if (!has_contexts_) {
        compute_contexts(sink);
    }
    if (plan_.gate && last >= Stage::normed_context) apply_gate();
    for (const PlannedStage* s : shown)
        if ((s->stage == Stage::context && plan_.path != Path::traced) || s->stage == Stage::normed_context ||
            s->stage == Stage::gated_context)
            emit_contexts(sink, *s);
    for (const PlannedStage* s : shown)
        if (s->stage == Stage::state || s->stage == Stage::states) emit_state(sink, *s);
    for (const Index b : plan_.batch_shown.indices)
        for (const PlannedStage* s : shown)
            if (s->stage > Stage::gated_context) emit_merged(sink, *s, b);
}

template <class T>
void Executor<T>::compute_contexts(Sink& sink) {
    pool_.watch([&](double share) { sink.working(Stage::context, share); });
    if (plan_.path == Path::recurrent) {
        recurrence_->run(*contexts_, wants(Stage::state, Stage::state));
    } else if (plan_.path == Path::fused) {
        Fused<T>(operands_, arena_, pool_).run(*contexts_);
    } else {
        SingleRows<T>(operands_, arena_, pool_).run(*contexts_);
    }
    pool_.watch({});
    has_contexts_ = true;
}

template <class T>
void Executor<T>::trace(Sink& sink, const std::vector<const PlannedStage*>& shown, Stage last) {
    const bool in_place =
        !sink.stage_by_stage() && sink.has_places() && plan_.keys_shown.all && !plan_.dropout;
    for (const auto& group : traced_->groups()) {
        traced_->hold(group, last >= Stage::context);
        std::vector<RowBlock> blocks;
        for (const KeyHead& h : group.heads)
            for_blocks(plan_, h.batch, h.head, plan_.row_block,
                       [&](const RowBlock& b) { blocks.push_back(b); });
        if (in_place) {
            trace_in_place(sink, shown, last, blocks);
        } else {
            trace_in_order(sink, shown, last, blocks);
        }
    }
    if (last >= Stage::context && keeps_contexts_) has_contexts_ = true;
}

/// Every worker writes where the sink wants the stages: nothing is copied, no order is kept.
template <class T>
void Executor<T>::trace_in_place(Sink& sink, const std::vector<const PlannedStage*>& shown, Stage last,
                                 const std::vector<RowBlock>& blocks) {
    const std::size_t workers = traced_->spaces().size();
    std::vector<Findings> found(workers, Findings(plan_));
    pool_.run(static_cast<Index>(blocks.size()), [&](Index k, int worker) {
        const RowBlock& block = blocks[static_cast<std::size_t>(k)];
        TraceSpace<T>& w = traced_->spaces()[static_cast<std::size_t>(worker)];
        Findings& findings = found[static_cast<std::size_t>(worker)];
        const bool is_shown = shows_head(block.head);
        w.at = w.own;
        for (const PlannedStage* s : shown) {
            if (!is_traced(s->stage) || !is_shown) continue;
            w.at[static_cast<std::size_t>(s->stage)] =
                static_cast<T*>(sink.place(rows_of(*s, block.batch, block.head, block.query, block.rows)));
        }
        traced_->compute(block, last, false, w);
        for (const PlannedStage* s : shown) {
            if (!is_traced(s->stage) || !is_shown) continue;
            Rows rows = rows_of(*s, block.batch, block.head, block.query, block.rows);
            rows.data = w.at[static_cast<std::size_t>(s->stage)];
            findings.look_at(rows);
        }
        take_block(block, last, w, findings);
    });
    for (const Findings& f : found) findings_.merge(f);
    for (TraceSpace<T>& w : traced_->spaces()) w.at = w.own;
}

/// Blocks are computed by all workers and pushed in order.
template <class T>
void Executor<T>::trace_in_order(Sink& sink, const std::vector<const PlannedStage*>& shown, Stage last,
                                 const std::vector<RowBlock>& blocks) {
    std::vector<TraceSpace<T>>& spaces = traced_->spaces();
    for (std::size_t from = 0; from < blocks.size(); from += spaces.size()) {
        const std::size_t count = std::min(spaces.size(), blocks.size() - from);
        // The generator of a dropout mask is one sequence: its rows are drawn in order, before the work is
        // shared.
        for (std::size_t k = 0; k < count && plan_.dropout && last >= Stage::dropped_weights; ++k) {
            const RowBlock& block = blocks[from + k];
            spaces[k].keep.resize(static_cast<std::size_t>(block.rows * plan_.keys));
            for (Index i = 0; i < block.rows; ++i)
                dropout_.row(block.batch, block.head, block.query + i,
                             spaces[k].keep.data() + i * plan_.keys);
        }
        pool_.run(static_cast<Index>(count), [&](Index k, int) {
            const auto at = static_cast<std::size_t>(k);
            traced_->compute(blocks[from + at], last, true, spaces[at]);
        });
        for (std::size_t k = 0; k < count; ++k) {
            const RowBlock& block = blocks[from + k];
            const TraceSpace<T>& w = spaces[k];
            take_block(block, last, w, findings_);
            if (!shows_head(block.head)) continue;
            for (const PlannedStage* s : shown) {
                if (!is_traced(s->stage)) continue;
                const bool cells = s->family == StageShape::query_key;
                emit(sink, rows_of(*s, block.batch, block.head, block.query, block.rows),
                     w.at[static_cast<std::size_t>(s->stage)], cells ? plan_.keys : plan_.value_dim,
                     cells && plan_.masked ? w.hidden.data() : nullptr);
            }
        }
    }
}

/// What outlives a block: its empty rows, and its contexts where stages after them are shown.
template <class T>
void Executor<T>::take_block(const RowBlock& block, Stage last, const TraceSpace<T>& w, Findings& findings) {
    for (Index i = 0; i < block.rows && last >= Stage::weights; ++i)
        if (w.empty[static_cast<std::size_t>(i)])
            findings.empty_row(block.batch, block.head, block.query + i);
    if (last < Stage::context || !keeps_contexts_) return;
    const T* from = w.at[static_cast<std::size_t>(Stage::context)];
    for (Index i = 0; i < block.rows; ++i)
        std::copy_n(from + i * plan_.value_dim, plan_.value_dim,
                    contexts_->row(block.batch, block.first + i, block.head));
}

template class Executor<float>;
template class Executor<double>;

}  // namespace attn
