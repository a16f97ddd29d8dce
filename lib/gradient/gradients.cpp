#include "lib/gradient/gradients.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>

#include "lib/gradient/cells.hpp"
#include "lib/gradient/fused_back.hpp"
#include "lib/run/emitter.hpp"

namespace attn::gradient {
namespace {

using Shown = std::vector<const PlannedStage*>;

bool are_cells(const PlannedStage& s) {
    const Phase phase = info_of(s.stage).phase;
    return s.of == StageOf::gradient && (phase == Phase::cells || phase == Phase::paired);
}

/// Pushes gradients that were computed in B as numbers of the plan's type.
template <class T, class B>
class Pusher {
  public:
    Pusher(const Plan& plan, Backward<B>& backward)
        : plan_(plan),
          backward_(backward),
          findings_(plan),
          emitter_(plan, findings_, backward.forward().pool()),
          grads_(backward.forward().spaces().size()) {
        for (std::size_t w = 0; w < grads_.size(); ++w) dropout_.push_back(backward.forward().dropout());
        if constexpr (std::is_same_v<B, double>)
            if (!grads_.empty()) cells_.emplace(backward);
    }

    std::vector<std::string> run(Sink& sink) {
        Shown shown;
        for (const PlannedStage& s : plan_.gradients)
            if (s.shown) shown.push_back(&s);
        if (sink.stage_by_stage()) {
            for (const PlannedStage* s : shown) {
                sink.begin_stage(plan_, *s);
                push(sink, {s});
                sink.end_stage(*s);
            }
        } else {
            push(sink, shown);
        }
        return findings_.warnings();
    }

  private:
    void push(Sink& sink, const Shown& shown) {
        Shown cells;
        std::copy_if(shown.begin(), shown.end(), std::back_inserter(cells),
                     [](const PlannedStage* s) { return are_cells(*s); });
        bool done = cells.empty();
        if (backward_.forward().backward_needs().streamed) push_streamed(sink, shown);
        for (const PlannedStage* s : shown) {
            if (are_cells(*s)) {
                if (!std::exchange(done, true)) push_cells(sink, cells);
            } else if (is_streamed(*s)) {
                continue;
            } else if (s->stage == Stage::context && s->of == StageOf::gradient) {
                push_rows(sink, *s, backward_.d_context().data);
            } else if (s->of == StageOf::gradient) {
                push_rows(sink, *s, backward_.at(s->stage).values.data());
            } else if (is_of_parameter(s->family)) {
                push_parameter(sink, *s);
            } else {
                push_rows(sink, *s, backward_.of_given(s->tensors.front()).data());
            }
        }
    }

    /// Numbers [batch, head, row, column], those that are shown.
    void push_rows(Sink& sink, const PlannedStage& stage, const B* from) {
        const T* const numbers = converted(from, *element_count(stage.shape));
        const bool heads = has_heads(stage.family);
        const std::size_t first = heads ? 2 : 1;
        Index width = stage.shape.back(), rows = 1;
        for (std::size_t k = first; k + 1 < stage.shape.size(); ++k) rows *= stage.shape[k];
        const Index count = heads ? stage.shape[1] : 1;
        const View<T> view{numbers, count * rows * width, rows * width, width};
        if (row_kind(stage.family) != RowKind::whole || stage.family == StageShape::per_key)
            return emitter_.source(sink, stage, view, false);
        // States, of one token after another, and what stands before the first token: whole.
        const auto& shown = heads ? plan_.heads_of(stage.family).indices : one_;
        const bool each = stage.family == StageShape::states;
        const auto& tokens = each ? plan_.new_keys_shown.indices : one_;
        const Index own = each ? plan_.dim : rows;
        for (const Index b : plan_.batch_shown.indices)
            for (const Index h : shown)
                for (const Index token : tokens) {
                    Rows at = emitter_.rows_of(stage, b, h, 0, own);
                    at.token = token;
                    emitter_.push(sink, at, view.row(b, h, token * own), width);
                }
    }

    /// One tensor, or one for each head.
    void push_parameter(Sink& sink, const PlannedStage& stage) {
        std::vector<double> all;
        const T* numbers = nullptr;
        if (const B* const there = backward_.in_place(stage)) {
            numbers = converted(there, *element_count(stage.shape));
        } else {
            all = backward_.numbers_of(stage);
            numbers = converted(all.data(), static_cast<Index>(all.size()));
        }
        const Shape& shape = stage.shape;
        const Index width = shape.back(), rows = shape.size() > 1 ? shape[shape.size() - 2] : 1;
        const bool heads = has_heads(stage.family), items = has_batch(stage.family);
        const Index batch = items ? shape[0] : 1, count = heads ? shape[items ? 1 : 0] : 1;
        const Index own = heads || shape.size() < 3 ? rows : rows * shape[0];
        for (Index b = 0; b < batch; ++b)
            for (Index h = 0; h < count; ++h)
                emitter_.push(sink, emitter_.rows_of(stage, b, h, 0, own),
                              numbers + (b * count + h) * own * width, width);
    }

    bool is_streamed(const PlannedStage& s) const {
        return backward_.forward().backward_needs().streamed && s.of == StageOf::gradient &&
               info_of(s.stage).phase == Phase::source;
    }

    /// Gradients of queries, keys and values, head by head as they are computed: only what is shown, though
    /// sums are of all rows.
    void push_streamed(Sink& sink, const Shown& shown) {
        if constexpr (std::is_same_v<T, B>) {
            const Plan& plan = backward_.plan();
            Takers<T> takers;
            for (const PlannedStage* s : shown) {
                if (!is_streamed(*s)) continue;
                const auto push_keys = [this, &sink, s](const KeyHead& head, const T* rows) {
                    const Index width = s->shape.back();
                    push_ranges(sink, *s, head.batch, head.head, 0, s->shape[2], rows, width);
                };
                if (s->stage == plan.find(Stage::scores)->reads[0]) {
                    takers.queries = [this, &sink, s](const RowBlock& block, const T* rows) {
                        push_ranges(sink, *s, block.batch, block.head, block.query, block.rows, rows,
                                    plan_.dim);
                    };
                } else if (s->stage == plan.find(Stage::scores)->reads[1]) {
                    takers.keys = push_keys;
                } else {
                    takers.values = push_keys;
                }
            }
            if (!takers.queries && !takers.keys && !takers.values) return;
            const bool sums = takers.keys || takers.values;
            std::vector<KeyHead> heads;
            for (const Index b : plan_.batch_shown.indices)
                for (const Index k : plan_.kv_heads_shown.indices) heads.push_back({b, k});
            backward_.fused().run(backward_.d_context(), sums ? plan : plan_, heads,
                                  sums ? counted(plan.heads) : plan_.heads_shown.indices, takers);
        }
    }

    /// Those of some rows of a head that are shown.
    void push_ranges(Sink& sink, const PlannedStage& stage, Index batch, Index head, Index first, Index count,
                     const T* rows, Index width) {
        const std::vector<Index>& heads = plan_.heads_of(stage.family).indices;
        if (!std::binary_search(heads.begin(), heads.end(), head)) return;
        const std::vector<Index>& shown = plan_.rows_of(stage.family).indices;
        const auto from = std::lower_bound(shown.begin(), shown.end(), first),
                   to = std::lower_bound(from, shown.end(), first + count);
        for_ranges({from, to}, [&](Index k, Index end) {
            const Index at = *(from + k);
            emitter_.push(sink, emitter_.rows_of(stage, batch, head, at, end - k),
                          rows + (at - first) * width, width);
        });
    }

    /// Stages of queries x keys of the shown rows, a few blocks at a time by all workers.
    void push_cells(Sink& sink, const Shown& shown) {
        Forward<B>& forward = backward_.forward();
        std::vector<TraceSpace<B>>& spaces = forward.spaces();
        std::vector<RowBlock> blocks;
        for (const Index b : plan_.batch_shown.indices)
            for (const Index h : heads_to_walk(shown))
                for_blocks(plan_, b, h, backward_.plan().row_block, [&](RowBlock block) {
                    block.first = block.query;  // the backward pass has all rows
                    blocks.push_back(block);
                });
        for (std::size_t from = 0; from < blocks.size(); from += spaces.size()) {
            const std::size_t count = std::min(spaces.size(), blocks.size() - from);
            forward.pool().run(static_cast<Index>(count), [&](Index k, int) {
                if constexpr (std::is_same_v<B, double>)
                    cells_->compute(blocks[from + idx(k)], dropout_[idx(k)], spaces[idx(k)], grads_[idx(k)]);
            });
            for (std::size_t k = 0; k < count; ++k)
                for (const PlannedStage* s : shown)
                    push_block(sink, *s, blocks[from + k], spaces[k], grads_[k]);
        }
    }

    void push_block(Sink& sink, const PlannedStage& stage, const RowBlock& block, const TraceSpace<B>& space,
                    const CellGrads& grads) {
        const Plan& plan = plan_;
        const bool paired = has_paired_heads(stage.family);
        Index head = block.head;
        if (paired) {
            // The gradient of both halves' weights together: told by the first.
            head = plan.context_head_of(head);
            if (block.head != plan.differential->half_of(head, false, plan.context_heads())) return;
        }
        const std::vector<Index>& shown = plan.heads_of(stage.family).indices;
        if (!std::binary_search(shown.begin(), shown.end(), head)) return;
        const T* const numbers = converted(grads.of[idx(stage.stage)].data(), block.rows * plan.keys);
        emitter_.push(sink, emitter_.rows_of(stage, block.batch, head, block.query, block.rows), numbers,
                      plan.keys,
                      plan.masked && !paired && !space.hidden.empty() ? space.hidden.data() : nullptr);
    }

    /// The shown heads, and for differential weights the halves that tell of them.
    std::vector<Index> heads_to_walk(const Shown& shown) const {
        std::vector<Index> out = plan_.heads_shown.indices;
        const bool paired = std::any_of(shown.begin(), shown.end(),
                                        [](const PlannedStage* s) { return has_paired_heads(s->family); });
        if (!paired) return out;
        for (const Index h : plan_.context_heads_shown.indices)
            out.push_back(plan_.differential->half_of(h, false, plan_.context_heads()));
        std::sort(out.begin(), out.end());
        out.erase(std::unique(out.begin(), out.end()), out.end());
        return out;
    }

    /// Where they are, if they are of that type.
    template <class F>
    const T* converted(const F* from, Index count) {
        if constexpr (std::is_same_v<F, T>) {
            return from;
        } else {
            numbers_.resize(idx(count));
            std::transform(from, from + count, numbers_.begin(),
                           [](F v) { return static_cast<T>(v) + T{0}; });  // what is rounded to 0 is +0
            return numbers_.data();
        }
    }

    const Plan& plan_;
    Backward<B>& backward_;
    std::optional<Cells> cells_;  ///< where there are any
    Findings findings_;
    Emitter<T> emitter_;
    std::vector<DropoutRows> dropout_;  ///< by worker
    std::vector<CellGrads> grads_;
    std::vector<T> numbers_;
    const std::vector<Index> one_{0};
};

}  // namespace

struct Gradients::State {
    virtual ~State() = default;
    virtual std::vector<std::string> run(Sink& sink) = 0;
};

namespace {

/// A plan of numbers of type T, computed in B.
template <class T, class B>
struct StateOf : Gradients::State {
    explicit StateOf(const Plan& planned)
        : plan(planned), forward(planned, backward_needs(planned)), backward(forward) {}
    std::vector<std::string> run(Sink& sink) override {
        forward.compute();
        backward.run();
        return Pusher<T, B>(plan, backward).run(sink);
    }

    const Plan& plan;
    Forward<B> forward;
    Backward<B> backward;
};

}  // namespace

Gradients::Gradients(const Plan& plan) {
    if (is_wide(plan.dtype))
        state_ = std::make_unique<StateOf<double, double>>(plan);
    else if (backward_needs(plan).fused)
        state_ = std::make_unique<StateOf<float, float>>(plan);
    else
        state_ = std::make_unique<StateOf<float, double>>(plan);
}
Gradients::~Gradients() = default;
Gradients::Gradients(Gradients&&) noexcept = default;
Gradients& Gradients::operator=(Gradients&&) noexcept = default;

std::vector<std::string> Gradients::run(Sink& sink) { return state_->run(sink); }

}  // namespace attn::gradient
