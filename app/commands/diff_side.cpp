#include "app/commands/diff_side.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "app/source.hpp"
#include "lib/diff/ours.hpp"
#include "lib/error.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/text.hpp"
#include "lib/theirs/names.hpp"

namespace attn {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_side(const std::string& file, std::string message, std::string hint = {}) {
    Error error(Exit::input, {}, std::move(message), std::move(hint));
    error.place.file = file;
    throw error;
}

/// Whether a file may be one of numbers, whatever its name: those of models have JSON that has none.
bool may_hold_numbers(const std::string& name) {
    constexpr std::array<std::string_view, 3> texts{".json", ".ndjson", ".csv"};
    if (name == "config.json" || name.ends_with(".index.json")) return false;
    return names_tensor_file(name) ||
           std::any_of(texts.begin(), texts.end(), [&](std::string_view end) { return name.ends_with(end); });
}

/// Puts a file's arrays beside those of another one of the same layer, where neither is a trace.
void join_dumps(std::vector<Dump>& dumps, Dump dump) {
    const auto is_plain = [](const Dump& d) { return d.selection.empty() && !d.axes.known && !d.number; };
    for (Dump& other : dumps)
        if (dump.layer && other.layer == dump.layer && is_plain(other) && is_plain(dump)) {
            for (GivenArray& a : dump.arrays) other.arrays.push_back(std::move(a));
            for (UnreadTensor& u : dump.unread) other.unread.push_back(std::move(u));
            return;
        }
    dumps.push_back(std::move(dump));
}

}  // namespace

bool is_folder(const std::string& name) {
    std::error_code ignored;
    return name != "-" && fs::is_directory(name, ignored);
}

std::string path_without_links(const std::string& path) {
    std::error_code ignored;
    const fs::path found = fs::weakly_canonical(path, ignored);
    return found.empty() ? path : found.string();
}

std::map<std::string, std::string> files_of_folder(const std::string& folder) {
    std::map<std::string, std::string> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error))
        if (entry.is_regular_file(error) && !entry.path().filename().string().starts_with('.'))
            files.emplace(entry.path().filename().string(), entry.path().string());
    if (error) refuse_side(folder, "cannot be read: " + error.message());
    return files;
}

void open_side(Side& side, const std::string& name, TextSide which, const Options& options) {
    if (names_tensor_file(name)) {
        side.file = name;
        side.dumps.push_back(of_file(name, [&] {
            Dump dump = dump_of(*open_tensor_file(name));
            const auto& asked = options.diff.compare.only;
            for (const UnreadTensor& u : dump.unread)
                if (std::find(asked.begin(), asked.end(), split_name(u.name).stage) != asked.end())
                    throw Error(u.why);
            return dump;
        }));
        side.dumps.back().file = name;
        return;
    }
    Source source = read_source(name, most_source_bytes(options.request));
    side.text = read_text(std::move(source));
    side.file = side.text.source.name;
    side.input = form_of(side.text, which) == TextForm::input;
    if (side.input)
        read_as_input(side.text);
    else
        side.dumps = read_dumps(side.text, options.diff.digits);
}

void compute_side(Side& side, const Options& options, const Diagnostics& diagnostics) {
    Options own = options;
    own.model.reset();
    own.overrides.clear();
    for (auto* file : {&own.embeddings, &own.block, &own.key_embeddings}) file->reset();
    const Source& source = side.text.source;
    for (const Document& document : side.text.documents) {
        Plan plan = plan_document(source, document, own, own.request);
        Request request = own.request;
        for (const std::string& name : options.diff.compare.only) {
            const auto has = [&](const PlannedStage& s) { return s.name == name; };
            if (std::any_of(plan.stages.begin(), plan.stages.end(), has) ||
                std::any_of(plan.gradients.begin(), plan.gradients.end(), has))
                request.stages.push_back(name);
        }
        if (!request.stages.empty()) plan = plan_document(source, document, own, request);
        std::vector<std::string> warnings;
        Dump& dump = side.dumps.emplace_back(dumped(plan, warnings));
        dump.file = side.file;
        if (side.text.documents.size() > 1) dump.number = static_cast<Index>(side.dumps.size()) - 1;
        for (const std::string& warning : warnings) diagnostics.warning(side.file, warning);
        side.settings.push_back(settings_of(source, document, own));
    }
}

void open_folder(Side& side, const std::string& folder, const std::set<std::string>& used,
                 const Options& options) {
    side.file = folder;
    for (const auto& [name, path] : files_of_folder(folder)) {
        if (used.contains(path_without_links(path))) continue;
        const std::string stem = fs::path(name).stem().string();
        const LayerOfFile of = layer_of_file(stem);
        if (!of.number && !may_hold_numbers(name)) {
            side.aside.push_back(visible(name));
            continue;
        }
        if (of.number && options.diff.layer && of.number != options.diff.layer) {
            side.aside.push_back("layer " + std::to_string(*of.number) + " (" + visible(name) + ")");
            continue;
        }
        Side one;
        open_side(one, path, TextSide::theirs, options);
        if (one.input) {
            side.aside.push_back(visible(name) + " (an input)");
            continue;
        }
        for (Dump& dump : one.dumps) {
            if (!dump.layer) dump.layer = of.number;
            for (GivenArray& a : dump.arrays)
                if (a.name.empty()) a.name = of.array.empty() && !of.number ? stem : of.array;
            join_dumps(side.dumps, std::move(dump));
        }
    }
    if (side.dumps.empty())
        refuse_side(folder, "holds no files of layers",
                    "layer_03.npz, 3.npy: the number in a file's name is its layer's");
}

void add_files_used(const Value& document, const std::string& folder, std::set<std::string>& used) {
    if (document.kind == Value::Kind::object)
        if (const Value* file = document.find("file"); file && file->kind == Value::Kind::string) {
            const std::string& name = file->text;
            used.insert(path_without_links(name.starts_with('/') ? name : folder + "/" + name));
        }
    for (const Member& m : document.members) add_files_used(m.value, folder, used);
    for (const Value& item : document.items) add_files_used(item, folder, used);
}

}  // namespace attn
