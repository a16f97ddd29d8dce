// From the weights to the output.
#include "lib/render/sheet/rules.hpp"

namespace attn::sheet {

Rule context(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const Grid &w = book.grid(stage.reads[0]), &v = book.grid(stage.reads[1]);
    return {.block = [&plan, &w, &v](const RowsAt& at) {
        return array("MMULT(" + w.range(at) + "," + v.range(v.all_rows(at.item, plan.kv_head_of(at.head))) +
                     ")");
    }};
}

Rule normed_context(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const Grid& x = book.grid(stage.reads.front());
    const Index dim = stage.shape.back();
    const std::string eps = book.parameter("context_eps", plan.context_eps, "eps of the norm of contexts");
    const Grid* gain = nullptr;
    if (plan.context_norm)
        gain = &book.tensor(*plan.context_norm, "context_norm", "the weight of the norm", {1, 1, 1, dim});
    return {.cell = [&x, gain, eps, n = std::to_string(dim)](const At& at) {
        return "=" + x.cell(at) + "/SQRT(SUMSQ(" + x.row(at) + ")/" + n + "+" + eps + ")" +
               (gain ? "*" + gain->cell({0, 0, 0, at.column}) : "");
    }};
}

Rule gated_context(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const bool from_queries = plan.gate->from_queries;
    const WeightRole role = from_queries ? WeightRole::query : WeightRole::gate;
    if (plan.projected_given || !plan.projects(role))
        return values_because("the gate is no product with a matrix here");
    const Grid &x = book.grid(stage.reads.front()), &input = book.embeddings(*plan.query_input),
               &w = book.weight(role);
    const Grid* b = book.bias(role);
    const Index dim = plan.value_dim;
    return {.block = [&x, &input, &w, b, dim, from_queries, silu = plan.gate->silu](const RowsAt& at) {
        // Beside the queries of a head stands its gate.
        const Index first = at.head * dim * (from_queries ? 2 : 1) + (from_queries ? dim : 0),
                    last = first + dim - 1;
        std::string gate = "MMULT(" + input.range({at.item, 0, at.from, at.to}) + "," +
                           w.range(w.all_rows(0, 0), first, last) + ")";
        if (b) gate = "(" + gate + "+" + b->range({}, first, last) + ")";
        return array(x.range(at) + (silu ? "*" + gate : "") + "/(1+EXP(-" + gate + "))");
    }};
}

Rule concat(Book& book, const PlannedStage& stage) {
    const Grid& x = book.grid(stage.reads.front());
    return {.cell = [&x, dim = book.plan().value_dim](const At& at) {
        return "=" + x.cell({at.item, at.column / dim, at.row, at.column % dim});
    }};
}

Rule head_outputs(Book& book, const PlannedStage& stage) {
    const Grid &x = book.grid(stage.reads.front()), &w = book.weight(WeightRole::output);
    return {.block = [&x, &w, dim = book.plan().value_dim](const RowsAt& at) {
        return array("MMULT(" + x.range(at) + "," + w.range({0, 0, at.head * dim, (at.head + 1) * dim - 1}) +
                     ")");
    }};
}

Rule output(Book& book, const PlannedStage& stage) {
    const Grid &x = book.grid(stage.reads.front()), &w = book.weight(WeightRole::output);
    const Grid* b = book.bias(WeightRole::output);
    return {.block = [&x, &w, b](const RowsAt& at) {
        return array("MMULT(" + x.range(at) + "," + w.range(w.all_rows(0, 0)) + ")" +
                     (b ? "+" + b->range({}) : ""));
    }};
}

Rule mean_weights(Book& book, const PlannedStage& stage) {
    const Grid& x = book.grid(stage.reads.front());
    const Index heads = book.plan().heads;
    if (heads > 255) return values_because("AVERAGE takes at most 255 heads");
    return {.cell = [&x, heads](const At& at) {
        std::string list;
        for (Index h = 0; h < heads; ++h)
            list += (h == 0 ? "" : ",") + x.cell({at.item, h, at.row, at.column});
        return "=AVERAGE(" + list + ")";
    }};
}

}  // namespace attn::sheet
