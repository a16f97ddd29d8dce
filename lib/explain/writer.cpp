#include "lib/explain/writer.hpp"

#include <algorithm>
#include <utility>

#include "lib/error.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn::explain {
namespace {

// Sums and steps that are longer are shown by their ends.
constexpr Index most_terms = 8, first_terms = 3, last_terms = 2;
constexpr Index most_lines = 12, first_lines = 6, last_lines = 3;

/// An explanation is held in memory, some 300 bytes a number.
constexpr std::size_t most_numbers = 2'000'000;

std::string bracketed(const std::vector<Index>& numbers) {
    std::string out = "[";
    for (std::size_t k = 0; k < numbers.size(); ++k) out += (k ? "," : "") + std::to_string(numbers[k]);
    return out + "]";
}

/// Numbers of an element in a row-major tensor.
std::vector<Index> unravelled(const Shape& shape, Index flat) {
    std::vector<Index> out(shape.size());
    for (std::size_t k = shape.size(); k-- > 0;) {
        out[k] = flat % shape[k];
        flat /= shape[k];
    }
    return out;
}

std::string_view name_of_role(WeightRole role) {
    switch (role) {
        case WeightRole::query:
            return "W_query";
        case WeightRole::key:
            return "W_key";
        case WeightRole::value:
            return "W_value";
        default:
            return "W_out";
    }
}

bool has_duplicates(const std::vector<std::string>& tokens, const std::string& token) {
    return std::count(tokens.begin(), tokens.end(), token) > 1;
}

std::string label_of(const std::vector<std::string>& tokens, Index k, const char* word) {
    const std::string& token = tokens[idx(k)];
    const std::string n = std::to_string(k);
    if (token == n) return word + (" " + n);
    return clip(visible(token), 16) + (has_duplicates(tokens, token) ? "[" + n + "]" : "");
}

}  // namespace

std::string name_in_document(const std::string& pointer) {
    std::vector<std::string> words;
    for (std::size_t from = 1; from <= pointer.size();) {
        const std::size_t end = std::min(pointer.find('/', from), pointer.size());
        words.push_back(pointer.substr(from, end - from));
        from = end + 1;
    }
    if (words.size() == 2 && words[0] == "weights") words.erase(words.begin());
    std::string out;
    for (const std::string& w : words) {
        const bool is_number = !w.empty() && w.find_first_not_of("0123456789") == std::string::npos;
        out += is_number ? "[" + w + "]" : (out.empty() ? "" : ".") + w;
    }
    // A document may hold what a stage is called like.
    return (stage_named(out) ? "input." : "") + harmless(out);
}

std::string name_of_drawn(const Plan& plan, WeightRole role, Index output, Index outputs, bool bias) {
    if (bias) return "b" + std::string(name_of_role(role).substr(1));
    const std::string list =
        plan.variant->weights_list ? "weights[" + std::to_string(output / outputs) + "]." : "";
    return list + std::string(name_of_role(role));
}

std::string cell_name(const Plan& plan, const Cell& cell) {
    const PlannedStage& stage = planned(plan, cell.id());
    std::vector<Index> n;
    if (has_batch(stage.family)) n.push_back(cell.batch);
    if (has_heads(stage.family)) n.push_back(cell.head);
    if (stage.family == StageShape::states) n.push_back(cell.token);
    if (!has_one_row(stage.family)) n.push_back(cell.row);
    n.push_back(cell.column);
    return std::string(stage.name) + bracketed(n);
}

Expr Writer::at(const Cell& cell) const {
    Expr e = number(values.at(cell));
    e.cell = cell;
    e.place = cell_name(plan, cell);
    // Stages that are the document's own numbers.
    const bool raw = cell.gradient >= 0             ? false
                     : cell.stage == Stage::queries ? !plan.projects(WeightRole::query)
                     : cell.stage == Stage::keys    ? !plan.projects(WeightRole::key)
                     : cell.stage == Stage::values  ? !plan.projects(WeightRole::value)
                     : cell.stage == Stage::decay   ? plan.state->decay.has_value()
                     : cell.stage == Stage::beta
                         ? plan.state->beta.has_value() && plan.state->beta_factor == 1
                         : false;
    e.given = raw;
    return e;
}

Expr Writer::at(Stage stage, Index batch, Index head, Index row, Index column) const {
    return at(Cell{stage, batch, head, row, column, 0});
}

Expr Writer::tensor(std::size_t k, Index flat, std::string_view name) const {
    const TensorSource& t = plan.tensors[k];
    Expr e = number(values.tensor(k, flat));
    e.given = t.kind == TensorSource::Kind::literal;
    const bool drawn = t.kind == TensorSource::Kind::drawn_weight;
    e.place =
        (drawn ? std::string(name) : name_in_document(t.pointer)) + bracketed(unravelled(t.shape, flat));
    return e;
}

Expr Writer::weight(WeightRole role, Index i, Index o) const {
    const Projection& p = plan.projection(role);
    for (const WeightPiece& piece : p.weight) {
        if (o < piece.target_begin || o >= piece.target_begin + piece.outputs) continue;
        const Index columns = plan.tensors[piece.tensor].shape.back();
        const Index output = piece.source_begin + o - piece.target_begin;
        const Index flat = piece.base + (piece.out_in ? output * columns + i : i * columns + output);
        return tensor(piece.tensor, flat, name_of_drawn(plan, role, o, piece.outputs, false));
    }
    return constant(0);
}

std::optional<Expr> Writer::bias(WeightRole role, Index o) const {
    for (const WeightPiece& piece : plan.projection(role).bias)
        if (o >= piece.target_begin && o < piece.target_begin + piece.outputs)
            return tensor(piece.tensor, piece.source_begin + o - piece.target_begin,
                          name_of_drawn(plan, role, o, piece.outputs, true));
    return std::nullopt;
}

Expr Writer::input(std::size_t k, Index batch, Index head, Index heads, Index token, Index column) const {
    const Shape& s = plan.tensors[k].shape;
    return tensor(k, ((batch * heads + head) * s[s.size() - 2] + token) * s.back() + column);
}

Expr Writer::gradient(Stage of, Index batch, Index head, Index row, Index column, Index token) const {
    return at(Cell{of, batch, head, row, column, token, gradient_place(of)});
}

Index Writer::gradient_place(Stage of) const {
    return static_cast<Index>(plan.find_gradient(of) - plan.gradients.data());
}

Expr Writer::projected(WeightRole role, Index o, const std::function<Expr(Index)>& of) const {
    Expr e = sum_of(plan.projection(role).d_in, [&](Index i) {
        return product({of(i), weight(role, i, o)});
    });
    std::optional<Expr> b = bias(role, o);
    if (!b) return e;
    if (e.kind != Expr::Kind::sum) return sum({std::move(e), std::move(*b)});
    e.parts.push_back(std::move(*b));
    return e;
}

Expr Writer::sum_of(Index n, const std::function<Expr(Index)>& term) const {
    std::vector<Expr> parts;
    const bool whole = level == Level::full || n <= most_terms;
    for (Index k = 0; k < n; ++k) {
        if (whole || k < first_terms || k >= n - last_terms) {
            parts.push_back(term(k));
            continue;
        }
        double part = 0;
        Expr rest;
        const bool was_quiet = std::exchange(quiet_, true);
        for (; k < n - last_terms; ++k) {
            Expr e = term(k);
            part += evaluate(e);
            each_number(e, [&](const Expr& leaf) {
                if (const auto of = leaf.belongs_to()) rest.hidden_with = of;
            });
        }
        quiet_ = was_quiet;
        --k;
        rest.value = part;
        rest.more = n - first_terms - last_terms;
        parts.push_back(std::move(rest));
    }
    if (parts.empty()) return constant(0);
    return sum(std::move(parts));
}

Expr Writer::broadcast(std::size_t k, Index batch, Index head, Index query, Index key) const {
    const Shape s = four_axes(plan.tensors[k].shape);
    const auto on = [&](std::size_t axis, Index n) { return s[axis] > 1 ? n : 0; };
    return tensor(k, ((on(0, batch) * s[1] + on(1, head)) * s[2] + on(2, query)) * s[3] + on(3, key));
}

Index state_token(const Plan& plan, Index batch, Index query) {
    if (!plan.causal) return plan.keys - 1;
    return std::clamp(query + plan.offsets[idx(batch)], Index{-1}, plan.keys - 1);
}

std::string Writer::query_label(Index query) const { return label_of(plan.query_tokens, query, "query"); }

std::string Writer::key_label(Index key) const { return label_of(plan.key_tokens, key, "key"); }

std::string Writer::row_label(const RowOf& row) const {
    switch (row_kind(planned(plan, row.id()).family)) {
        case RowKind::queries:
            return query_label(row.row);
        case RowKind::new_keys:
            return key_label(plan.past + row.row);
        case RowKind::all_keys:
        case RowKind::past_keys:
            return key_label(row.row);
        case RowKind::whole:
            break;
    }
    return {};
}

Line& Writer::result(const Cell& cell, std::string label, std::optional<Expr> expression, std::string note) {
    Line line;
    line.label = std::move(label);
    line.cell = cell;
    line.place = cell_name(plan, cell);
    line.expression = std::move(expression);
    line.result = values.at(cell);
    line.note = std::move(note);
    return keep(std::move(line));
}

Line& Writer::keep(Line line) {
    if (line.expression) each_number(*line.expression, [&](const Expr&) { ++numbers_; });
    if (numbers_ > most_numbers)
        fail("",
             "is too large to be explained in full: more than " + std::to_string(most_numbers) + " numbers",
             option::level + " normal shortens; " + option::cell + " explains one number");
    step_->lines.push_back(std::move(line));
    return step_->lines.back();
}

Expr Writer::between(std::string label, const std::string& place, Expr expression, std::string note) {
    Expr out = number(evaluate(expression));
    out.place = scoped(place);
    out.hidden_with = step_->id();
    if (quiet_) return out;
    Line line;
    line.label = std::move(label);
    line.place = out.place;
    line.expression = std::move(expression);
    line.result = out.value;
    line.note = std::move(note);
    keep(std::move(line));
    return out;
}

Expr Writer::between_once(const Cell& of, const std::string& label, const std::function<Expr()>& expression,
                          std::string note) {
    for (const auto& [cell, name, known] : once_)
        if (cell == of && name == label) return known;
    Expr out = between(label, label, expression(), std::move(note));
    if (!quiet_) once_.emplace_back(of, label, out);
    return out;
}

Expr Writer::unshown(std::string place, const std::function<Expr()>& expression) {
    const bool was_quiet = std::exchange(quiet_, true);
    Expr out = number(evaluate(expression()));
    quiet_ = was_quiet;
    out.place = std::move(place);
    out.hidden_with = step_->id();
    return out;
}

void Writer::each(Columns columns, const std::string& what, const std::function<void(Index)>& f) {
    const auto n = static_cast<Index>(columns.size());
    const bool whole = level == Level::full || n <= most_lines;
    for (Index k = 0; k < n; ++k) {
        if (whole || k < first_lines || k >= n - last_lines) {
            f(columns[idx(k)]);
            continue;
        }
        Line gap;
        gap.more = n - first_lines - last_lines;
        gap.label = std::to_string(gap.more) + " more " + what;
        step_->lines.push_back(std::move(gap));
        k = n - last_lines - 1;
    }
}

std::string column_label(Index column) { return "d" + std::to_string(column); }

Cell cell_of(const RowOf& row, Index column) {
    Cell cell = row;
    cell.column = column;
    return cell;
}

Expr previous(const Writer& w, const RowOf& row, Index key) {
    return w.at(w.read_by(row.stage), row.batch, row.head, row.row, key);
}

}  // namespace attn::explain
