#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/render/json_text.hpp"
#include "lib/text.hpp"

namespace attn::page_rules {

using Text = std::string;

inline Text digits(Index n) { return std::to_string(n); }
inline Text digits(double v) { return v < 0 ? "(" + json_number(v) + ")" : json_number(v); }

/// Lines of one rule. The first result whose condition holds is that of the cell.
class RuleLines {
  public:
    /// A number on the way: `name` in what follows; without a label it is not shown.
    void let(const Text& name, const Text& label, const Text& say) {
        add({{"let", name}, {"label", label}, {"say", say}});
    }
    void result(const Text& say, const Text& note = {}) { when("", say, note); }
    void when(const Text& condition, const Text& say, const Text& note = {}) {
        add({{"when", condition}, {"say", say}, {"note", note}});
    }
    /// A number that nothing calculates.
    void fixed(const Text& condition, const Text& value, const Text& note) {
        add({{"when", condition}, {"value", value}, {"note", note}});
    }
    Text json() const { return "[" + lines_ + "]"; }
    void clear() { lines_.clear(); }

  private:
    void add(const std::vector<std::pair<Text, Text>>& members) {
        JsonMembers m;
        for (const auto& [name, text] : members)
            if (!text.empty()) m.emplace_back(name, json_string(text));
        lines_ += (lines_.empty() ? "" : ", ") + json_object(m);
    }
    Text lines_;
};

/// Writes the rules of a plan. In them b, h, t, i, j are the numbers of the cell: batch item, head, token (of
/// states), row, column.
class Ruler {
  public:
    explicit Ruler(const Plan& of) : plan(of) {}

    const Plan& plan;
    RuleLines out;

    void write(const PlannedStage& s);
    /// Of a gradient: no lines where nothing but explain tells of it.
    void gradient(const PlannedStage& s);

    // Numbers of stages and of the document.

    /// A number of a stage: of the cell's batch item.
    Text cell(Stage stage, const Text& head, const Text& row, const Text& column,
              const Text& token = "t") const {
        const PlannedStage& s = *plan.find(stage);
        Text text = Text(s.name) + "[b";
        if (has_heads(s.family)) text += "," + (s.shape[1] == 1 ? "0" : head);
        if (s.family == StageShape::states) text += "," + token;
        if (!has_one_row(s.family)) text += "," + row;
        return text + "," + column + "]";
    }
    Text input(std::size_t tensor, const Text& flat) const {
        return "input(" + digits(static_cast<Index>(tensor)) + ", " + flat + ")";
    }
    /// Number [b, head, token, column] of an input with so many heads.
    Text input(std::size_t tensor, const Text& head, Index heads, const Text& token,
               const Text& column) const {
        const Shape& s = plan.tensors[tensor].shape;
        return input(tensor, "((b*" + digits(heads) + "+" + head + ")*" + digits(s[s.size() - 2]) + "+" +
                                 token + ")*" + digits(s.back()) + "+" + column);
    }
    /// Of embeddings, normed where the plan says so.
    Text embedded(std::size_t tensor, const Text& token, const Text& column) const {
        if (const auto stage = plan.normed_input(tensor)) return cell(*stage, "0", token, column);
        return input(tensor, "0", 1, token, column);
    }
    /// A tensor that is broadcast to [batch, head, query, key].
    Text broadcast(std::size_t tensor) const {
        const Shape s = four_axes(plan.tensors[tensor].shape);
        const auto on = [&](std::size_t axis, const char* n) { return s[axis] > 1 ? Text(n) : Text("0"); };
        return input(tensor, "((" + on(0, "b") + "*" + digits(s[1]) + "+" + on(1, "h") + ")*" + digits(s[2]) +
                                 "+" + on(2, "i") + ")*" + digits(s[3]) + "+" + on(3, "j"));
    }
    static Text quoted_role(WeightRole role) { return "\"" + digits(static_cast<Index>(idx(role))) + "\""; }
    /// x · W + b in column `o`; `of` is x in column `variable`.
    Text projected(WeightRole role, const Text& o, const Text& of, const Text& variable = "k") const {
        const Projection& p = plan.projection(role);
        return "sum(" + variable + ", 0, " + digits(p.d_in) + ", " + of + " * W(" + quoted_role(role) + ", " +
               variable + ", " + o + "))" +
               (p.bias.empty() ? "" : " + B(" + quoted_role(role) + ", " + o + ")");
    }
    Text kv_of(const Text& h) const {
        if (plan.kv_heads == plan.heads) return h;
        return plan.kv_interleaved ? h + "//" + digits(plan.heads / plan.kv_heads)
                                   : h + "%" + digits(plan.kv_heads);
    }
    /// The head of values that a head of contexts reads.
    Text values_of(const Text& h) const {
        if (!plan.differential) return kv_of(h);
        if (plan.kv_heads == plan.heads) return h;
        const bool halves = plan.differential->pairing == Pairing::halves;
        const Text kv = "(" + kv_of(halves ? h : "(2*" + h + ")") + ")";
        return halves ? kv + "%" + digits(plan.value_heads()) : kv + "//2";
    }
    /// The head of queries and keys that a head of values reads.
    Text grouped(const Text& h) const {
        return plan.head_group == 1 ? h : h + "//" + digits(plan.head_group);
    }
    Stage read_by(Stage stage, std::size_t k = 0) const { return plan.find(stage)->reads.at(k); }
    Stage made_of(std::size_t k) const { return read_by(plan.state ? Stage::context : Stage::scores, k); }
    Stage values_stage() const { return read_by(Stage::context, plan.state ? 2 : 1); }
    /// The number of the stage before, in the same place or of another key.
    Text before(const PlannedStage& s, const char* key = "j") const {
        return cell(s.reads.front(), "h", "i", key);
    }
    Text over_keys(const Text& condition, const Text& what) const {
        return "(k, 0, " + digits(plan.keys) + ", " + (condition.empty() ? "" : condition + ", ") + what +
               ")";
    }

    // Rules: one function for the stages that one function of lib/explain tells.
    void projection(const PlannedStage& s);
    /// The result of a rule, clamped where the plan says so.
    void clamped(const PlannedStage& s, const Text& e);
    void norm(const PlannedStage& s);
    void root_of(NormType type, double eps, Index n, const Text& x);
    void rotation(const PlannedStage& s);
    void turned(const Text& first, bool of_queries, const std::function<Text(const Text&)>& x,
                bool back = false);
    void convolved(const PlannedStage& s);
    void feature_map(const PlannedStage& s);
    void per_key(const PlannedStage& s);
    void joined(const PlannedStage& s);
    void scores(const PlannedStage& s);
    void biased(const PlannedStage& s);
    void masked(const PlannedStage& s);
    void weights(const PlannedStage& s);
    void softmax(const PlannedStage& s);
    void empty_rows(const Text& condition);
    void renormalized(const PlannedStage& s);
    void dropped(const PlannedStage& s);
    void differential(const PlannedStage& s);
    void context(const PlannedStage& s);
    void state_context();
    void states();
    void gated(const PlannedStage& s);
    /// The number that opens the gate of a cell, as g, and what it opens to.
    void gate();
    Text opening() const;
    /// Lambda of differential weights, as lambda.
    void lambda();
    /// The factor of a cell's query.
    Text query_factor() const;
    void lse(const PlannedStage& s);
    /// e^g x of a row of the state, or x.
    Text decayed(const Text& head, const Text& token, const Text& row, const Text& x) const {
        if (!plan.state->decays) return x;
        const Text g = plan.state->decay_by_column ? cell(Stage::decay, head, token, row)
                                                   : cell(Stage::decay, head, "0", token);
        return "exp(" + g + ") * " + x;
    }
    /// A number of the state before the first token.
    Text first_state(const Text& head, const Text& row, const Text& column) const {
        return plan.state->past ? input(*plan.state->past, head, plan.kv_heads, row, column) : "0";
    }
};

}  // namespace attn::page_rules
