#include "lib/run/executor.hpp"

#include <algorithm>

namespace attn {
template <class T>
Executor<T>::Executor(const Plan& plan)
    : plan_(plan),
      needs_(needs_of(plan)),
      findings_(plan),
      pool_(plan.threads),
      tensors_(plan, pool_, &needs_),
      mask_(plan, tensors_),
      biases_(plan, tensors_),
      dropout_(plan, tensors_),
      projections_(plan, tensors_, pool_, arena_),
      outputs_(plan, tensors_, pool_),
      emitter_(plan, findings_, pool_),
      operands_{plan, mask_, biases_, {}, true, {}, {}, {}, {}} {
    if (plan.additive) operands_.additive = tensors_[*plan.additive];
}

/// Pushed row block by row block on the traced path.
template <class T>
bool Executor<T>::is_traced(Stage s) const {
    return info_of(s).phase == Phase::cells || (s == Stage::context && !plan_.differential);
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
    operands_.heads = needs_.heads;
    projections_.make(needs_, operands_);
    if (plan_.path == Path::recurrent) {
        const auto& past = plan_.state->past;
        recurrence_ = std::make_unique<Recurrence<T>>(
            operands_, projections_.of(Stage::decay), projections_.of(Stage::beta),
            past ? tensors_[*past] : std::span<const T>{}, arena_, pool_);
    }
    if (plan_.differential)
        lambda_ = plan_.differential->factor(
            [&](std::size_t k, Index at) { return static_cast<double>(tensors_[k][idx(at)]); });
    outputs_.prepare(needs_, projections_, findings_, arena_);
    keeps_contexts_ = is_read(plan_, needs_, Stage::context) ||
                      (needs_.has(Stage::context) && (plan_.path != Path::traced || plan_.differential));
    contexts_.reset();
    halves_.reset();
    log_sums_.reset();
    if (needs_.has(Stage::lse)) log_sums_.take(plan_, arena_);
    if (keeps_contexts_) place_contexts(sink);
    if (plan_.path == Path::traced)
        traced_ = std::make_unique<Traced<T>>(operands_, needs_, dropout_, arena_, pool_);
}

/// Where only the contexts are shown, a sink that has places gets them there at once.
template <class T>
void Executor<T>::place_contexts(Sink& sink) {
    const bool side_by_side = is_read(plan_, needs_, Stage::context);
    if (plan_.differential) {
        halves_ = std::make_unique<Contexts<T>>(plan_, findings_, false, plan_.heads);
        halves_->take(arena_);
    }
    contexts_ = std::make_unique<Contexts<T>>(plan_, findings_, side_by_side, plan_.context_heads());
    contexts_in_place_ = !side_by_side && !plan_.differential && plan_.find(Stage::context)->shown &&
                         plan_.path != Path::traced && !sink.stage_by_stage() && sink.gives_memory();
    if (!contexts_in_place_) return contexts_->take(arena_);
    const PlannedStage& stage = *plan_.find(Stage::context);
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : plan_.heads_shown.indices)
            contexts_->set_place(b, h,
                                 static_cast<T*>(sink.memory_of(
                                     emitter_.rows_of(stage, b, h, plan_.queries_shown.indices.front(), 1))));
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
    if (plan_.queries_shown.left_out == 0 || !plan_.masked || !needs_.has(Stage::weights) ||
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
    has_traced_ = false;
    const auto each = [&](Phase phase, auto&& f) {
        for (const PlannedStage* s : shown)
            if (info_of(s->stage).phase == phase) f(*s);
    };
    // Queries that are projected are there for the shown rows only, and so is what is made of queries; but
    // those that are convolved are there whole.
    each(Phase::source, [&](const PlannedStage& s) {
        const bool of_queries = row_kind(s.family) == RowKind::queries;
        const bool given =
            s.family == StageShape::embedded ||
            (s.stage == Stage::queries && (!projections_.map(WeightRole::query) || plan_.conv));
        emitter_.source(sink, s, projections_.of(s.stage), of_queries && !given);
    });
    const Needs needs = needs_of(plan_, shown);
    const bool by_blocks = std::any_of(shown.begin(), shown.end(), [&](const PlannedStage* s) {
        return is_traced(s->stage) || s->stage == Stage::lse;
    });
    if (plan_.path == Path::traced) {
        // Once the contexts are kept, stages that are made of them need nothing to be computed again.
        if (by_blocks || (needs.has(Stage::context) && !has_contexts_)) trace(sink, shown, needs);
    } else if ((needs.any(Phase::context) || needs.has(Stage::state)) && !has_contexts_) {
        compute_contexts(sink);
    }
    if (needs.any(Phase::gated)) outputs_.apply_gate(needs_, *contexts_, projections_.gate());
    if (needs.has(Stage::normed_concat)) outputs_.norm_concat(*contexts_);
    each(Phase::paired, [&](const PlannedStage& s) {
        for (const Index b : plan_.batch_shown.indices)
            for (const Index h : plan_.heads_of(s.family).indices)
                add_weights(sink, s, b, h, shares_of(h), 1);
    });
    each(Phase::context, [&](const PlannedStage& s) {
        if (s.stage == Stage::lse) {
            emitter_.log_sums(sink, s, log_sums_);
        } else if (!is_traced(s.stage) || plan_.path != Path::traced) {
            emitter_.contexts(sink, s, *contexts_, contexts_in_place_);
        }
    });
    each(Phase::gated,
         [&](const PlannedStage& s) { emitter_.contexts(sink, s, outputs_.of(s.stage), false); });
    each(Phase::state, [&](const PlannedStage& s) { emitter_.states(sink, s, *recurrence_); });
    for (const Index b : plan_.batch_shown.indices)
        each(Phase::merged, [&](const PlannedStage& s) {
            if (s.stage == Stage::mean_weights) {
                add_weights(sink, s, b, 0, shares_of({}), static_cast<double>(plan_.context_heads()));
            } else {
                outputs_.merged(sink, s, b, *contexts_, emitter_);
            }
        });
}

template <class T>
void Executor<T>::compute_contexts(Sink& sink) {
    pool_.watch([&](double share) { sink.working(Stage::context, share); });
    if (plan_.path == Path::recurrent) {
        recurrence_->run(needs_.has(Stage::context) ? contexts_.get() : nullptr, needs_.has(Stage::state));
    } else if (plan_.path == Path::fused) {
        Fused<T>(operands_, arena_, pool_).run(of_query_heads(), log_sums_);
    } else {
        SingleRows<T>(operands_, arena_, pool_).run(of_query_heads(), log_sums_);
    }
    pool_.watch({});
    keep_contexts();
}

/// The contexts are there: those of half heads become those of heads.
template <class T>
void Executor<T>::keep_contexts() {
    has_contexts_ = true;
    if (!plan_.differential) return;
    const Index heads = plan_.context_heads();
    const auto rows = static_cast<Index>(plan_.queries_shown.indices.size());
    for (const Index b : plan_.batch_shown.indices)
        for (const Index h : needs_.context_heads)
            for (Index i = 0; i < rows; ++i) {
                const T* first = halves_->row(b, i, plan_.differential->half_of(h, false, heads));
                const T* second = halves_->row(b, i, plan_.differential->half_of(h, true, heads));
                std::transform(
                    first, first + plan_.value_dim, second, contexts_->row(b, i, h), [&](T x, T y) {
                        return static_cast<T>(static_cast<double>(x) - lambda_ * static_cast<double>(y));
                    });
            }
}

template <class T>
void Executor<T>::trace(Sink& sink, const std::vector<const PlannedStage*>& shown, const Needs& needs) {
    has_traced_ = true;
    const bool in_place =
        !sink.stage_by_stage() && sink.gives_memory() && plan_.keys_shown.all && !plan_.dropout;
    for (const auto& group : traced_->groups(plan_.batch_shown.indices)) {
        traced_->hold(group, needs.has(Stage::context));
        std::vector<RowBlock> blocks;
        for (const KeyHead& h : group.heads)
            for_blocks(plan_, h.batch, h.head, plan_.row_block,
                       [&](const RowBlock& b) { blocks.push_back(b); });
        if (in_place) {
            trace_in_place(sink, shown, needs, blocks);
        } else {
            trace_in_order(sink, shown, needs, blocks);
        }
    }
    if (needs.has(Stage::context) && keeps_contexts_) keep_contexts();
}

/// Every worker writes where the sink wants the stages: nothing is copied, no order is kept.
template <class T>
void Executor<T>::trace_in_place(Sink& sink, const std::vector<const PlannedStage*>& shown,
                                 const Needs& needs, const std::vector<RowBlock>& blocks) {
    const std::size_t workers = traced_->spaces().size();
    std::vector<Findings> found(workers, Findings(plan_));
    Index bytes = 0;
    for (const PlannedStage* s : shown)
        if (is_traced(s->stage)) bytes += *element_count(plan_.shown_shape(*s)) * size_of(plan_.dtype);
    // What is written past the caches is computed in a worker's own memory first: a stage reads the one
    // before it.
    const bool past = bytes >= blocking::past_caches;
    const kernels::Table<T>& kernel = kernels::table<T>();
    pool_.run(static_cast<Index>(blocks.size()), [&](Index k, int worker) {
        const RowBlock& block = blocks[idx(k)];
        TraceSpace<T>& w = traced_->spaces()[idx(worker)];
        Findings& findings = found[idx(worker)];
        const bool is_shown = shows_head(block.head);
        w.at = w.own;
        w.log_sums = log_sums_of(block, needs);
        StagePlaces<T> places{};
        for (const PlannedStage* s : shown) {
            if (!is_traced(s->stage) || !is_shown) continue;
            T* const place = static_cast<T*>(
                sink.memory_of(emitter_.rows_of(*s, block.batch, block.head, block.query, block.rows)));
            (past ? places : w.at)[idx(s->stage)] = place;
        }
        const bool cells_are_done = past && traced_->compute_past(block, needs, places, w);
        if (!cells_are_done) traced_->compute(block, needs, false, w);
        for (const PlannedStage* s : shown) {
            if (!is_traced(s->stage) || !is_shown) continue;
            if (cells_are_done && info_of(s->stage).phase == Phase::cells) continue;
            Rows rows = emitter_.rows_of(*s, block.batch, block.head, block.query, block.rows);
            rows.data = w.at[idx(s->stage)];
            findings.look_at(rows);
            if (past)
                kernel.copy_past(w.at[idx(s->stage)], places[idx(s->stage)],
                                 rows.row_count() * rows.column_count());
        }
        if (past) kernel.settle();
        take_block(block, needs, w, findings);
    });
    for (const Findings& f : found) findings_.merge(f);
    for (TraceSpace<T>& w : traced_->spaces()) w.at = w.own;
}

/// Where the logarithms of a block's sums go, if they are wanted.
template <class T>
T* Executor<T>::log_sums_of(const RowBlock& block, const Needs& needs) const {
    return needs.has(Stage::lse) ? log_sums_.of(block.batch, block.head) + block.first : nullptr;
}

/// Blocks are computed by all workers, some at a time; calls f(block, its space) for each, in order.
template <class T>
template <class F>
void Executor<T>::compute_in_order(const std::vector<RowBlock>& blocks, const Needs& needs, F&& f) {
    std::vector<TraceSpace<T>>& spaces = traced_->spaces();
    for (std::size_t from = 0; from < blocks.size(); from += spaces.size()) {
        const std::size_t count = std::min(spaces.size(), blocks.size() - from);
        // The generator of a dropout mask is one sequence: its rows are drawn in order, before the work is
        // shared.
        for (std::size_t k = 0; k < count && needs.has(Stage::dropped_weights); ++k) {
            const RowBlock& block = blocks[from + k];
            spaces[k].keep.resize(idx(block.rows * plan_.keys));
            for (Index i = 0; i < block.rows; ++i)
                dropout_.row(block.batch, block.head, block.query + i,
                             spaces[k].keep.data() + i * plan_.keys);
        }
        pool_.run(static_cast<Index>(count), [&](Index k, int) {
            spaces[idx(k)].log_sums = log_sums_of(blocks[from + idx(k)], needs);
            traced_->compute(blocks[from + idx(k)], needs, true, spaces[idx(k)]);
        });
        for (std::size_t k = 0; k < count; ++k) f(blocks[from + k], spaces[k]);
    }
}

template <class T>
void Executor<T>::trace_in_order(Sink& sink, const std::vector<const PlannedStage*>& shown,
                                 const Needs& needs, const std::vector<RowBlock>& blocks) {
    compute_in_order(blocks, needs, [&](const RowBlock& block, const TraceSpace<T>& w) {
        take_block(block, needs, w, findings_);
        if (!shows_head(block.head)) return;
        for (const PlannedStage* s : shown) {
            if (!is_traced(s->stage)) continue;
            const bool cells = s->family == StageShape::query_key;
            emitter_.push(sink, emitter_.rows_of(*s, block.batch, block.head, block.query, block.rows),
                          w.at[idx(s->stage)], cells ? plan_.keys : plan_.value_dim,
                          cells && plan_.masked ? w.hidden.data() : nullptr);
        }
    });
}

/// What outlives a block: its empty rows, and its contexts where stages after them are shown.
template <class T>
void Executor<T>::take_block(const RowBlock& block, const Needs& needs, const TraceSpace<T>& w,
                             Findings& findings) {
    for (Index i = 0; i < block.rows; ++i)
        if (w.empty[idx(i)]) findings.empty_row(block.batch, block.head, block.query + i);
    if (!needs.has(Stage::context) || !keeps_contexts_) return;
    const T* from = w.at[idx(Stage::context)];
    for (Index i = 0; i < block.rows; ++i)
        std::copy_n(from + i * plan_.value_dim, plan_.value_dim,
                    of_query_heads().row(block.batch, block.first + i, block.head));
}

/// What heads have a part in a row of weights with: a head of differential attention, or all heads.
template <class T>
auto Executor<T>::shares_of(std::optional<Index> head) const -> std::vector<HeadShare> {
    std::vector<HeadShare> out;
    for (Index h = 0; h < plan_.heads; ++h) {
        if (head && plan_.context_head_of(h) != *head) continue;
        const bool second =
            plan_.differential &&
            h != plan_.differential->half_of(plan_.context_head_of(h), false, plan_.context_heads());
        out.push_back({h, second ? -lambda_ : 1});
    }
    return out;
}

/// The last weights of heads once more, head by head, as many rows at a time as blocking.hpp says: each times
/// its share, added up in double, in the order of heads.
template <class T>
void Executor<T>::add_weights(Sink& sink, const PlannedStage& stage, Index batch, Index head,
                              const std::vector<HeadShare>& shares, double divisor) {
    const PlannedStage* const self = &stage;
    const Needs needs = needs_of(plan_, {&self, 1});
    const Stage read = stage.reads.front();
    const auto weights = static_cast<std::size_t>(
        info_of(read).phase == Phase::paired ? plan_.find(read)->reads.front() : read);
    const Index keys = plan_.keys;
    const auto share_of = [&](const KeyHead& h) {
        return std::find_if(shares.begin(), shares.end(),
                            [&](const HeadShare& s) { return s.head == h.head; });
    };
    const auto has_part = [&](const KeyHead& h) { return share_of(h) != shares.end(); };
    const Rounding rounding = plan_.rounding;
    std::vector<double> sums;
    std::vector<T> out;
    for_blocks(
        plan_, batch, 0, blocking::mean_rows(keys, plan_.row_block, pool_.workers()),
        [&](const RowBlock& all) {
            sums.assign(idx(all.rows * keys), 0);
            for (const auto& group : traced_->groups({batch})) {
                if (std::none_of(group.heads.begin(), group.heads.end(), has_part)) continue;
                traced_->hold(group, false);
                for (const KeyHead& h : group.heads) {
                    if (!has_part(h)) continue;
                    std::vector<RowBlock> blocks;
                    for (Index i = 0; i < all.rows; i += plan_.row_block)
                        blocks.push_back({batch, h.head, all.first + i, all.query + i,
                                          std::min(plan_.row_block, all.rows - i)});
                    compute_in_order(blocks, needs, [&](const RowBlock& block, const TraceSpace<T>& w) {
                        if (!has_traced_) take_block(block, needs, w, findings_);
                        double* to = sums.data() + (block.first - all.first) * keys;
                        for (Index k = 0; k < block.rows * keys; ++k)
                            to[k] += share_of(h)->share * static_cast<double>(w.at[weights][k]);
                    });
                }
            }
            out.resize(sums.size());
            std::transform(sums.begin(), sums.end(), out.begin(),
                           [&](double sum) { return rounding(static_cast<T>(sum / divisor)); });
            emitter_.push(sink, emitter_.rows_of(stage, batch, head, all.query, all.rows), out.data(), keys);
        });
}

template class Executor<float>;
template class Executor<double>;

}  // namespace attn
