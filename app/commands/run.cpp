#include <algorithm>
#include <optional>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/commands/run_documents.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

void list_stages(const std::vector<PlannedDocument>& documents) {
    std::string out;
    for (const PlannedDocument& d : documents) {
        if (documents.size() > 1) out += (out.empty() ? "" : "\n") + harmless(d.file) + ":\n";
        int name_columns = 0, formula_columns = 0;
        std::vector<const PlannedStage*> all;
        for (const auto* list : {&d.plan.stages, &d.plan.gradients})
            for (const PlannedStage& stage : *list) all.push_back(&stage);
        for (const PlannedStage* stage : all) {
            name_columns = std::max(name_columns, display_width(stage->name));
            formula_columns = std::max(formula_columns, display_width(stage->formula));
        }
        for (const PlannedStage* stage : all) {
            out += pad_right(stage->name, name_columns + 2) + pad_right(stage->formula, formula_columns + 2) +
                   "[";
            const auto axes = axes_of(stage->family);
            for (std::size_t k = 0; k < axes.size(); ++k)
                out += (k == 0 ? "" : ", ") + std::string(name_of(axes[k])) + " " +
                       std::to_string(stage->shape[k]);
            out += stage->on_request ? "]  where asked for by name\n" : "]\n";
        }
    }
    print_text(out);
}

/// Whether nothing is written but tables: then rows that they leave out are not computed.
bool writes_tables_only(const Options& options) {
    const auto is_cut = [&](const std::optional<Format>& f) {
        return row_of(f.value_or(options.standard_format())).cut;
    };
    return std::all_of(options.targets.begin(), options.targets.end(),
                       [&](const Target& t) { return is_cut(t.format); }) &&
           ((!options.targets.empty() && !options.format) || is_cut(options.format));
}

}  // namespace

Exit run_command(const Options& asked, const Diagnostics& diagnostics) {
    Options options = asked;
    if (writes_tables_only(options)) options.request.cut_rows = table_rows;
    if (!options.list_stages) return run_documents(options, diagnostics);
    list_stages(plan_all(options, diagnostics));
    return Exit::ok;
}

}  // namespace attn
