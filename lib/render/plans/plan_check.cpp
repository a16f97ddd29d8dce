// The plan alone: what a person would draw before computing anything.
#include <algorithm>

#include "lib/option_words.hpp"
#include "lib/plan/backward_cost.hpp"
#include "lib/plan/inputs.hpp"
#include "lib/render/bytes.hpp"
#include "lib/render/plans/plan_json.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/terminal.hpp"
#include "lib/run/visibility.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr Index largest_picture = 48;
constexpr std::size_t most_pictures = 4;
constexpr int longest_label = 16;

std::string bytes_text(double bytes) {
    if (bytes < 1e6) return fixed(bytes / 1e3, 1) + " kB";
    if (bytes < 1e9) return fixed(bytes / 1e6, 1) + " MB";
    return fixed(bytes / 1e9, 1) + " GB";
}

std::vector<std::string> warnings_of(const Plan& plan) {
    std::vector<std::string> out = plan.warnings;
    if (const auto warning = transpose_warning(plan)) out.push_back(*warning);
    return out;
}

std::string inputs_json(const Plan& plan, int indent) {
    std::string out;
    for (const PlannedInput& i : inputs_of(plan)) {
        JsonMembers m{
            {"name", json_string(i.name)}, {"axes", json_string(i.axes)}, {"shape", json_indices(i.shape)}};
        if (!i.from.empty()) m.emplace_back("from", json_string(i.from));
        out += (out.empty() ? "" : ",") + std::string(indent > 0 ? "\n    " : " ") + json_object(m);
    }
    return "[" + out + (indent > 0 && !out.empty() ? "\n  ]" : "]");
}

/// One string for each query: a character for each key.
std::string cells(const std::vector<Masked>& row) {
    std::string out;
    for (const Masked c : row) out += c == Masked::hidden ? '.' : c == Masked::added ? '+' : '#';
    return out;
}

std::string pictures_json(const std::vector<MaskPicture>& pictures) {
    std::string out = "[";
    for (const MaskPicture& p : pictures) {
        std::string where = "[";
        for (const auto& [batch, head] : p.where)
            where += (where.size() > 1 ? ", " : "") + json_indices({batch, head});
        std::vector<std::string> rows;
        for (const auto& row : p.rows) rows.push_back(cells(row));
        out += (out.size() > 1 ? ", " : "") +
               json_object({{"batch_and_head", where + "]"}, {"rows", json_strings(rows)}});
    }
    return out + "]";
}

void picture_text(const Plan& plan, const MaskPicture& picture, const RenderOptions& options,
                  std::string& out) {
    int label = 0;
    for (const std::string& t : plan.query_tokens)
        label = std::max(label, display_width(label_of(t, longest_label, options)));
    const auto keys = static_cast<int>(plan.keys);
    const bool spaced = label + 2 + 2 * keys <= options.width;
    const std::string space = spaced ? " " : "";
    std::string digits = pad_right("", label) + " ";
    for (int j = 0; j < keys; ++j)
        digits += space + (j % (spaced ? 1 : 5) == 0 ? std::to_string(j % 10) : " ");
    out += digits + "\n";
    for (std::size_t i = 0; i < picture.rows.size(); ++i) {
        const auto& row = picture.rows[i];
        std::string line = pad_right(label_of(plan.query_tokens[i], longest_label, options), label) + " ";
        for (const Masked c : row)
            line += space + said(c == Masked::hidden ? "·" : c == Masked::added ? "+" : "■", options);
        if (std::find_if(row.begin(), row.end(), [](Masked c) { return c != Masked::hidden; }) == row.end())
            line += said("  ← sees no key", options);
        out += line + "\n";
    }
}

void pictures_text(const Plan& plan, const RenderOptions& options, std::string& out) {
    const std::vector<MaskPicture> pictures = mask_pictures(plan, largest_picture);
    for (std::size_t k = 0; k < std::min(pictures.size(), most_pictures); ++k) {
        const auto& where = pictures[k].where;
        std::string title = "mask: ■ visible, · hidden";
        const auto has_added = [](const auto& row) {
            return std::find(row.begin(), row.end(), Masked::added) != row.end();
        };
        if (std::any_of(pictures[k].rows.begin(), pictures[k].rows.end(), has_added))
            title += ", + visible with a number added";
        if (pictures.size() > 1) {
            title += "; batch " + std::to_string(where.front().first) + ", head " +
                     std::to_string(where.front().second);
            if (where.size() > 1) title += " and " + std::to_string(where.size() - 1) + " more";
        }
        out += "\n" +
               apart(said(title, options),
                     "[query " + std::to_string(plan.queries) + ", key " + std::to_string(plan.keys) + "]",
                     std::min(options.width, 100)) +
               "\n";
        picture_text(plan, pictures[k], options, out);
    }
    if (pictures.size() > most_pictures)
        out += "and " + std::to_string(pictures.size() - most_pictures) +
               " more masks that differ: " + option::format + " json has all\n";
    if (!plan.state && plan.heads > 0 && plan.path != Path::none && !plan.masked)
        out += "\nevery query sees every key\n";
}

void write_json(const Plan& plan, Bytes& bytes, const RenderOptions& options) {
    const int indent = options.compact ? 0 : 4;
    JsonMembers members = plan_head("attn-calc/plan/1", plan, indent);
    std::string stages;
    for (const PlannedStage* s : plan.shown_stages()) {
        JsonMembers m = stage_members(plan, *s, options.squeeze);
        m.insert(m.begin(), {"name", json_string(s->name)});
        stages += (stages.empty() ? "" : ",") + std::string(indent == 0 ? " " : "\n    ") + json_object(m);
    }
    members.emplace_back("inputs", inputs_json(plan, indent));
    members.emplace_back("stages", "[" + stages + (indent == 0 ? "]" : "\n  ]"));
    if (const auto pictures = mask_pictures(plan, largest_picture); !pictures.empty())
        members.emplace_back("masks", pictures_json(pictures));
    JsonMembers cost{{"path", json_string(name_of(plan.path))}};
    if (plan.shows_gradients()) cost.emplace_back("backward_path", json_string(name_of(backward_path(plan))));
    cost.emplace_back("flops", json_number(plan.flops));
    cost.emplace_back("peak_bytes", std::to_string(plan.peak_bytes));
    members.emplace_back("cost", json_object(cost));
    members.emplace_back("warnings", json_strings(warnings_of(plan)));
    bytes.text = json_object(members, options.compact ? 0 : 2) + "\n";
    bytes.flush();
}

}  // namespace

std::vector<std::string> write_plan(Format format, const Plan& plan, Output& output,
                                    const RenderOptions& options) {
    Bytes bytes(output, options.ascii && format == Format::json);
    if (format == Format::json) {
        write_json(plan, bytes, options);
        return warnings_of(plan);
    }
    if (options.heading) bytes.text += said("=== " + visible(options.source_name), options) + "\n";
    bytes.text += plan_lines(plan, options);
    bytes.text +=
        joined_lines({"source: " + std::string(plan.variant->source)}, options.width, 2, options) + "\n";
    const int width = std::min(options.width, 100);
    const auto row = [&](const std::string& left, const std::string& right) {
        bytes.text += apart(said(left, options), said(right, options), width) + "\n";
    };
    for (const PlannedInput& i : inputs_of(plan))
        row(visible(i.name) + " " + to_string(i.shape) + (i.from.empty() ? "" : ", " + i.from), i.axes);
    for (const WeightNote& n : plan.weight_notes)
        row(n.role + " = " + visible(n.name) + " " + to_string(n.shape), n.layout);
    bytes.text += "\n";
    for (const PlannedStage* s : plan.shown_stages())
        row(visible(s->name) + " = " + s->formula, named_shape(*s, plan.shown_shape(*s)));
    pictures_text(plan, options, bytes.text);
    std::vector<std::string> cost{short_number(plan.flops) + " floating-point operations",
                                  "about " + bytes_text(static_cast<double>(plan.peak_bytes)) + " of memory"};
    const auto add_path = [&](const char* which, Path path) {
        if (path == Path::none) return;
        cost.push_back(which + std::string(name_of(path)) + " (" + std::string(meaning_of(path)) + ")");
    };
    add_path("path: ", plan.path);
    add_path("path of the backward pass: ", backward_path(plan));
    bytes.text += "\n" + joined_lines(cost, options.width, 2, options);
    bytes.flush();
    return warnings_of(plan);
}

}  // namespace attn
