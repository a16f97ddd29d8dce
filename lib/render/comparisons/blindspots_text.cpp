#include <algorithm>
#include <cmath>

#include "lib/render/comparisons/blindspots.hpp"
#include "lib/render/json_text.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

std::string joined(const std::vector<std::string>& list) {
    std::string out;
    for (const std::string& s : list) out += (out.empty() ? "" : ", ") + s;
    return out;
}

/// Words behind `first` in lines of `width`, those after the first indented.
void wrap(std::string& out, const std::string& first, const std::string& text, int width) {
    constexpr int indent = 4;
    out += first;
    const auto lines = lines_of_words(text, width - indent, width - display_width(first) - 1);
    for (std::size_t k = 0; k < lines.size(); ++k) {
        if (k > 0) out.append("\n").append(indent, ' ');
        if (k == 0 && !lines[k].empty() && !first.empty()) out += ' ';
        out += lines[k];
    }
    out += "\n";
}

std::string json_significant(double x) { return std::isfinite(x) ? significant(x, 6) : "\"Infinity\""; }

}  // namespace

std::string blindspots_text(const Blindspots& found, int width) {
    std::string out;
    const auto section = [&](Sight sight, const std::string& title, auto&& words) {
        const auto count = std::count_if(found.mistakes.begin(), found.mistakes.end(),
                                         [&](const Blindspot& b) { return b.sight == sight; });
        if (count == 0) return;
        out += (out.empty() ? "" : "\n") + title + " (" + std::to_string(count) + ")\n";
        for (const Blindspot& b : found.mistakes)
            if (b.sight == sight) wrap(out, "  " + b.id + ":", words(b), width);
    };
    const auto with_cure = [](std::string text, const Blindspot& b) {
        if (!b.cure.empty()) text += (text.empty() ? "would show it: " : "; would show it: ") + b.cure;
        return text;
    };
    section(Sight::unseen, "not to be seen in " + found.stage, [&](const Blindspot& b) {
        std::string text = b.why;
        if (!b.stages.empty()) text += std::string(text.empty() ? "" : "; ") + "only in " + joined(b.stages);
        return with_cure(text, b);
    });
    section(Sight::weakly, "weakly seen", [&](const Blindspot& b) {
        return with_cure("by " + significant(b.difference, 2) + ", " + significant(b.roundings, 2) +
                             " roundings of float32" + (b.why.empty() ? "" : "; " + b.why),
                         b);
    });
    section(Sight::no_place, "no place for", [&](const Blindspot& b) { return with_cure(b.why, b); });
    std::string same;
    for (const Blindspot& b : found.mistakes)
        if (b.sight != Sight::unseen && !b.same_as.empty())
            wrap(same, "  " + b.id + ":", joined(b.same_as), width);
    if (!same.empty()) out += "\nthe same numbers as\n" + same;
    std::string seen;
    for (const Blindspot& b : found.mistakes)
        if (b.sight == Sight::shown) seen += (seen.empty() ? "" : ", ") + b.id;
    if (!seen.empty()) {
        out += "\nshown\n";
        wrap(out, " ", seen, width);
    }
    if (std::isfinite(found.nearest) && !found.one.empty()) {
        out += "\n";
        wrap(out,
             "nearest:", found.one + " and " + found.other + " differ by " + significant(found.nearest, 2),
             width);
    }
    return out;
}

namespace {

/// The members of one of them, without braces.
std::string members_of(const Blindspots& found) {
    std::string out = "  \"stage\": " + json_string(found.stage) + ",\n  \"mistakes\": [\n";
    for (std::size_t k = 0; k < found.mistakes.size(); ++k) {
        const Blindspot& b = found.mistakes[k];
        out += "    {\"id\": " + json_string(b.id) + ", \"sight\": " + json_string(name_of(b.sight)) +
               ", \"difference\": " + json_significant(b.difference) +
               ", \"roundings\": " + json_significant(b.roundings);
        if (!b.why.empty()) out += ", \"why\": " + json_string(b.why);
        if (b.sight != Sight::shown && !b.cure.empty()) out += ", \"cure\": " + json_string(b.cure);
        if (!b.stages.empty()) out += ", \"stages\": " + json_strings(b.stages);
        if (!b.same_as.empty()) out += ", \"same_as\": " + json_strings(b.same_as);
        out += k + 1 < found.mistakes.size() ? "},\n" : "}\n";
    }
    out += "  ]";
    if (!found.one.empty() && std::isfinite(found.nearest))
        out += ",\n  \"nearest\": {\"one\": " + json_string(found.one) +
               ", \"other\": " + json_string(found.other) +
               ", \"difference\": " + json_significant(found.nearest) + "}";
    return out;
}

}  // namespace

std::string blindspots_json(const Blindspots& found, const std::optional<Blindspots>& gradients) {
    std::string out = "{\n" + members_of(found);
    if (gradients) out += ",\n  \"gradients\": {\n" + members_of(*gradients) + "}";
    return out + "\n}\n";
}

}  // namespace attn
