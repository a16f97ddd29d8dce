// From the weights to the output.
#include "lib/render/sheet/rules.hpp"

namespace attn::sheet {

Rule context(Book& book, const PlannedStage& stage) {
    const Plan& plan = book.plan();
    const Grid &w = book.grid(stage.reads[0]), &v = book.grid(stage.reads[1]);
    return {.block = [&plan, &w, &v](const RowsAt& at) {
        return array("MMULT(" + w.range(at) + "," + v.range(v.all_rows(at.item, plan.values_of(at.head))) +
                     ")");
    }};
}

bool has_gate_matrix(const Plan& plan) {
    return !plan.projected_given &&
           plan.projects(plan.gate->from_queries ? WeightRole::query : WeightRole::gate);
}

void prepare_gate(Book& book) {
    const WeightRole role = book.plan().gate->from_queries ? WeightRole::query : WeightRole::gate;
    book.embedded(*book.plan().query_input);
    book.weight(role);
    book.bias(role);
}

std::string opening_text(Book& book, const RowsAt& at) {
    const Plan& plan = book.plan();
    const bool from_queries = plan.gate->from_queries;
    const WeightRole role = from_queries ? WeightRole::query : WeightRole::gate;
    const Grid &input = book.embedded(*plan.query_input), &w = book.weight(role);
    // Beside the queries of a head stands its gate.
    const Index dim = plan.gate_by_head ? 1 : plan.value_dim,
                first = at.head * dim * (from_queries ? 2 : 1) + (from_queries ? dim : 0),
                last = first + dim - 1;
    std::string gate = "MMULT(" + input.range({at.item, 0, at.from, at.to}) + "," +
                       w.range(w.all_rows(0, 0), first, last) + ")";
    if (const Grid* b = book.bias(role)) gate = "(" + gate + "+" + b->range({}, first, last) + ")";
    switch (plan.gate->activation) {
        case GateActivation::sigmoid:
            return "1/(1+EXP(-" + gate + "))";
        case GateActivation::silu:
            return gate + "/(1+EXP(-" + gate + "))";
        case GateActivation::softplus:
            break;
    }
    // ln(1 + e^g) where e^g may be no number.
    return "(IF(" + gate + ">0," + gate + ",0)+LN(1+EXP(-ABS(" + gate + "))))";
}

Rule gated_context(Book& book, const PlannedStage& stage) {
    if (!has_gate_matrix(book.plan())) return values_because("the gate is no product with a matrix here");
    const Grid& x = book.grid(stage.reads.front());
    prepare_gate(book);
    return {
        .block = [&book, &x](const RowsAt& at) { return array(x.range(at) + "*" + opening_text(book, at)); }};
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
    const Index heads = book.plan().context_heads();
    if (heads > 255) return values_because("AVERAGE takes at most 255 heads");
    return {.cell = [&x, heads](const At& at) {
        std::string list;
        for (Index h = 0; h < heads; ++h)
            list += (h == 0 ? "" : ",") + x.cell({at.item, h, at.row, at.column});
        return "=AVERAGE(" + list + ")";
    }};
}

}  // namespace attn::sheet
