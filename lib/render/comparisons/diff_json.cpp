// A comparison as JSON.
#include <algorithm>
#include <cmath>

#include "lib/render/comparisons/diff.hpp"
#include "lib/render/json_text.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// A number of somebody's type: as short as a float32 allows, in full for every other one.
std::string number(double value, Element type) {
    return json_number(value, type == Element::float32 ? DType::float32 : DType::float64);
}

template <class T>
std::string or_null(const std::optional<T>& value) {
    if (!value) return "null";
    if constexpr (std::is_same_v<T, bool>)
        return *value ? "true" : "false";
    else
        return json_number(*value);
}

/// Where numbers differ: the first in order, and rows, heads, columns, items as flags take them.
std::string differing(const StageComparison& c, const DiffPart& part) {
    std::string out = ", \"first_at\": " + to_string(c.first_at) + ", \"first_theirs\": " +
                      number(c.first_theirs, c.their_type.value_or(Element::float64)) +
                      ", \"first_ours\": " + number(c.first_ours, part.our_type);
    std::string axes;
    for (const WhereOnAxis& w : c.where.axes) {
        const std::string name = w.axis < c.axes.size() ? c.axes[w.axis] : "axis " + std::to_string(w.axis);
        axes += (axes.empty() ? "" : ", ") + json_string(name) + ": " + json_string(ranges_of(w.indices));
    }
    if (!axes.empty()) out += ", \"differ_in\": {" + axes + "}";
    const std::vector<std::string> words = where_words(c.where, c.shape, c.axes);
    if (!words.empty()) out += ", \"where\": " + json_strings(words);
    return out;
}

std::string stage_json(const StageComparison& c, const DiffPart& part) {
    std::string out =
        "{\"name\": " + json_string(c.name) + ", \"present\": " + (c.present ? "true" : "false");
    if (!c.present) return out + "}";
    if (c.missing)
        return out + ", \"missing_in_ours\": true, \"their_shape\": " + to_string(c.their_shape) + "}";
    out += std::string(", \"equal\": ") + (c.equal ? "true" : "false");
    if (!c.fits)
        return out + ", \"max_abs\": null, \"at\": null, \"theirs\": null, \"ours\": null, " +
               "\"needed_atol\": null, \"new_error\": " + or_null(c.new_error) +
               ", \"shape\": " + to_string(c.shape) + ", \"their_shape\": " + to_string(c.their_shape) + "}";
    out += ", \"max_abs\": " + json_number(c.largest) + ", \"at\": " + to_string(c.at) +
           ", \"theirs\": " + number(c.theirs, c.their_type.value_or(Element::float64)) +
           ", \"ours\": " + number(c.ours, part.our_type) + ", \"needed_atol\": " + or_null(c.needed_atol);
    if (part.comparison.tolerance.ulp) out += ", \"needed_ulp\": " + or_null(c.needed_ulp);
    out += ", \"new_error\": " + or_null(c.new_error) + ", \"shape\": " + to_string(c.shape) +
           ", \"outside\": " + std::to_string(c.outside);
    if (!c.equal) out += differing(c, part);
    if (c.again) out += ", \"equal_again\": true";
    if (c.digits > 0) out += ", \"digits\": " + std::to_string(c.digits);
    return out + "}";
}

std::string cause_json(const Cause& cause) {
    std::string out = "{\"id\": " + json_string(cause.id) + ", \"fits\": " + json_strings(cause.fits) +
                      ", \"hint\": " + json_string(cause.hint);
    if (!cause.with.empty()) out += ", \"with\": " + json_strings(cause.with);
    if (!cause.look_at.empty())
        out += ", \"look_at\": {\"system\": " + json_string(cause.system) +
               ", \"lines\": " + json_strings(cause.look_at) + "}";
    if (cause.measured) {
        const auto numbers = [](const std::vector<double>& list) {
            if (list.size() == 1) return json_number(list.front());
            std::string text;
            for (const double x : list) text += (text.empty() ? "[" : ", ") + json_number(x);
            return text + "]";
        };
        const Measurement& m = *cause.measured;
        out += ", \"measured\": {\"what\": " + json_string(m.what) + ", \"theirs\": " + numbers(m.theirs) +
               (m.ours.empty() ? "" : ", \"ours\": " + numbers(m.ours)) +
               (m.origin.empty() ? "" : ", \"origin\": " + json_string(m.origin)) + "}";
    }
    return out + "}";
}

/// Lines of a list, each with `indent` spaces more than the line that opens it.
std::string list_of(const std::vector<std::string>& items, const std::string& indent) {
    if (items.empty()) return "[]";
    std::string out = "[\n";
    for (std::size_t k = 0; k < items.size(); ++k)
        out += indent + "  " + items[k] + (k + 1 < items.size() ? ",\n" : "\n");
    return out + indent + "]";
}

std::string setting_json(const SettingDifference& s) {
    JsonMembers m{{"key", json_string(s.key)}};
    if (s.theirs) m.emplace_back("theirs", *s.theirs);
    if (s.ours) m.emplace_back("ours", *s.ours);
    if (s.largest) {
        m.emplace_back("max_abs", json_number(*s.largest));
        m.emplace_back("at", to_string(s.at));
    }
    return json_object(m);
}

/// The members of one comparison, without braces.
std::string members(const DiffPart& part, const std::string& indent) {
    const Comparison& c = part.comparison;
    std::string out = c.layer ? indent + "\"layer\": " + std::to_string(*c.layer) + ",\n" : "";
    out += indent + "\"equal\": " + (c.equal() ? "true" : "false") + ",\n";
    out += indent + "\"tolerance\": {\"atol\": " + json_number(c.tolerance.atol) +
           ", \"rtol\": " + json_number(c.tolerance.rtol) +
           (c.tolerance.ulp ? ", \"ulp\": " + std::to_string(*c.tolerance.ulp) : "") + "},\n";
    std::vector<std::string> stages, causes, settings;
    if (part.settings) {
        for (const SettingDifference& s : *part.settings) settings.push_back(setting_json(s));
        out += indent + "\"settings\": " + list_of(settings, indent) + ",\n";
    }
    for (const StageComparison& s : c.stages) stages.push_back(stage_json(s, part));
    for (const Cause& cause : part.causes.causes) causes.push_back(cause_json(cause));
    out += indent + "\"stages\": " + list_of(stages, indent) + ",\n";
    out += indent + "\"first\": " + (c.first ? json_string(c.stages[*c.first].name) : std::string("null")) +
           ",\n";
    out += indent + "\"causes\": " + list_of(causes, indent) + ",\n";
    out += indent + "\"tried\": " + std::to_string(part.causes.tried) + ",\n";
    out += indent + "\"findings\": " + json_strings(part.causes.findings) + ",\n";
    out += indent + "\"not_compared\": " + json_strings(c.not_compared) + ",\n";
    return out + indent + "\"notes\": " + json_strings(c.notes) + "\n";
}

std::string first_of(const DiffReport& report) {
    for (const DiffPart& part : report.parts) {
        const Comparison& c = part.comparison;
        if (c.equal()) continue;
        return "{\"layer\": " + json_string(c.name) +
               ", \"stage\": " + (c.first ? json_string(c.stages[*c.first].name) : std::string("null")) + "}";
    }
    return "null";
}

/// A pair of files: one comparison, or its layers.
std::string report_members(const DiffReport& report, const std::string& indent) {
    if (report.parts.size() == 1 && report.missing.empty()) return members(report.parts[0], indent);
    std::string out = indent + "\"equal\": " + (report.equal() ? "true" : "false") + ",\n" + indent +
                      "\"first\": " + first_of(report) + ",\n" + indent +
                      "\"missing\": " + json_strings(report.missing) + ",\n" + indent + "\"layers\": [\n";
    for (std::size_t k = 0; k < report.parts.size(); ++k)
        out += indent + "  {\n" + indent + "    \"name\": " + json_string(report.parts[k].comparison.name) +
               ",\n" + members(report.parts[k], indent + "    ") + indent + "  }" +
               (k + 1 < report.parts.size() ? ",\n" : "\n");
    return out + indent + "]\n";
}

/// JSON with its line ends and indents left out.
std::string in_one_line(const std::string& json) {
    std::string out;
    for (std::size_t k = 0; k < json.size(); ++k) {
        if (json[k] != '\n') {
            out += json[k];
            continue;
        }
        const std::size_t next = std::min(json.find_first_not_of(' ', k + 1), json.size());
        if (json[k - 1] == ',' && next < json.size()) out += ' ';
        k = next - 1;
    }
    return out + "\n";
}

}  // namespace

bool DiffReport::equal() const {
    for (const DiffPart& part : parts)
        if (!part.comparison.equal()) return false;
    return missing.empty();
}

std::string diff_json(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                      const RenderOptions& options) {
    if (options.compact) {
        RenderOptions wide = options;
        wide.compact = false;
        return in_one_line(diff_json(reports, missing, wide));
    }
    if (reports.size() == 1 && reports[0].name.empty())
        return "{\n" + report_members(reports[0], "  ") + "}\n";
    bool equal = missing.empty();
    std::string first = "null", files;
    for (const DiffReport& report : reports) {
        if (!report.equal() && first == "null") first = json_string(report.name);
        equal = equal && report.equal();
        files += (files.empty() ? "" : ",\n") + ("    {\n      \"name\": " + json_string(report.name)) +
                 ",\n" + report_members(report, "      ") + "    }";
    }
    return std::string("{\n  \"equal\": ") + (equal ? "true" : "false") + ",\n  \"first\": " + first +
           ",\n  \"missing\": " + json_strings(missing) + ",\n  \"files\": [\n" + files + "\n  ]\n}\n";
}

}  // namespace attn
