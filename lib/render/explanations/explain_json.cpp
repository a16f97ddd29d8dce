// An explanation as data: attn-calc/explain/1.
#include "lib/render/explanations/explain.hpp"
#include "lib/render/plans/plan_json.hpp"
#include "lib/text.hpp"
#include "lib/version.hpp"

namespace attn {
namespace {

std::string exact_number(double value, const Plan& plan, const ExplainForm& form) {
    std::string out;
    append_shortest(out, value, plan.dtype, form.base.nonfinite);
    return out;
}

std::string plain(std::string text) {
    for (char& c : text)
        if (c == breakable) c = ' ';
    return text;
}

std::string terms_of(const explain::Expr& e, const Plan& plan, const ExplainForm& form, const Notation& n) {
    std::string out;
    explain::each_number(e, [&](const explain::Expr& leaf) {
        if (leaf.place.empty() && leaf.more == 0) return;
        const std::optional<explain::StageId> stage = leaf.belongs_to();
        const bool blank = stage && n.is_blank(*stage) && !n.solution;
        JsonMembers m{{"value", blank ? "null" : exact_number(leaf.value, plan, form)}};
        if (leaf.more > 0)
            m.emplace_back("terms_left_out", std::to_string(leaf.more));
        else
            m.emplace_back("place", json_string(leaf.place));
        out += (out.empty() ? "" : ", ") + json_object(m);
    });
    return "[" + out + "]";
}

std::string json_of(const explain::Line& line, const explain::Step& step, const explain::Explanation& e,
                    const ExplainForm& form) {
    if (line.more > 0) return json_object({{"left_out", std::to_string(line.more)}});
    Notation exact = notation_of(e, form);
    exact.exact = true;
    const bool blank = exact.is_blank(step.id()) && !exact.solution;
    JsonMembers m{{"label", json_string(line.group.empty() ? line.label : line.group + " " + line.label)},
                  {"place", json_string(line.place)}};
    if (line.cell) m.emplace_back("stage_number", "true");
    m.emplace_back("expression",
                   line.expression ? json_string(plain(shown_expression(*line.expression, exact))) : "null");
    m.emplace_back("terms", line.expression ? terms_of(*line.expression, *e.plan, form, exact) : "[]");
    m.emplace_back("result", blank ? "null" : exact_number(line.result, *e.plan, form));
    m.emplace_back("note", json_string(note_of(line, step.id(), notation_of(e, form), form.level)));
    return json_object(m);
}

}  // namespace

std::string explained_json(const explain::Explanation& e, const ExplainForm& form) {
    const bool compact = form.base.compact;
    std::string steps;
    for (const explain::Step& s : e.steps) {
        std::string lines;
        for (const explain::Line& l : s.lines)
            lines += (lines.empty() ? "" : compact ? ", " : ",\n        ") + json_of(l, s, e, form);
        JsonMembers m{{"step", std::to_string(s.number)},
                      {"stage", json_string(s.name)},
                      {"formula", json_string(s.formula)},
                      {"why", json_string(s.why)},
                      {"lines", compact ? "[" + lines + "]" : "[\n        " + lines + "\n      ]"}};
        if (!s.rest.empty()) m.emplace_back("rest", json_string(s.rest));
        steps += (steps.empty() ? "" : compact ? ", " : ",\n    ") + json_object(m, compact ? 0 : 6);
    }
    const Plan& plan = *e.plan;
    JsonMembers m{{"schema", "\"attn-calc/explain/1\""},
                  {"tool", json_object({{"name", "\"attn-calc\""}, {"version", json_string(ATTN_VERSION)}})},
                  {"variant", json_string(plan.variant->name)},
                  {"dtype", json_string(name_of(plan.dtype))}};
    if (e.cell) {
        m.emplace_back("cell", json_string(e.cell_place));
    } else {
        m.emplace_back("batch", std::to_string(e.batch));
        m.emplace_back("head", std::to_string(e.head));
        m.emplace_back("row", std::to_string(e.row));
        m.emplace_back("token", json_string(plan.query_tokens[idx(e.row)]));
    }
    if (!form.blank.empty()) {
        std::vector<std::string> names;
        for (const explain::StageId& s : form.blank) names.emplace_back(explain::planned(plan, s).name);
        m.emplace_back(form.solution ? "solved" : "blank", json_strings(names));
    }
    m.emplace_back("steps", compact ? "[" + steps + "]" : "[\n    " + steps + "\n  ]");
    if (e.unexplained > 0) m.emplace_back("left_out", std::to_string(e.unexplained));
    m.emplace_back("warnings", json_strings(e.warnings));
    return json_object(m, compact ? 0 : 2) + "\n";
}

}  // namespace attn
