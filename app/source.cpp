#include "app/source.hpp"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "app/document_stream.hpp"
#include "app/model_source.hpp"
#include "app/overrides.hpp"
#include "app/terminal.hpp"
#include "lib/error.hpp"
#include "lib/input/file_references.hpp"
#include "lib/input/foreign.hpp"
#include "lib/input/problem.hpp"
#include "lib/plan/half.hpp"
#include "lib/plan/machine.hpp"
#include "lib/theirs/names.hpp"

namespace attn {
namespace {

/// The folder that a document's files stand in; standard input has none.
std::optional<std::string> folder_of(const std::string& name) {
    if (name == "<stdin>") return std::nullopt;
    const std::size_t slash = name.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : name.substr(0, slash);
}

/// --weights and --prefix; files named in the document are put in.
void use_weights(Value& root, const Options& options, FileReferences& files) {
    if (!options.weights && !options.prefix) return files.resolve(root);
    auto place = std::find_if(root.members.begin(), root.members.end(),
                              [](const Member& m) { return m.name == "weights"; });
    const bool had = place != root.members.end();
    if (options.weights) {
        if (had) place->value = {};  // not opened: other weights take their place
        files.resolve(root);
        Value weights = files.weights_of_file(*options.weights, options.prefix.value_or(""));
        if (had) weights.text += "; in place of the document's";
        if (!had) place = root.members.insert(root.members.end(), {"weights", {}});
        place->value = std::move(weights);
        return;
    }
    if (!had || place->value.kind != Value::Kind::object)
        fail(had ? "/weights" : "",
             had ? "is not an object, and --prefix asks for the names below a prefix"
                 : "has no \"weights\", and --prefix asks for the names below a prefix");
    std::vector<Member>& members = place->value.members;
    std::erase_if(members, [](const Member& m) { return m.name == "prefix"; });
    Value prefix;
    prefix.kind = Value::Kind::string;
    prefix.text = *options.prefix;
    members.push_back({"prefix", std::move(prefix)});
    files.resolve(root);
}

/// Puts in what the command line says, and what files hold.
void complete(Value& root, const Options& options, FileReferences& files, Overrides& overrides) {
    for (const std::string& folder : options.roots) files.trust_folder(folder);
    if (options.model) files.trust_folder(folder_of_model(*options.model));
    put_inputs(root, options, files);
    overrides.put_first();
    use_weights(root, options, files);
    overrides.put_rest();
}

}  // namespace

Plan plan_document(const Source& source, Document document, const Options& options, const Request& request) {
    FileReferences files(options.model ? std::nullopt : folder_of(source.name));
    Overrides overrides(options, document.root, files);
    try {
        if (const auto foreign = foreign_object(document.root)) fail("", foreign->what, foreign->hint);
        complete(document.root, options, files, overrides);
        Plan plan = make_plan(read_problem(document.root), request);
        plan.overrides = overrides.said();
        if (options.model) plan.source = {options.model->folder, options.model->layer, true};
        if (options.command == Command::explain || options.command == Command::blindspots)
            refuse_half(plan, "attn-calc " + std::string(name_of(options.command)));
        // The other commands look at the forward pass.
        if (options.command != Command::run && options.command != Command::check &&
            options.command != Command::view && options.command != Command::diff &&
            options.command != Command::blindspots && options.command != Command::explain) {
            plan.gradient.reset();
            plan.gradients.clear();
        }
        return plan;
    } catch (Error& error) {
        if (error.code == Exit::input && error.place.file.empty() && !overrides.say_place(error)) {
            error.place.file = source.name;
            // The text of a model's document is nowhere to be looked at.
            if (!options.model) locate(error, source, document);
        }
        throw;
    }
}

Value settings_of(const Source& source, Document document, const Options& options) {
    FileReferences files(options.model ? std::nullopt : folder_of(source.name));
    Overrides overrides(options, document.root, files);
    complete(document.root, options, files, overrides);
    return std::move(document.root);
}

ParseOptions parsing(const Options& options) {
    const Request& request = options.request;
    return {request.dtype, false, request.threads > 0 ? request.threads : processors_available()};
}

void refuse_stages(const Options& options) {
    for (const std::string& name : options.request.stages)
        if (const std::string hint = hint_by_maps(name); !hint.empty() && !stage_named(name))
            fail_usage("--stages " + name + ": there is no such stage", hint);
}

PlannedDocument plan_arrival(Arrival& arrival, const Options& options, const Request& request) {
    if (arrival.fault) throw Error(*arrival.fault);
    const Options& own = arrival.options ? *arrival.options : options;
    if (!arrival.document) {
        const ParseOptions reading =
            request.threads > 0 ? ParseOptions{request.dtype, false, request.threads} : parsing(options);
        arrival.document = parse_document(arrival.source, reading);
    }
    Plan plan = plan_document(arrival.source, std::move(*arrival.document), own, request);
    arrival.document.reset();
    if (!own.model) plan.source = {arrival.source.name, arrival.number, false};
    return {arrival.source.name, std::move(plan), arrival.number};
}

std::vector<PlannedDocument> plan_all(const Options& options, const Diagnostics& diagnostics) {
    refuse_stages(options);
    std::vector<PlannedDocument> planned;
    DocumentStream stream(options, diagnostics);
    while (std::optional<Arrival> arrival = stream.next(true))
        planned.push_back(plan_arrival(*arrival, options, options.request));
    return planned;
}

bool would_wait(const Options& options) {
    if (options.model && options.command != Command::diff) return false;
    const bool reads = options.words.empty() ||
                       std::find(options.words.begin(), options.words.end(), "-") != options.words.end();
    return reads && is_terminal(STDIN_FILENO);
}

}  // namespace attn
