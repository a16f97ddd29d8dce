#include "lib/run/executor.hpp"

#include <algorithm>
#include <numeric>

namespace attn {
namespace {

std::vector<Index> counted(Index n) {
    std::vector<Index> v(static_cast<std::size_t>(n));
    std::iota(v.begin(), v.end(), Index{0});
    return v;
}

bool is_traced(Stage s) { return s >= Stage::scores && s <= Stage::context; }

template <class T>
std::optional<LinearMap<T>> map_of(const Projection& p, const Plan& plan, const Tensors<T>& tensors) {
    if (p.weight.empty()) return std::nullopt;
    return assemble(p, plan, tensors);
}

}  // namespace

template <class T>
Executor<T>::Executor(const Plan& plan)
    : plan_(plan),
      findings_(plan),
      pool_(plan.threads),
      tensors_(plan, pool_),
      mask_(plan, tensors_),
      dropout_(plan, tensors_),
      query_map_(map_of(plan.query_projection, plan, tensors_)),
      key_map_(map_of(plan.key_projection, plan, tensors_)),
      value_map_(map_of(plan.value_projection, plan, tensors_)),
      output_map_(plan.has_output ? map_of(plan.output_projection, plan, tensors_) : std::nullopt),
      dims_(counted(std::max({plan.dim, plan.value_dim, plan.heads * plan.value_dim, plan.output_dim}))),
      operands_{plan, mask_, {}, true, {}, {}, {}} {}

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

/// x[b, tokens[t], :] · W + bias with the columns of the wanted heads filled in; where nothing is projected,
/// the input itself.
template <class T>
View<T> Executor<T>::project(const Projection& projection, std::size_t input,
                             const std::optional<LinearMap<T>>& map, const std::vector<Index>& tokens,
                             Index heads, Index dim, const std::vector<Index>& wanted) {
    const std::span<const T> x = tensors_[input];
    const Shape& shape = plan_.tensors[input].shape;
    const Index all_tokens = shape[shape.size() - 2], width = shape.back();
    if (!map) {
        const Index head = plan_.projected_given ? all_tokens * width : dim;
        return {x.data(), plan_.projected_given ? heads * head : all_tokens * width, head, width};
    }
    const auto rows = static_cast<Index>(tokens.size());
    T* out = arena_.template take<T>(plan_.batch * rows * projection.d_out);
    struct Columns {
        Index first;
        Linear<T> linear;
    };
    std::vector<Columns> columns;
    for_ranges(wanted, [&](Index from, Index to) {
        const Index first = wanted[static_cast<std::size_t>(from)] * dim;
        columns.push_back(
            {first, Linear<T>(*map, first, first + (to - from) * dim, plan_.batch * all_tokens, arena_)});
    });
    struct Job {
        Index item, place, token, rows;
    };
    std::vector<Job> jobs;
    for (const Index b : plan_.batch_shown.indices)
        for_ranges(tokens, [&](Index from, Index to) {
            for (Index k = from; k < to; k += Linear<T>::rows_of_a_job)
                jobs.push_back(
                    {b, k, tokens[static_cast<std::size_t>(k)], std::min(Linear<T>::rows_of_a_job, to - k)});
        });
    pool_.run(static_cast<Index>(jobs.size()), [&](Index k, int) {
        const Job& j = jobs[static_cast<std::size_t>(k)];
        for (const Columns& c : columns)
            c.linear.apply(x.data() + (j.item * all_tokens + j.token) * width, width, j.rows,
                           out + (j.item * rows + j.place) * projection.d_out + c.first, projection.d_out);
    });
    return {out, rows * projection.d_out, dim, projection.d_out};
}

template <class T>
void Executor<T>::prepare(Sink& sink) {
    arena_.rewind();
    findings_.start();
    has_contexts_ = false;
    traced_.reset();
    const bool merges = wants(Stage::concat, Stage::concat) || wants(Stage::output, Stage::output);
    operands_.heads = merges ? counted(plan_.heads) : plan_.heads_shown.indices;
    std::vector<Index> kv_heads;
    for (const Index h : operands_.heads) kv_heads.push_back(plan_.kv_head_of(h));
    std::sort(kv_heads.begin(), kv_heads.end());
    kv_heads.erase(std::unique(kv_heads.begin(), kv_heads.end()), kv_heads.end());
    const bool scores = wants(Stage::scores, Stage::output), context = wants(Stage::context, Stage::output);
    const auto all_keys = counted(plan_.keys);
    operands_.queries_are_whole = !query_map_;
    if (scores || wants(Stage::queries, Stage::queries))
        operands_.queries = project(plan_.query_projection, *plan_.query_input, query_map_,
                                    plan_.queries_shown.indices, plan_.heads, plan_.dim, operands_.heads);
    if (scores || wants(Stage::keys, Stage::keys))
        operands_.keys = project(plan_.key_projection, *plan_.key_input, key_map_, all_keys, plan_.kv_heads,
                                 plan_.dim, kv_heads);
    if (context || wants(Stage::values, Stage::values))
        operands_.values = project(plan_.value_projection, *plan_.value_input, value_map_, all_keys,
                                   plan_.kv_heads, plan_.value_dim, kv_heads);
    output_.reset();
    if (output_map_ && wants(Stage::head_outputs, Stage::output))
        output_.emplace(*output_map_, 0, plan_.output_dim, plan_.batch * plan_.queries, arena_);
    keeps_contexts_ = wants(Stage::concat, Stage::output) || (context && plan_.path != Path::traced);
    contexts_.reset();
    if (keeps_contexts_) place_contexts(sink);
    if (plan_.path == Path::traced) traced_ = std::make_unique<Traced<T>>(operands_, dropout_, arena_, pool_);
}

/// Where only the contexts are shown, a sink that has places gets them there at once.
template <class T>
void Executor<T>::place_contexts(Sink& sink) {
    const bool side_by_side = wants(Stage::concat, Stage::output);
    contexts_ = std::make_unique<Contexts<T>>(plan_, findings_, side_by_side);
    contexts_in_place_ =
        !side_by_side && plan_.path != Path::traced && !sink.stage_by_stage() && sink.has_places();
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
    return findings_.warnings();
}

/// Computes what `shown` needs, and pushes those stages.
template <class T>
void Executor<T>::pass(Sink& sink, const std::vector<const PlannedStage*>& shown) {
    findings_.start_pass();
    const Stage last = shown.empty() ? Stage::queries : shown.back()->stage;
    for (const PlannedStage* s : shown)
        if (s->stage < Stage::scores) emit_projected(sink, *s);
    if (last < Stage::scores) return;
    if (plan_.path == Path::traced) {
        // Stages after the context need it of all heads; once it is kept, nothing is computed again.
        if (!has_contexts_ || shown.front()->stage <= Stage::context)
            trace(sink, shown, std::min(last, Stage::context));
    } else if (!has_contexts_) {
        compute_contexts();
    }
    for (const PlannedStage* s : shown)
        if (s->stage == Stage::context && plan_.path != Path::traced) emit_contexts(sink, *s);
    for (const Index b : plan_.batch_shown.indices)
        for (const PlannedStage* s : shown)
            if (s->stage > Stage::context) emit_merged(sink, *s, b);
}

template <class T>
void Executor<T>::compute_contexts() {
    if (plan_.path == Path::fused) {
        Fused<T>(operands_, arena_, pool_).run(*contexts_);
    } else {
        SingleRows<T>(operands_, arena_, pool_).run(*contexts_);
    }
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
        for (Index i = 0; i < block.rows && last >= Stage::weights; ++i)
            if (w.empty[static_cast<std::size_t>(i)])
                findings.empty_row(block.batch, block.head, block.query + i);
        if (last >= Stage::context) take_block(block, w);
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
            for (Index i = 0; i < block.rows && last >= Stage::weights; ++i)
                if (w.empty[static_cast<std::size_t>(i)])
                    findings_.empty_row(block.batch, block.head, block.query + i);
            if (last >= Stage::context) take_block(block, w);
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

template <class T>
void Executor<T>::take_block(const RowBlock& block, const TraceSpace<T>& w) {
    if (!keeps_contexts_) return;
    const T* from = w.at[static_cast<std::size_t>(Stage::context)];
    for (Index i = 0; i < block.rows; ++i)
        std::copy_n(from + i * plan_.value_dim, plan_.value_dim,
                    contexts_->row(block.batch, block.first + i, block.head));
}

template <class T>
void Executor<T>::emit_projected(Sink& sink, const PlannedStage& stage) {
    const bool is_query = stage.stage == Stage::queries;
    const View<T>& from = is_query                     ? operands_.queries
                          : stage.stage == Stage::keys ? operands_.keys
                                                       : operands_.values;
    for (const Index b : plan_.batch_shown.indices) {
        for (const Index h : plan_.heads_of(stage.family).indices) {
            const auto& rows = is_query ? plan_.queries_shown.indices : plan_.keys_shown.indices;
            for_ranges(rows, [&](Index k, Index end) {
                const Index first = rows[static_cast<std::size_t>(k)];
                const Index place = is_query && !operands_.queries_are_whole ? k : first;
                emit(sink, rows_of(stage, b, h, first, end - k), from.row(b, h, place), from.token, nullptr);
            });
        }
    }
}

template <class T>
void Executor<T>::emit_contexts(Sink& sink, const PlannedStage& stage) {
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.heads_shown.indices)
            for_blocks(plan_, b, h, plan_.row_block, [&](const RowBlock& r) {
                Rows rows = rows_of(stage, b, h, r.query, r.rows);
                if (!contexts_in_place_)
                    return emit(sink, rows, contexts_->row(b, r.first, h), contexts_->stride(), nullptr);
                rows.data = contexts_->row(b, r.first, h);
                findings_.look_at(rows);
            });
}

/// Rows of the output that are computed before they are pushed: some jobs for each worker.
template <class T>
Index Executor<T>::merged_rows() const {
    return Linear<T>::rows_of_a_job * pool_.workers() * 8;
}

/// Stages after the context, from the contexts of all heads.
template <class T>
void Executor<T>::emit_merged(Sink& sink, const PlannedStage& stage, Index batch) {
    const Index width = contexts_->stride(), out = plan_.output_dim;
    const auto each_block = [&](auto&& f) { for_blocks(plan_, batch, 0, merged_rows(), f); };
    if (stage.stage == Stage::concat) {
        each_block([&](const RowBlock& r) {
            emit(sink, rows_of(stage, batch, 0, r.query, r.rows), contexts_->row(batch, r.first, 0), width,
                 nullptr);
        });
        return;
    }
    std::vector<T> result(static_cast<std::size_t>(std::min(merged_rows(), plan_.queries) * out));
    const auto multiply = [&](const RowBlock& r, Index head, auto&& part) {
        const Index jobs = (r.rows + Linear<T>::rows_of_a_job - 1) / Linear<T>::rows_of_a_job;
        pool_.run(jobs, [&](Index j, int) {
            const Index first = j * Linear<T>::rows_of_a_job;
            part(contexts_->row(batch, r.first + first, 0),
                 std::min(Linear<T>::rows_of_a_job, r.rows - first), result.data() + first * out);
        });
        emit(sink, rows_of(stage, batch, head, r.query, r.rows), result.data(), out, nullptr);
    };
    if (stage.stage == Stage::head_outputs) {
        const Index dim = plan_.value_dim;
        for (const Index h : plan_.heads_shown.indices)
            each_block([&](const RowBlock& r) {
                multiply(r, h, [&](const T* x, Index rows, T* y) {
                    output_->multiply(x + h * dim, width, rows, y, out, h * dim, (h + 1) * dim);
                });
            });
        return;
    }
    each_block([&](const RowBlock& r) {
        multiply(r, 0, [&](const T* x, Index rows, T* y) { output_->apply(x, width, rows, y, out); });
    });
}

/// Rows without numbers: where they stand, with the columns that are shown (keys where the columns are keys).
template <class T>
Rows Executor<T>::rows_of(const PlannedStage& stage, Index batch, Index head, Index row_begin,
                          Index rows) const {
    Rows r;
    r.stage = &stage;
    r.batch = batch;
    r.head = head;
    r.has_head = stage.family != StageShape::merged;
    r.row_begin = row_begin;
    r.row_end = row_begin + rows;
    r.dtype = plan_.dtype;
    r.columns = {dims_.data(), static_cast<std::size_t>(stage.shape.back())};
    if (stage.family == StageShape::query_key) r.columns = plan_.keys_shown.indices;
    return r;
}

/// Pushes rows, made dense where they are not.
template <class T>
void Executor<T>::emit(Sink& sink, Rows rows, const T* data, Index stride, const std::uint8_t* hidden) {
    rows.data = data;
    rows.hidden = hidden;
    const bool is_part = stride != rows.column_count();
    if (is_part) {
        gathered_.clear();
        gathered_hidden_.clear();
        const bool all = rows.stage->family != StageShape::query_key;
        for (Index i = 0; i < rows.row_count(); ++i) {
            const T* from = data + i * stride;
            if (all) {
                gathered_.insert(gathered_.end(), from, from + rows.column_count());
                continue;
            }
            for (const Index j : rows.columns) {
                gathered_.push_back(from[j]);
                if (hidden) gathered_hidden_.push_back(hidden[i * stride + j]);
            }
        }
        rows.data = gathered_.data();
        if (hidden) rows.hidden = gathered_hidden_.data();
    }
    findings_.look_at(rows);
    sink.rows(rows);
}

template class Executor<float>;
template class Executor<double>;

}  // namespace attn
