#include "lib/render/sheet/book.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <stdexcept>

#include "lib/input/choices.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn::sheet {
namespace {

Index size(const std::vector<Index>& list) { return static_cast<Index>(list.size()); }

/// A stage's sheet as shown.
Grid grid_of(const Plan& plan, const PlannedStage& stage) {
    Grid g;
    const StageShape family = stage.family;
    g.items = plan.batch_shown.indices;
    g.heads = plan.heads_of(family).indices;
    if (is_of_parameter(family)) {
        const std::size_t axis = has_batch(family) ? 1 : 0;
        g.items = counted(has_batch(family) ? stage.shape[0] : 1);
        g.heads = counted(has_heads(family) ? stage.shape[axis] : 1);
    }
    const bool whole = row_kind(family) == RowKind::whole && !has_one_row(family);
    if (family == StageShape::states) g.states = size(plan.new_keys_shown.indices);
    g.rows = whole                 ? counted(stage.shape[stage.shape.size() - 2])
             : has_one_row(family) ? std::vector<Index>{0}
                                   : plan.rows_of(family).indices;
    g.columns = has_token_columns(family) ? plan.columns_of(family).indices : counted(stage.shape.back());
    return g;
}

/// Numbers with which no spreadsheet calculates: NaN, or an infinity that does not hide.
bool adds_what_is_no_number(const Plan& plan) {
    const auto bad = [](double v) { return std::isnan(v) || (std::isinf(v) && v > 0); };
    return std::any_of(plan.masks.begin(), plan.masks.end(), [&](const MaskRule& m) {
        if (m.kind != MaskKind::add) return false;
        const Numbers& n = plan.tensors[m.tensor].numbers;
        for (Index k = 0; k < n.size(); ++k)
            if (bad(n[k])) return true;
        return false;
    });
}

/// Heads that are not shown take part in it.
bool joins_heads(const Plan& plan, Stage stage) {
    switch (stage) {
        case Stage::concat:
        case Stage::mean_weights:
        case Stage::differential_weights:
            return true;
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_context:
            return plan.norm_of(stage).over_width;
        default:
            return false;
    }
}

}  // namespace

Book::Book(const Plan& plan) : plan_(plan) {
    for (const PlannedStage& s : plan.stages)
        if (s.shown) stages_.push_back({&s, grid_of(plan, s), {}});
    for (const PlannedStage& s : plan.gradients)
        if (s.shown) stages_.push_back({&s, grid_of(plan, s), {}});
    for (StageSheet& s : stages_) s.grid.sheet = sheet_name(*s.stage);
    for (StageSheet& s : stages_) {
        s.rule.because = why_values(*s.stage);
        if (s.rule.because.empty()) s.rule = rule_of(*this, *s.stage, s.grid);
        const Index parts = static_cast<Index>(s.rule.beside.size());
        for (const Beside& b : s.rule.beside) s.grid.beside += b.each_key ? size(s.grid.columns) : 1;
        s.grid.beside += parts;
    }
}

Index Book::cells() const {
    Index sum = 0;
    for (const StageSheet& s : stages_) sum += s.grid.cells();
    for (const Input& i : inputs_) sum += i.grid.cells();
    return sum;
}

/// Letters, digits and _, 31 of them: those of no other sheet.
std::string Book::sheet_name(const PlannedStage& stage) const {
    constexpr std::size_t longest = 31;
    std::string name = stage.name;
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
    if (name.size() > longest) name.resize(longest);
    const auto is_taken = [&](const std::string& n) {
        return std::any_of(stages_.begin(), stages_.end(),
                           [&](const StageSheet& s) { return s.stage != &stage && s.grid.sheet == n; });
    };
    for (int k = 2; is_taken(name); ++k) {
        const std::string end = "_" + std::to_string(k);
        name = name.substr(0, longest - end.size()) + end;
    }
    return name;
}

/// Gradients are sums over rows, heads and batch items.
std::string Book::why_no_gradient() const {
    if (!unsound_.empty() || (plan_.masked && plan_.empty_rows == EmptyRows::nan))
        return "NaN may be among them, with which no sheet calculates";
    if (!plan_.keys_shown.all) return "only some keys are in this file (" + option::cols + ")";
    if (!plan_.queries_shown.all) return "only some rows are in this file (" + option::rows + ")";
    if (!plan_.heads_shown.all || !plan_.kv_heads_shown.all)
        return "only some heads are in this file (" + option::heads + ")";
    if (!plan_.batch_shown.all) return "only some batch items are in this file (" + option::batch + ")";
    return {};
}

std::string Book::why_values(const PlannedStage& stage) {
    if (stage.of != StageOf::forward) return why_no_gradient();
    const bool begins = (stage.stage == Stage::masked_scores && adds_what_is_no_number(plan_)) ||
                        (is_weights(stage.stage) && plan_.masked && plan_.empty_rows == EmptyRows::nan);
    const auto is_unsound = [&](Stage s) {
        return std::find(unsound_.begin(), unsound_.end(), s) != unsound_.end();
    };
    if (begins || std::any_of(stage.reads.begin(), stage.reads.end(), is_unsound)) {
        unsound_.push_back(stage.stage);
        return "NaN may be among them, with which no sheet calculates";
    }
    if (!plan_.keys_shown.all) return "only some keys are in this file (" + option::cols + ")";
    for (const Stage read : stage.reads)
        if (!plan_.find(read)->shown)
            return std::string(info_of(read).name) + " is not in this file (" + option::stages + ")";
    // Rows of other tokens read it as well.
    for (const Stage read : stage.reads)
        if (plan_.find(read)->family == StageShape::embedded && !plan_.embeddings_shown.all &&
            row_kind(stage.family) != RowKind::queries)
            return "only some tokens are in this file (" + option::rows + ")";
    const bool some = !plan_.heads_shown.all || !plan_.kv_heads_shown.all;
    if (some && joins_heads(plan_, stage.stage))
        return "only some heads are in this file (" + option::heads + ")";
    return {};
}

const Grid& Book::grid(Stage stage) const {
    for (const StageSheet& s : stages_)
        if (s.stage->of == StageOf::forward && s.stage->stage == stage) return s.grid;
    throw std::out_of_range("the stage has no sheet");
}

const Grid& Book::grid(const PlannedStage& stage) const {
    for (const StageSheet& s : stages_)
        if (s.stage == &stage) return s.grid;
    throw std::out_of_range("the stage has no sheet");
}

bool Book::is_live(Stage stage) const {
    return std::any_of(stages_.begin(), stages_.end(), [&](const StageSheet& s) {
        return s.stage->of == StageOf::forward && s.stage->stage == stage && s.rule.because.empty();
    });
}

const Grid* Book::find(const std::string& name) const {
    for (const Input& i : inputs_)
        if (i.grid.sheet == name) return &i.grid;
    return nullptr;
}

const Grid& Book::add(Input input) {
    inputs_.push_back(std::move(input));
    return inputs_.back().grid;
}

std::string Book::parameter(const std::string& name, double number, const std::string& words,
                            const std::string& formula) {
    const auto same = [&](const Parameter& p) { return p.name == name; };
    if (std::none_of(parameters_.begin(), parameters_.end(), same))
        parameters_.push_back({name, formula, number, words});
    return name;
}

std::string Book::query_offset(Index item) {
    const auto& offsets = plan_.offsets;
    const bool same = std::all_of(offsets.begin(), offsets.end(), [&](Index o) { return o == offsets[0]; });
    return parameter(
        same ? "query_offset" : "query_offset_" + std::to_string(item),
        static_cast<double>(offsets[idx(item)]),
        "query i stands beside key i + " + std::string(same ? "this" : "this, in its batch item"));
}

}  // namespace attn::sheet
