#include "app/model_source.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "lib/error.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/models/read_model.hpp"
#include "lib/models/tree.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

namespace fs = std::filesystem;

std::string absolute_path(const std::string& path) {
    std::error_code ignored;
    return fs::absolute(path, ignored).lexically_normal().string();
}

std::string without_slash(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
}

/// Links followed.
std::string real_path(const std::string& path) {
    std::error_code ignored;
    return without_slash(fs::weakly_canonical(path, ignored).string());
}

/// FILE:NAME, where there is no file of the whole name.
std::pair<std::string, std::string> split_name_of_tensor(const std::string& word) {
    const std::size_t colon = word.rfind(':');
    std::error_code ignored;
    if (colon == std::string::npos || colon == 0 || fs::exists(word, ignored)) return {word, ""};
    return {word.substr(0, colon), word.substr(colon + 1)};
}

}  // namespace

std::string folder_of_model(const ModelOptions& model) {
    std::error_code ignored;
    if (fs::is_directory(model.folder, ignored)) return model.folder;
    const fs::path parent = fs::path(model.folder).parent_path();
    return parent.empty() ? "." : parent.string();
}

std::string tensor_file_of(const std::string& word) { return split_name_of_tensor(word).first; }

namespace {

/// Puts a reference in place of a member; a new one goes behind `variant`.
void put(Value& root, std::string_view name, Value value) {
    for (Member& m : root.members)
        if (m.name == name) {
            m.value = std::move(value);
            return;
        }
    const auto variant = std::find_if(root.members.begin(), root.members.end(),
                                      [](const Member& m) { return m.name == "variant"; });
    root.members.insert(variant == root.members.end() ? variant : variant + 1,
                        Member{std::string(name), std::move(value)});
}

/// `place`: what the document calls a file.
void put_files(Value& root, const Options& options,
               const std::function<std::string(const std::string&)>& place) {
    const auto put_file = [&](std::string_view name, const std::string& word) {
        const auto [file, tensor] = split_name_of_tensor(word);
        Value reference = tree_object();
        add_member(reference, "file", tree_text(place(file)));
        if (!tensor.empty()) add_member(reference, "name", tree_text(tensor));
        put(root, name, std::move(reference));
    };
    if (options.key_embeddings) put_file("key_embeddings", *options.key_embeddings);
    if (options.block) put_file("embeddings", *options.block);
    if (!options.embeddings) return;
    put_file("embeddings", *options.embeddings);
    const auto is_norm = [](const Member& m) { return m.name == "embeddings_norm"; };
    std::erase_if(root.members, is_norm);
    for (Member& m : root.members)
        if (m.name == "_from") std::erase_if(m.value.members, is_norm);
}

/// The states that the command line names.
StatesOf states_of(const Options& options) {
    const std::optional<std::string>& word = options.embeddings ? options.embeddings : options.block;
    if (!word) return {};
    return [named = split_name_of_tensor(*word)] {
        const std::string& name = named.second;
        return of_file(named.first, [&] {
            const std::unique_ptr<TensorFile> file = open_tensor_file(named.first);
            const std::vector<StoredTensor>& stored = file->tensors();
            std::size_t k = 0;
            while (k < stored.size() && (stored.size() > 1 || !name.empty()) && stored[k].name != name) ++k;
            if (k == stored.size()) fail("", "does not hold " + shown(name));
            const Shape& s = stored[k].shape;
            if (s.size() != 2 && s.size() != 3)
                fail("", "holds states of " + to_string(s) + ", expected [token, width]");
            const Numbers numbers = file->take(k);
            LayerStates out{s.size() == 3 ? s[0] : 1, s[s.size() - 2], s.back(), {}};
            out.numbers.resize(static_cast<std::size_t>(numbers.size()));
            numbers.copy(std::span<double>(out.numbers));
            return out;
        });
    };
}

/// What is asked for of a folder.
LayerAsk ask_of(const Options& options) {
    return {options.model->layer, options.model->stack, options.model->as, states_of(options),
            options.embeddings.has_value()};
}

}  // namespace

std::vector<ModelLayer> model_layers(const Options& options, const Diagnostics& diagnostics) {
    const ModelOptions& model = *options.model;
    const std::string name = without_slash(model.folder);
    const ModelFolder folder(model.folder);
    const std::string place = without_slash(absolute_path(folder.folder()));
    const auto path = [&](const std::string& file) { return place + "/" + file; };
    std::vector<ModelLayer> out;
    const Index first = model.all ? 0 : model.layer,
                end = model.all ? layers_of(folder, ask_of(options)) : model.layer + 1;
    for (Index layer = first; layer < end; ++layer) try {
            Options own = options_of_layer(options, layer);
            std::string text = tree_json(read_model_layer(folder, ask_of(own), path));
            const std::string said = model.all ? name + ", layer " + std::to_string(layer) : name;
            out.push_back({{said, std::move(text)}, std::move(own)});
        } catch (const NoAttention& none) {
            if (!model.all) throw;
            diagnostics.note(name + " " + none.message);
        }
    if (out.empty())
        fail_usage("--layer all: no layer of " + harmless(name) + " has an attention that is read here");
    return out;
}

ModelText model_text(const Options& options, const std::string& path) {
    ModelText out;
    const std::string folder_of_path = path == "-" ? "" : fs::path(path).parent_path().string();
    const std::string beside =
        without_slash(absolute_path(folder_of_path.empty() ? "." : folder_of_path)) + "/";
    const auto place = [&](const std::string& file, const std::string& root) {
        const std::string whole = absolute_path(file);
        const bool below = whole.starts_with(beside);
        // A link may lead out of the folder all the same.
        if (below && real_path(whole).starts_with(real_path(beside) + "/"))
            return whole.substr(beside.size());
        if (std::find(out.roots.begin(), out.roots.end(), root) == out.roots.end()) out.roots.push_back(root);
        return below ? whole.substr(beside.size()) : whole;
    };
    const ModelFolder model(options.model->folder);
    const std::string folder = without_slash(absolute_path(model.folder()));
    const Options own = options_of_layer(options, options.model->layer);
    Value root = read_model_layer(
        model, ask_of(own), [&](const std::string& file) { return place(folder + "/" + file, folder); });
    put_files(root, own, [&](const std::string& file) {
        return place(file, fs::path(absolute_path(file)).parent_path().string());
    });
    out.has_embeddings = root.find("embeddings") != nullptr;
    out.text = tree_json(root);
    return out;
}

void put_inputs(Value& root, const Options& options, FileReferences& files) {
    put_files(root, options, [&](const std::string& file) {
        std::string whole = absolute_path(file);
        files.trust_file(whole);
        return whole;
    });
}

}  // namespace attn
