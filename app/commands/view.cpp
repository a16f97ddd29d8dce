#include <algorithm>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/commands/compute.hpp"
#include "app/model_source.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/render/pictures/given.hpp"
#include "lib/render/pictures/page.hpp"
#include "lib/render/pictures/page_data.hpp"
#include "lib/render/pictures/pictures.hpp"
#include "lib/theirs/dump.hpp"

namespace attn {
namespace {

/// An option that says how a document is computed, where there is none. (Those of the command line alone.)
void refuse_work(const Options& options) {
    const Request& r = options.request;
    const std::string_view flag = r.dtype                      ? "--dtype"
                                  : options.weights            ? "--weights"
                                  : options.prefix             ? "--prefix"
                                  : r.max_memory               ? "--max-memory"
                                  : !options.overrides.empty() ? "--set"
                                                               : "";
    if (!flag.empty()) fail_usage(std::string(flag) + " has no use: the file holds numbers, not a document");
}

std::unique_ptr<Sink> picture_sink(Format format, Output& output, const RenderOptions& form) {
    return make_picture_sink(make_picture_writer(format, output, form), form);
}

/// The weights; a page of HTML has room for every stage, as long as it fits.
Plan plan_view(const Source& source, Document& document, const Options& options,
               const Diagnostics& diagnostics) {
    Request request = options.request;
    const std::vector<Target> targets = targets_of(options);
    request.for_pictures =
        std::any_of(targets.begin(), targets.end(), [](const Target& t) { return t.format != Format::html; });
    if (!request.for_pictures) {
        Plan plan = plan_document(source, document, options, request);
        if (!request.stages.empty() || least_page_bytes(plan) <= most_page_bytes) return plan;
        diagnostics.note(
            source.name +
            ": all stages are too much for one page; it has the weights, --stages chooses others");
        request.for_pictures = true;
    }
    return plan_document(source, std::move(document), options, request);
}

void view_planned(const std::vector<PlannedDocument>& documents, const Options& options,
                  const Diagnostics& diagnostics) {
    std::vector<Destination> destinations = open_destinations(options, documents);
    for (std::size_t k = 0; k < documents.size(); ++k) {
        turn_to(destinations, documents, k);
        compute(destinations, documents[k], options, diagnostics, picture_sink);
    }
    commit_all(destinations);
}

void view_documents(TextFile& file, const Options& options, const Diagnostics& diagnostics) {
    read_as_input(file);
    std::vector<PlannedDocument> documents;
    for (Document& document : file.documents)
        documents.push_back({file.source.name, plan_view(file.source, document, options, diagnostics)});
    view_planned(documents, options, diagnostics);
}

void view_layers(const Options& options, const Diagnostics& diagnostics) {
    std::vector<PlannedDocument> documents;
    for (const ModelLayer& layer : model_layers(options, diagnostics))
        for (Document& document : parse_documents(layer.source, parsing(options)))
            documents.push_back(
                {layer.source.name, plan_view(layer.source, document, layer.options, diagnostics)});
    view_planned(documents, options, diagnostics);
}

void view_numbers(const std::vector<Dump>& dumps, const Options& options, const Diagnostics& diagnostics) {
    refuse_work(options);
    std::vector<std::vector<GivenPicture>> given;
    for (const Dump& dump : dumps) {
        given.push_back(choose_given(dump, options.request));
        for (const UnreadTensor& u : dump.unread)
            diagnostics.warning(dump.file, "left out: it " + u.why.message);
    }
    std::vector<Target> targets = targets_of(options);
    for (const Target& t : targets) refuse_many(*t.format, dumps.size());
    std::vector<Destination> destinations = open_targets(options, targets);
    for_open(destinations, [&](Destination& to) {
        for (std::size_t k = 0; k < dumps.size(); ++k) {
            RenderOptions form = to.form;
            form.source_name = dumps[k].file;
            form.heading = dumps.size() > 1;
            if (form.heading) form.document = static_cast<Index>(k);
            const auto writer = make_picture_writer(to.format, *to.output, form);
            writer->begin({form.source_name, form.document, {}, nullptr});
            draw_given(given[k], *writer, form);
            writer->end({});
        }
    });
    commit_all(destinations);
}

}  // namespace

void view_command(const Options& options, const Diagnostics& diagnostics) {
    if (options.words.size() > 1)
        fail_usage("attn-calc view draws one file: found " + std::to_string(options.words.size()),
                   "attn-calc view x.json");
    if (options.model) return view_layers(options, diagnostics);
    const std::string name = options.words.empty() ? "-" : options.words.front();
    if (names_tensor_file(name)) {
        std::vector<Dump> dumps;
        dumps.push_back(of_file(name, [&] { return dump_of(*open_tensor_file(name)); }));
        dumps.back().file = name;
        return view_numbers(dumps, options, diagnostics);
    }
    TextFile file = read_text(read_source(name, most_source_bytes(options.request)));
    if (form_of(file, TextSide::ours) == TextForm::input) return view_documents(file, options, diagnostics);
    view_numbers(read_dumps(file, {}), options, diagnostics);
}

}  // namespace attn
