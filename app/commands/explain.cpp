#include "lib/explain/explain.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/option_values.hpp"
#include "app/output.hpp"
#include "app/source.hpp"
#include "lib/render/explanations/explain.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// The rows that are explained: those that were asked for, or the second one.
std::vector<Index> rows_of(const Plan& plan, const ExplainOptions& options) {
    if (options.all_rows) return counted(plan.queries);
    if (options.row.empty()) return {std::min(Index{1}, plan.queries - 1)};
    const std::vector<Index>& found = plan.queries_shown.indices;
    if (found.size() == 1) return found;
    std::string all;
    for (const Index k : found) all += (all.empty() ? "" : ", ") + std::to_string(k);
    fail_usage("--row " + harmless(options.row) + " is several rows: " + all,
               "--row " + std::to_string(found.front()));
}

std::vector<explain::StageId> blank_of(const Plan& plan, const ExplainOptions& options) {
    std::vector<explain::StageId> out;
    for (const std::string& name : options.blank)
        out.push_back(explain::stage_in(plan, name, "--blank " + harmless(name)));
    return out;
}

constexpr int widest = 120;

ExplainForm explain_form(const Options& options, bool standard) {
    ExplainForm form;
    form.base = render_form(options, standard);
    if (!options.width) form.base.width = std::min(form.base.width, widest);
    form.solution = options.explain.solution;
    form.standalone = options.explain.standalone;
    form.level = options.explain.level;
    return form;
}

void refuse_contradictions(const Options& options) {
    const ExplainOptions& e = options.explain;
    if (e.all_rows && !e.row.empty()) fail_usage("--all-rows and --row exclude each other");
    if (!e.cell.empty() && (e.all_rows || !e.row.empty()))
        fail_usage(std::string("--cell names its row: ") + (e.all_rows ? "--all-rows" : "--row") +
                   " has no use");
    if (e.solution && e.blank.empty())
        fail_usage("--key writes the solution of a worksheet", "--blank weights,context --key");
    if (options.words.size() > 1) fail_usage("attn-calc explain takes one file");
}

/// One of the places that explanations are written to.
struct Page {
    ExplanationWriter writer;
    ExplainForm form;
};

/// What is explained of one document: rows, or one number.
struct Task {
    PlannedDocument* document;
    explain::Request request;
    std::vector<Index> rows;
    std::optional<explain::Cell> cell;
    std::vector<explain::StageId> blank;
};

Task task_of(PlannedDocument& document, const Options& options, explain::Level level) {
    Plan& plan = document.plan;
    if (plan.batch_shown.indices.size() > 1) {
        if (options.request.batch)
            fail_usage("--batch " + harmless(*options.request.batch) + " is several batch items",
                       "attn-calc explain takes one");
        plan.batch_shown.indices = {0};
        plan.batch_shown.all = false;
    }
    const auto head = static_cast<Index>(options.explain.head.value_or(0));
    if (head >= plan.heads)
        fail_usage("--head " + std::to_string(head) + ": there is no head " + std::to_string(head) + " (" +
                   std::to_string(plan.heads) + (plan.heads == 1 ? " head" : " heads") + ", counted from 0)");
    Task task{&document, {head, level}, {}, {}, blank_of(plan, options.explain)};
    if (options.explain.cell.empty()) {
        task.rows = rows_of(plan, options.explain);
        return task;
    }
    task.cell = explain::cell_named(plan, options.explain.cell, plan.batch_shown.indices.front(), head);
    plan.batch_shown.indices = {task.cell->batch};
    return task;
}

}  // namespace

void explain_command(const Options& options, const Diagnostics& diagnostics) {
    refuse_contradictions(options);
    Options reading = options;
    if (!options.explain.row.empty()) {
        reading.request.rows = options.explain.row;
        reading.request.rows_flag = "--row";
    }
    std::vector<PlannedDocument> documents = plan_all(reading, diagnostics);
    std::vector<Task> tasks;
    for (PlannedDocument& d : documents) tasks.push_back(task_of(d, options, options.explain.level));

    std::vector<Destination> destinations = open_targets(options, targets_of(options));
    std::vector<Page> pages;
    for (Destination& to : destinations) {
        ExplainForm form = explain_form(options, to.standard);
        pages.push_back({ExplanationWriter(to.format, *to.output, form), form});
    }
    for (const Task& task : tasks) {
        for (Page& page : pages) page.form.blank = task.blank;
        Plan& plan = task.document->plan;
        const auto tell = [&](const explain::Explanation& e) {
            for (const std::string& warning : e.warnings) diagnostics.warning(task.document->file, warning);
            for_open(destinations, [&](Destination& to) {
                Page& page = pages[idx(&to - destinations.data())];
                page.writer.write(e, page.form);
            });
            if (std::all_of(destinations.begin(), destinations.end(), [](const auto& d) { return d.closed; }))
                throw ClosedPipe{};
        };
        try {
            if (task.cell) tell(explain::explain_cell(plan, *task.cell, task.request));
            for (const Index row : task.rows) tell(explain::explain_row(plan, row, task.request));
        } catch (Error& error) {
            if (error.place.file.empty() && error.code == Exit::input) error.place.file = task.document->file;
            throw;
        }
    }
    for_open(destinations, [&](Destination& to) { pages[idx(&to - destinations.data())].writer.end(); });
    commit_all(destinations);
}

}  // namespace attn
