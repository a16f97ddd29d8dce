#include <algorithm>

#include "lib/plan/builder.hpp"

namespace attn {
namespace {

bool shows(const Plan& plan, StageShape family) {
    return std::any_of(plan.stages.begin(), plan.stages.end(),
                       [&](const PlannedStage& s) { return s.shown && s.family == family; });
}

bool shows_at_or_after(const Plan& plan, Stage first) {
    return std::any_of(plan.stages.begin(), plan.stages.end(),
                       [&](const PlannedStage& s) { return s.shown && s.stage >= first; });
}

double count(const AxisSelection& s) { return static_cast<double>(s.indices.size()); }

std::string megabytes(double bytes) {
    return std::to_string(static_cast<long long>(bytes / 1e6) + 1) + " MB";
}

}  // namespace

void resolve_cost(Builder& b) {
    Plan& plan = b.plan;
    const auto d = [](Index n) { return static_cast<double>(n); };
    const bool merged = shows(plan, StageShape::merged);
    const double batches = count(plan.batch_shown), rows = count(plan.queries_shown);
    const double heads = merged ? d(plan.heads) : count(plan.heads_shown);

    // A row block keeps its stages of queries x keys within the second-level cache where the rows are short.
    const double stages = d(static_cast<Index>(plan.stages.size()));
    const double block_bytes = 1 << 20;
    plan.row_block =
        std::clamp(static_cast<Index>(block_bytes / (std::max(1.0, d(plan.keys)) * d(size_of(plan.dtype)))),
                   Index{1}, Index{64});
    plan.row_block = std::min(plan.row_block, plan.queries);

    if (shows_at_or_after(plan, Stage::scores))
        plan.flops += 2 * batches * heads * rows * d(plan.keys) * d(plan.dim);
    if (shows_at_or_after(plan, Stage::context))
        plan.flops += 2 * batches * heads * rows * d(plan.keys) * d(plan.value_dim);
    for (const auto& [p, tokens] :
         {std::pair{&plan.query_projection, rows}, std::pair{&plan.key_projection, d(plan.keys)},
          std::pair{&plan.value_projection, d(plan.keys)}, std::pair{&plan.output_projection, rows}})
        if (!p->weight.empty()) plan.flops += 2 * batches * tokens * d(p->d_in) * d(p->d_out);

    double bytes = 0;
    for (const TensorSource& t : plan.tensors) {
        const double n = d(*element_count(t.shape));
        bytes += 8 * d(static_cast<Index>(t.values.size())) + n * d(size_of(plan.dtype));
        if (t.kind == TensorSource::Kind::embedding) bytes += 4 * d(t.num_embeddings) * d(t.shape.back());
        if (t.kind != TensorSource::Kind::literal) bytes += 4 * n;
    }
    const double element = d(size_of(plan.dtype));
    const double all_heads = d(plan.batch) * d(plan.heads);
    bytes +=
        element * all_heads *
        (rows * d(plan.dim) + d(plan.keys) * (d(plan.dim) + d(plan.value_dim)) + rows * d(plan.value_dim));
    bytes += element * d(plan.batch) * rows * d(plan.output_dim);
    bytes += element * stages * d(plan.row_block) * d(plan.keys);

    plan.threads = b.request.threads > 0 ? b.request.threads : processors_available();
    const Index allowed = b.request.max_memory ? *b.request.max_memory : memory_available();
    if (bytes > d(allowed))
        fail("", "needs about " + megabytes(bytes) + " of memory, but " +
                     (b.request.max_memory ? "--max-memory allows " : "there are only ") +
                     megabytes(d(allowed)));
    plan.peak_bytes = static_cast<Index>(bytes);
}

}  // namespace attn
