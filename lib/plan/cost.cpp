#include <algorithm>
#include <array>

#include "lib/option_words.hpp"
#include "lib/plan/backward_cost.hpp"
#include "lib/plan/blocking.hpp"
#include "lib/plan/builder.hpp"
#include "lib/plan/needs.hpp"

namespace attn {

namespace {

/// Below this much arithmetic starting threads costs more than it gives.
constexpr double worth_threads = 2e7;

double count(const AxisSelection& s) { return static_cast<double>(s.indices.size()); }

std::string megabytes(double bytes) {
    return std::to_string(static_cast<long long>(bytes / 1e6) + 1) + " MB";
}

/// Some stage of queries x keys has to be there whole, not only on the way to a context.
bool keeps_cells(const Plan& plan, const Needs& needs) {
    const auto is_cells = [](Stage s) {
        return info_of(s).phase == Phase::cells || info_of(s).phase == Phase::paired;
    };
    return std::any_of(plan.stages.begin(), plan.stages.end(), [&](const PlannedStage& s) {
        if (is_cells(s.stage)) return s.shown;
        return needs.has(s.stage) && info_of(s.stage).phase != Phase::context &&
               std::any_of(s.reads.begin(), s.reads.end(), is_cells);
    });
}

/// Which of the paths of lib/run computes what is shown.
void choose_path(Plan& plan, const Needs& needs) {
    plan.packed = plan.keys >= blocking::unit;
    if (!needs.any(Phase::cells) && !needs.any(Phase::context) && !needs.any(Phase::state)) return;
    plan.path = plan.state ? Path::recurrent : Path::traced;
    if (plan.state || plan.additive || plan.rounding.changes()) return;
    const double factor = plan.factor();
    const bool plain_softmax = plan.normalize == Normalize::softmax && !plan.dropout &&
                               !(plan.masked && plan.mask_at == MaskAt::weights) && factor > 1e-30 &&
                               factor < 1e30;
    if (keeps_cells(plan, needs) || !needs.has(Stage::context) || !plain_softmax || !plan.packed) return;
    const Index rows = static_cast<Index>(plan.queries_shown.indices.size()) * (plan.heads / plan.kv_heads);
    plan.path = rows <= blocking::single_rows ? Path::single_rows : Path::fused;
}

/// Tokens of a batch item that go through a projection.
double tokens_of(const Plan& plan, WeightRole role) {
    const double keys = static_cast<double>(plan.new_keys), past = static_cast<double>(plan.past);
    switch (role) {
        case WeightRole::key:
        case WeightRole::value:
            return keys + (plan.past_latent ? past : 0);
        case WeightRole::latent:
        case WeightRole::rope_key:
        case WeightRole::decay:
        case WeightRole::beta:
            return keys;
        case WeightRole::query:
            if (plan.conv) return static_cast<double>(plan.queries);
            [[fallthrough]];
        default:
            return count(plan.queries_shown);
    }
}

/// Calls f(role, tokens) for every projection that is applied.
template <class F>
void each_projection(const Plan& plan, const Needs& needs, F&& f) {
    for (std::size_t r = 0; r < projection_count; ++r) {
        const auto role = static_cast<WeightRole>(r);
        if (needs.applies(role)) f(role, tokens_of(plan, role));
    }
}

/// Bytes of numbers at the fullest moment: what lib/run allocates.
double memory_of(const Plan& plan, const Needs& needs) {
    const auto d = [](Index n) { return static_cast<double>(n); };
    const double element = d(size_of(plan.dtype));
    const double rows = count(plan.queries_shown), keys = d(plan.keys), batch = count(plan.batch_shown);
    const bool contexts_wanted = needs.has(Stage::context);
    double bytes = 0, widened = 0;
    const auto is_copied = [&](const TensorSource& t) {
        return !(is_wide(plan.dtype) ? t.numbers.in_place<double>() != nullptr
                                     : t.numbers.in_place<float>() != nullptr);
    };
    std::vector<bool> is_weight(plan.tensors.size());
    for (const Projection& p : plan.projections)
        for (const WeightPiece& w : p.weight) is_weight[w.tensor] = true;
    for (std::size_t k = 0; k < plan.tensors.size(); ++k) {
        const TensorSource& t = plan.tensors[k];
        const double n = d(*element_count(t.shape));
        const bool literal = t.kind == TensorSource::Kind::literal;
        bytes += d(t.numbers.bytes_held());
        if (literal && is_copied(t) && !is_weight[k]) {
            for (const NumberRange& r : numbers_read(plan, needs, k)) bytes += element * d(r.count);
        } else if (!literal) {
            bytes += n * element;
        }
        if (t.kind == TensorSource::Kind::embedding) bytes += 4 * d(t.num_embeddings) * d(t.shape.back());
        // Drawn one after another, in a type that may be another one. What manual_seed draws is kept until
        // its place is known.
        if (t.kind != TensorSource::Kind::literal && t.doubles != is_wide(plan.dtype))
            widened = std::max(widened, (t.doubles ? 8 : 4) * n);
        if (t.shared) widened += n * element;
    }
    for (const MaskRule& m : plan.masks)
        bytes += d(*element_count(plan.tensors[m.tensor].shape)) * (m.kind == MaskKind::add ? element : 1);
    // A block of each worker is packed, put together first where it is in pieces or of another type; the
    // whole of the output's weights where its rows are pushed in several parts.
    const bool holds_output = needs.has(Stage::head_outputs) ||
                              !blocking::is_one_push(static_cast<Index>(batch * rows), plan.threads);
    double packed_weights = 0;
    each_projection(plan, needs, [&](WeightRole role, double tokens) {
        const Projection& p = plan.projection(role);
        const double blocks = 2.0 * d(plan.threads) * d(std::min(blocking::block_columns, p.d_out));
        const bool is_held = role == WeightRole::score || (role == WeightRole::output && holds_output);
        packed_weights =
            std::max(packed_weights, element * d(p.d_in) * (blocks + (is_held ? d(p.d_out) : 0)));
        if (role != WeightRole::output) bytes += element * batch * tokens * d(p.d_out);
    });
    bytes += packed_weights;
    if (needs.applies(WeightRole::output))
        bytes += element * std::min(rows, d(blocking::merged_rows * plan.threads)) * d(plan.output_dim);
    // Copies between the projections and the scores, see lib/run/sources.hpp, and the contexts that a gate
    // makes.
    const auto heads = [](const std::vector<Index>& of) { return static_cast<double>(of.size()); };
    const double query_copy = batch * heads(needs.query_heads) * rows * d(plan.dim);
    const double key_copy = batch * heads(needs.key_heads) * d(plan.new_keys) * d(plan.dim);
    const double value_copy = batch * heads(needs.kv_heads) * d(plan.new_keys) * d(plan.value_dim);
    for (const Stage s :
         {Stage::normed_queries, Stage::rotated_queries, Stage::tempered_queries, Stage::mapped_queries})
        if (needs.has(s)) bytes += element * query_copy;
    for (const Stage s : {Stage::normed_embeddings, Stage::normed_key_embeddings, Stage::normed_query_latent,
                          Stage::normed_latent})
        if (needs.has(s)) bytes += element * d(*element_count(plan.find(s)->shape));
    if (needs.has(Stage::normed_values)) bytes += element * value_copy;
    if (plan.limit_of(Stage::queries) && needs.has(Stage::queries)) bytes += element * query_copy;
    if (plan.limit_of(Stage::keys) && needs.has(Stage::keys)) bytes += element * key_copy;
    if (plan.limit_of(Stage::values) && needs.has(Stage::values)) bytes += element * value_copy;
    for (const Stage s : {Stage::normed_keys, Stage::rotated_keys, Stage::mapped_keys})
        if (needs.has(s)) bytes += element * key_copy;
    if (plan.conv)
        bytes += element * batch *
                 (d(plan.query_heads() * plan.query_dim) * (d(plan.queries) + rows) +
                  d(plan.new_keys) * d(plan.key_heads() * plan.key_dim + plan.kv_heads * plan.value_dim));
    if (needs.has(Stage::mapped_values))
        bytes += element * batch * d(plan.kv_heads * plan.new_keys * plan.value_dim);
    if (plan.past_rope_keys && needs.has(Stage::all_keys))
        bytes += element * batch * d(plan.heads * plan.past * plan.dim);
    if (needs.applies(WeightRole::score)) bytes += element * batch * d(plan.heads) * rows * d(plan.dim);
    const double head_tokens = element * batch * d(plan.kv_heads * plan.new_keys);
    if (needs.has(Stage::decay)) bytes += head_tokens * (plan.state->decay_by_column ? d(plan.dim) : 1);
    if (needs.has(Stage::beta)) bytes += head_tokens * (plan.state->beta_by_column ? d(plan.value_dim) : 1);
    if (plan.path == Path::recurrent) bytes += 8 * batch * d(plan.kv_heads * plan.dim * plan.value_dim);
    if (needs.has(Stage::all_keys)) bytes += element * batch * d(plan.kv_heads) * keys * d(plan.dim);
    if (needs.has(Stage::all_values)) bytes += element * batch * d(plan.kv_heads) * keys * d(plan.value_dim);
    if (plan.differential && contexts_wanted)
        bytes += element * batch * rows * d(plan.context_heads()) * d(plan.value_dim);
    if (needs.any(Phase::gated)) bytes += element * batch * rows * d(plan.heads) * d(plan.value_dim) * 2;
    if (needs.has(Stage::normed_concat)) bytes += element * batch * rows * d(plan.heads) * d(plan.value_dim);
    if (needs.has(Stage::lse)) bytes += element * batch * rows * d(plan.heads);
    // A number and a place of each row and key, for labels and selections.
    bytes += (sizeof(std::string) + sizeof(Index)) * (d(plan.queries) + keys) + sizeof(Index) * (rows + keys);
    if (plan.path == Path::none) return bytes + widened;
    const double contexts = element * batch * rows * d(plan.heads) * d(plan.value_dim);
    double work = 0;
    if (plan.path != Path::traced || plan.differential || is_read(plan, needs, Stage::context))
        work += contexts;
    const Index packed = blocking::packed_head(plan.keys, plan.dim, contexts_wanted ? plan.value_dim : 0);
    const Index held = plan.packs_by_worker
                           ? plan.threads
                           : blocking::packed_heads(plan.batch * plan.kv_heads, packed, size_of(plan.dtype));
    if (plan.path == Path::fused || (plan.path == Path::traced && plan.packed))
        work += element * d(packed) * d(held);
    const double workers = d(plan.threads);
    if (plan.path == Path::fused)
        work +=
            workers * d(blocking::fused_rows) * (element * d(blocking::block + 2 * plan.value_dim + 1) + 24);
    if (plan.path == Path::single_rows)
        work += d(blocking::parts(plan.keys, blocking::piece)) * batch * rows * d(plan.heads) *
                (element * d(1 + 2 * plan.value_dim) + 8);
    if (needs.has(Stage::mean_weights) || (plan.differential && plan.path == Path::traced))
        work += (8 + element) * keys * d(blocking::mean_rows(plan.keys, plan.row_block, plan.threads));
    if (plan.path == Path::traced) {
        const auto cells =
            static_cast<double>(std::count_if(plan.stages.begin(), plan.stages.end(), [&](const auto& s) {
                return info_of(s.stage).phase == Phase::cells && needs.has(s.stage);
            }));
        work += workers * d(plan.row_block) *
                (keys * (element * cells + (plan.masked ? 1 : 0) + (plan.dropout ? 1 : 0)) +
                 2 * element * d(plan.value_dim));
    }
    return bytes + std::max(work, widened);
}

}  // namespace

std::string_view name_of(Path path) {
    constexpr std::array<std::string_view, 5> names{"none", "fused", "traced", "single rows", "recurrent"};
    return names[idx(path)];
}

std::string_view meaning_of(Path path) {
    constexpr std::array<std::string_view, 5> meanings{
        "no scores", "blocks of rows by blocks of keys, no scores kept",
        "blocks of rows with all their keys, stage by stage", "a few rows, the keys read once",
        "one token after another, a state per head"};
    return meanings[idx(path)];
}

void refuse_too_large(const TensorSource& tensor, const Request& request) {
    using Kind = TensorSource::Kind;
    constexpr double never_too_large = 64e6;
    const double bytes = static_cast<double>(*element_count(tensor.shape)) * sizeof(float);
    if (tensor.kind == Kind::literal || bytes < never_too_large) return;
    const double allowed = static_cast<double>(request.max_memory.value_or(memory_available()));
    if (bytes <= allowed) return;
    const char* key = tensor.kind == Kind::drawn_weight ? "d_out" : "shape";
    fail(tensor.kind == Kind::embedding ? tensor.pointer : child(tensor.pointer, key),
         "asks for " + to_string(tensor.shape) + " numbers, " + megabytes(bytes) + " of memory, but " +
             (request.max_memory ? option::max_memory + " allows " : "there are only ") + megabytes(allowed));
}

void resolve_cost(Builder& b) {
    Plan& plan = b.plan;
    const auto d = [](Index n) { return static_cast<double>(n); };
    const Needs needs = needs_of(plan);
    const double batches = count(plan.batch_shown), rows = count(plan.queries_shown),
                 heads = static_cast<double>(needs.heads.size());

    choose_path(plan, needs);
    // A row block keeps its stages of queries x keys within the second-level cache where the rows are short;
    // whole tiles of 6 rows where it can.
    const double block_bytes = 1 << 19;
    plan.row_block =
        std::clamp(static_cast<Index>(block_bytes / (std::max(1.0, d(plan.keys)) * d(size_of(plan.dtype)))),
                   Index{1}, Index{96});
    if (plan.row_block >= 6) plan.row_block -= plan.row_block % 6;
    plan.row_block = std::min(plan.row_block, plan.queries);

    if (plan.state && plan.path == Path::recurrent) {
        // A state is updated (and read, for the delta rule) once a token, and read once a query.
        const double size = d(plan.dim) * d(plan.value_dim);
        plan.flops += 2 * batches * size *
                      (d(plan.kv_heads) * d(plan.new_keys) * (plan.state->delta ? 2 : 1) + heads * rows);
    } else {
        if (needs.has(Stage::scores)) plan.flops += 2 * batches * heads * rows * d(plan.keys) * d(plan.dim);
        if (needs.has(Stage::context))
            plan.flops += 2 * batches * heads * rows * d(plan.keys) * d(plan.value_dim);
    }
    each_projection(plan, needs, [&](WeightRole role, double tokens) {
        plan.flops += 2 * batches * tokens * d(plan.projection(role).d_in) * d(plan.projection(role).d_out);
    });

    plan.flops += flops_of_gradients(plan);
    plan.threads = b.request.threads > 0        ? b.request.threads
                   : plan.flops < worth_threads ? 1
                                                : processors_available();
    const Index head_bytes = blocking::packed_head(plan.keys, plan.dim, plan.value_dim) * size_of(plan.dtype);
    plan.packs_by_worker = plan.path == Path::fused && head_bytes <= blocking::small_head_bytes &&
                           plan.batch * plan.kv_heads >= 4 * plan.threads;
    const double bytes = memory_of(plan, needs) + memory_of_gradients(plan);
    plan.peak_bytes = static_cast<Index>(bytes);
    // Small plans do not ask the machine: that would be a tenth of their time.
    constexpr double always_there = 1e6;
    if (!b.request.max_memory && bytes < always_there) return;
    const Index allowed = b.request.max_memory ? *b.request.max_memory : memory_available();
    if (bytes > d(allowed))
        fail("", "needs about " + megabytes(bytes) + " of memory, but " +
                     (b.request.max_memory ? option::max_memory + " allows " : "there are only ") +
                     megabytes(d(allowed)));
}

}  // namespace attn
