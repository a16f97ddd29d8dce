#include "lib/run/executor.hpp"

#include <algorithm>
#include <numeric>

#include "lib/kernels/kernels.hpp"
#include "lib/run/ops.hpp"
#include "lib/run/run.hpp"

namespace attn {
namespace {

/// Below this much arithmetic starting threads costs more than it gives.
constexpr double worth_threads = 2e7;

std::vector<Index> counted(Index n) {
    std::vector<Index> v(static_cast<std::size_t>(n));
    std::iota(v.begin(), v.end(), Index{0});
    return v;
}

/// Calls f(begin, end) for each unbroken range of a sorted list, given as places in the list.
template <class F>
void for_ranges(const std::vector<Index>& sorted, F&& f) {
    std::size_t from = 0;
    for (std::size_t k = 1; k <= sorted.size(); ++k) {
        if (k < sorted.size() && sorted[k] == sorted[k - 1] + 1) continue;
        f(from, k);
        from = k;
    }
}

bool is_score_like(Stage s) { return info_of(s).shape == StageShape::query_key; }

}  // namespace

template <class T>
Executor<T>::Executor(const Plan& plan, Sink& sink)
    : plan_(plan),
      sink_(sink),
      findings_(plan),
      tensors_(plan),
      mask_(plan, tensors_),
      dropout_(plan, tensors_) {}

template <class T>
bool Executor<T>::wants(Stage first, Stage last) const {
    return std::any_of(plan_.stages.begin(), plan_.stages.end(),
                       [&](const PlannedStage& s) { return s.shown && s.stage >= first && s.stage <= last; });
}

/// out[b, h, t, :] = (x[b, tokens[t], :] · W + bias)[columns of head h]; without weights the columns
/// themselves.
template <class T>
void Executor<T>::project(const Projection& projection, std::size_t input, Tensor4<T>& out,
                          const std::vector<Index>& tokens, Index dim) {
    const std::vector<T>& x = tensors_[input];
    const Shape& shape = plan_.tensors[input].shape;
    const Index all_tokens = shape[shape.size() - 2], width = shape.back();
    out = tensor4<T>(plan_.batch, plan_.heads, static_cast<Index>(tokens.size()), dim);
    LinearMap<T> map;
    if (!projection.weight.empty()) map = assemble(projection, plan_, tensors_);
    const auto& kernel = kernels::table<T>();
    for (const Index b : plan_.batch_shown.indices) {
        for (const Index h : heads_) {
            for_ranges(tokens, [&](std::size_t from, std::size_t to) {
                const auto place = static_cast<Index>(from), rows = static_cast<Index>(to - from);
                const Index item = plan_.projected_given ? b * plan_.heads + h : b;
                const T* in = x.data() + (item * all_tokens + tokens[from]) * width;
                T* result = row(out, b, h, place);
                if (projection.weight.empty()) {
                    const Index column = plan_.projected_given ? 0 : h * dim;
                    for (Index i = 0; i < rows; ++i)
                        std::copy_n(in + i * width + column, dim, result + i * dim);
                    return;
                }
                kernel.multiply(in, width, map.weight.data() + h * dim, projection.d_out, result, dim, rows,
                                dim, width);
                if (map.bias.empty()) return;
                for (Index i = 0; i < rows; ++i)
                    for (Index j = 0; j < dim; ++j)
                        result[i * dim + j] += map.bias[static_cast<std::size_t>(h * dim + j)];
            });
        }
    }
}

template <class T>
void Executor<T>::prepare() {
    const bool merges = wants(Stage::concat, Stage::concat) || wants(Stage::output, Stage::output);
    heads_ = merges ? counted(plan_.heads) : plan_.heads_shown.indices;
    dims_ = counted(std::max({plan_.dim, plan_.value_dim, plan_.heads * plan_.value_dim, plan_.output_dim}));
    const bool scores = wants(Stage::scores, Stage::output), context = wants(Stage::context, Stage::output);
    const auto all_keys = counted(plan_.keys);
    if (scores || wants(Stage::queries, Stage::queries))
        project(plan_.query_projection, *plan_.query_input, queries_, plan_.queries_shown.indices, plan_.dim);
    if (scores || wants(Stage::keys, Stage::keys))
        project(plan_.key_projection, *plan_.key_input, keys_, all_keys, plan_.dim);
    if (context || wants(Stage::values, Stage::values))
        project(plan_.value_projection, *plan_.value_input, values_, all_keys, plan_.value_dim);
    if (plan_.has_output && wants(Stage::head_outputs, Stage::output))
        output_ = assemble(plan_.output_projection, plan_, tensors_);
    keeps_context_ = wants(Stage::concat, Stage::output);
    if (keeps_context_)
        context_ = tensor4<T>(plan_.batch, static_cast<Index>(plan_.queries_shown.indices.size()),
                              plan_.heads, plan_.value_dim);
    if (scores) pool_.emplace(plan_.flops < worth_threads ? 1 : plan_.threads);
}

template <class T>
void Executor<T>::run() {
    prepare();
    std::vector<const PlannedStage*> shown;
    for (const PlannedStage& s : plan_.stages)
        if (s.shown) shown.push_back(&s);
    if (!sink_.stage_by_stage()) return pass(shown);
    for (const PlannedStage* s : shown) {
        sink_.begin_stage(plan_, *s);
        pass({s});
        sink_.end_stage(*s);
    }
}

/// Computes what `shown` needs, and pushes those stages.
template <class T>
void Executor<T>::pass(const std::vector<const PlannedStage*>& shown) {
    findings_.start_pass();
    std::optional<Stage> last;
    for (const PlannedStage* s : shown) {
        if (s->stage < Stage::scores) {
            emit_projected(*s);
        } else {
            last = s->stage;
        }
    }
    if (last) walk_blocks(shown, *last);
}

template <class T>
void Executor<T>::walk_blocks(const std::vector<const PlannedStage*>& shown, Stage last) {
    // Stages after the context need it of all heads; once it is kept, the walk is over.
    const bool from_context = shown.front()->stage > Stage::context && has_context_;
    const Stage upto = last > Stage::context ? Stage::context : last;
    const auto workers = static_cast<std::size_t>(pool_->workers());
    std::vector<Workspace<T>> spaces(workers);
    for (const Index b : plan_.batch_shown.indices) {
        const std::vector<RowBlock> blocks = blocks_of(b);
        for (std::size_t from = 0; from < blocks.size() && !from_context; from += workers) {
            const std::size_t count = std::min(workers, blocks.size() - from);
            // The generator of a dropout mask is one sequence: its rows are drawn in order, before the work
            // is shared.
            for (std::size_t k = 0; k < count && plan_.dropout && upto >= Stage::dropped_weights; ++k) {
                const RowBlock& block = blocks[from + k];
                spaces[k].keep.resize(static_cast<std::size_t>(block.rows * plan_.keys));
                for (Index i = 0; i < block.rows; ++i)
                    dropout_.row(b, block.head, block.query + i, spaces[k].keep.data() + i * plan_.keys);
            }
            pool_->run(static_cast<int>(count), [&](int k) {
                const auto at = static_cast<std::size_t>(k);
                compute(blocks[from + at], upto, spaces[at]);
            });
            for (std::size_t k = 0; k < count; ++k) {
                const RowBlock& block = blocks[from + k];
                const Workspace<T>& w = spaces[k];
                for (Index i = 0; i < block.rows && upto >= Stage::weights; ++i)
                    if (w.empty[static_cast<std::size_t>(i)])
                        findings_.empty_row(b, block.head, block.query + i);
                if (keeps_context_ && upto == Stage::context) {
                    const T* from_rows = w.stages[static_cast<std::size_t>(Stage::context)].data();
                    for (Index i = 0; i < block.rows; ++i)
                        std::copy_n(from_rows + i * plan_.value_dim, plan_.value_dim,
                                    row(context_, b, block.first + i, block.head));
                }
                const bool is_shown = std::binary_search(plan_.heads_shown.indices.begin(),
                                                         plan_.heads_shown.indices.end(), block.head);
                for (const PlannedStage* s : shown)
                    if (is_shown && s->stage >= Stage::scores && s->stage <= Stage::context)
                        emit_block(*s, block, w);
            }
        }
        for (const PlannedStage* s : shown)
            if (s->stage > Stage::context) emit_merged(*s, b);
    }
    if (upto == Stage::context && keeps_context_) has_context_ = true;
}

template <class T>
std::vector<RowBlock> Executor<T>::blocks_of(Index batch) const {
    std::vector<RowBlock> blocks;
    const auto& rows = plan_.queries_shown.indices;
    for (const Index h : heads_)
        for_ranges(rows, [&](std::size_t from, std::size_t to) {
            for (std::size_t k = from; k < to; k += static_cast<std::size_t>(plan_.row_block))
                blocks.push_back({batch, h, static_cast<Index>(k), rows[k],
                                  std::min(plan_.row_block, static_cast<Index>(to - k))});
        });
    return blocks;
}

template <class T>
void Executor<T>::compute(const RowBlock& block, Stage last, Workspace<T>& w) const {
    w.empty.assign(static_cast<std::size_t>(block.rows), 0);
    const auto cells = static_cast<std::size_t>(block.rows * plan_.keys);
    if (plan_.masked) {
        w.hidden.resize(cells);
        for (Index i = 0; i < block.rows; ++i)
            mask_.hide(block.batch, block.head, block.query + i, w.hidden.data() + i * plan_.keys);
    }
    const T* in = nullptr;
    for (const PlannedStage& s : plan_.stages) {
        if (s.stage < Stage::scores) continue;
        auto& out = w.stages[static_cast<std::size_t>(s.stage)];
        out.resize(is_score_like(s.stage) ? cells : static_cast<std::size_t>(block.rows * plan_.value_dim));
        compute_stage(s, block, in, w);
        in = out.data();
        if (s.stage == last) break;
    }
}

/// One planned stage of a row block; `in`: the stage before it, [rows, K].
template <class T>
void Executor<T>::compute_stage(const PlannedStage& stage, const RowBlock& block, const T* in,
                                Workspace<T>& w) const {
    const auto& kernel = kernels::table<T>();
    const Index keys = plan_.keys;
    T* out = w.stages[static_cast<std::size_t>(stage.stage)].data();
    const std::uint8_t* hidden = plan_.masked ? w.hidden.data() : nullptr;
    switch (stage.stage) {
        case Stage::scores:
            kernel.dot_rows(row(queries_, block.batch, block.head, block.first), plan_.dim,
                            row(keys_, block.batch, block.head, 0), plan_.dim, out, keys, block.rows, keys,
                            plan_.dim);
            return;
        case Stage::context:
            kernel.multiply(in, keys, row(values_, block.batch, block.head, 0), plan_.value_dim, out,
                            plan_.value_dim, block.rows, plan_.value_dim, keys);
            return;
        case Stage::queries:
        case Stage::keys:
        case Stage::values:
        case Stage::concat:
        case Stage::head_outputs:
        case Stage::output:
            return;
        case Stage::scaled_scores:
        case Stage::masked_scores:
        case Stage::weights:
        case Stage::masked_weights:
        case Stage::renormalized_weights:
        case Stage::dropped_weights:
            break;
    }
    const bool masked_before = plan_.masked && plan_.mask_at != MaskAt::weights;
    for (Index i = 0; i < block.rows; ++i) {
        const T* x = in + i * keys;
        T* y = out + i * keys;
        const std::uint8_t* h = hidden ? hidden + i * keys : nullptr;
        const auto fill_if_empty = [&](bool empty) {
            if (!empty) return false;
            w.empty[static_cast<std::size_t>(i)] = 1;
            ops::fill_empty(y, keys, plan_.empty_rows);
            return true;
        };
        switch (stage.stage) {
            case Stage::scaled_scores:
                ops::scale(x, y, keys, static_cast<T>(plan_.scale));
                break;
            case Stage::masked_scores:
                if (mask_.adds()) {
                    w.added.resize(static_cast<std::size_t>(keys));
                    mask_.add(block.batch, block.head, block.query + i, w.added.data());
                }
                ops::mask_scores(x, y, keys, h, mask_.adds() ? w.added.data() : nullptr);
                break;
            case Stage::weights:
                if (masked_before && fill_if_empty(!ops::sees_a_key(x, keys))) break;
                if (plan_.normalize == Normalize::softmax) {
                    ops::softmax(x, y, keys);
                } else {
                    ops::divide_by_sum(x, y, keys);
                }
                break;
            case Stage::masked_weights:
                ops::mask_weights(x, y, keys, h);
                break;
            case Stage::renormalized_weights:
                if (!fill_if_empty(std::all_of(h, h + keys, [](std::uint8_t c) { return c != 0; })))
                    ops::renormalize(x, y, keys);
                break;
            case Stage::dropped_weights:
                ops::drop(x, y, keys, w.keep.data() + i * keys, dropout_.kept_factor<T>());
                break;
            case Stage::queries:
            case Stage::keys:
            case Stage::values:
            case Stage::scores:
            case Stage::context:
            case Stage::concat:
            case Stage::head_outputs:
            case Stage::output:
                break;
        }
    }
}

template <class T>
void Executor<T>::emit_projected(const PlannedStage& stage) {
    const bool is_query = stage.stage == Stage::queries;
    const Tensor4<T>& from = is_query ? queries_ : stage.stage == Stage::keys ? keys_ : values_;
    const Index width = stage.shape.back();
    for (const Index b : plan_.batch_shown.indices) {
        for (const Index h : plan_.heads_shown.indices) {
            const auto& rows = is_query ? plan_.queries_shown.indices : plan_.keys_shown.indices;
            for_ranges(rows, [&](std::size_t k, std::size_t end) {
                // Queries are held for the shown rows only, keys and values whole.
                const Index place = is_query ? static_cast<Index>(k) : rows[k];
                emit(stage, b, h, rows[k], static_cast<Index>(end - k), row(from, b, h, place), width,
                     nullptr);
            });
        }
    }
}

template <class T>
void Executor<T>::emit_block(const PlannedStage& stage, const RowBlock& block, const Workspace<T>& w) {
    const T* data = w.stages[static_cast<std::size_t>(stage.stage)].data();
    const bool cells = is_score_like(stage.stage);
    emit(stage, block.batch, block.head, block.query, block.rows, data, cells ? plan_.keys : plan_.value_dim,
         cells && plan_.masked ? w.hidden.data() : nullptr);
}

/// Stages after the context, from the contexts of all heads.
template <class T>
void Executor<T>::emit_merged(const PlannedStage& stage, Index batch) {
    const auto& rows = plan_.queries_shown.indices;
    const Index width = plan_.heads * plan_.value_dim, out = plan_.output_dim;
    const auto& kernel = kernels::table<T>();
    std::vector<T> result;
    const auto each_block = [&](auto&& f) {
        for_ranges(rows, [&](std::size_t from, std::size_t to) {
            for (std::size_t k = from; k < to; k += static_cast<std::size_t>(plan_.row_block))
                f(static_cast<Index>(k), std::min(plan_.row_block, static_cast<Index>(to - k)));
        });
    };
    const auto multiply = [&](Index k, Index n, Index column, Index depth) {
        result.resize(static_cast<std::size_t>(n * out));
        kernel.multiply(row(context_, batch, k, 0) + column, width, output_.weight.data() + column * out, out,
                        result.data(), out, n, out, depth);
    };
    if (stage.stage == Stage::head_outputs) {
        for (const Index h : plan_.heads_shown.indices)
            each_block([&](Index k, Index n) {
                multiply(k, n, h * plan_.value_dim, plan_.value_dim);
                emit(stage, batch, h, rows[static_cast<std::size_t>(k)], n, result.data(), out, nullptr);
            });
        return;
    }
    each_block([&](Index k, Index n) {
        const Index query = rows[static_cast<std::size_t>(k)];
        if (stage.stage == Stage::concat)
            return emit(stage, batch, 0, query, n, row(context_, batch, k, 0), width, nullptr);
        multiply(k, n, 0, width);
        for (Index i = 0; i < n && !output_.bias.empty(); ++i)
            for (Index j = 0; j < out; ++j)
                result[static_cast<std::size_t>(i * out + j)] += output_.bias[static_cast<std::size_t>(j)];
        emit(stage, batch, 0, query, n, result.data(), out, nullptr);
    });
}

/// Pushes rows with the columns that are shown: keys where the columns are keys, otherwise all.
template <class T>
void Executor<T>::emit(const PlannedStage& stage, Index batch, Index head, Index row_begin, Index rows,
                       const T* data, Index stride, const std::uint8_t* hidden) {
    Rows r;
    r.stage = &stage;
    r.batch = batch;
    r.head = head;
    r.has_head = stage.family != StageShape::merged;
    r.row_begin = row_begin;
    r.row_end = row_begin + rows;
    r.dtype = plan_.dtype;
    r.columns = {dims_.data(), static_cast<std::size_t>(stage.shape.back())};
    r.data = data;
    r.hidden = hidden;
    if (stage.family == StageShape::query_key) {
        r.columns = plan_.keys_shown.indices;
        if (!plan_.keys_shown.all) {
            gathered_.clear();
            gathered_hidden_.clear();
            for (Index i = 0; i < rows; ++i)
                for (const Index j : plan_.keys_shown.indices) {
                    gathered_.push_back(data[i * stride + j]);
                    if (hidden) gathered_hidden_.push_back(hidden[i * stride + j]);
                }
            r.data = gathered_.data();
            if (hidden) r.hidden = gathered_hidden_.data();
        }
    }
    findings_.look_at(r);
    sink_.rows(r);
}

template class Executor<float>;
template class Executor<double>;

namespace {

template <class T>
std::vector<std::string> run_in(const Plan& plan, Sink& sink) {
    Executor<T> executor(plan, sink);
    sink.begin(plan);
    executor.run();
    std::vector<std::string> warnings = plan.warnings;
    for (std::string& w : executor.warnings()) warnings.push_back(std::move(w));
    sink.end(warnings);
    return warnings;
}

}  // namespace

std::vector<std::string> run(const Plan& plan, Sink& sink) {
    return plan.dtype == DType::float32 ? run_in<float>(plan, sink) : run_in<double>(plan, sink);
}

}  // namespace attn
