#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "app/commands/commands.hpp"
#include "app/examples.hpp"
#include "app/model_source.hpp"
#include "app/output.hpp"
#include "app/terminal.hpp"
#include "lib/input/value.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// The first sentence of an example's comment.
std::string description_of(const Example& example) {
    const Source source{std::string(example.name), std::string(example.text)};
    const std::vector<Document> documents = parse_documents(source);
    const Value* comment = documents.front().root.find("comment");
    if (!comment) return {};
    const std::size_t end = comment->text.find(". ");
    return end == std::string::npos ? comment->text : comment->text.substr(0, end + 1);
}

void list_examples(const Options& options) {
    const int columns = std::min(options.width.value_or(columns_of(STDOUT_FILENO)), 100);
    std::string out = "attn-calc init NAME writes NAME.json; attn-calc NAME.json computes it.\n\n";
    for (const Example& example : examples())
        out += std::string(example.name) + "\n" + wrapped(description_of(example), columns, 4, 4);
    print_text(out);
}

const Example& example_named(std::string_view word) {
    std::string_view name = word;
    if (name.ends_with(".json")) name.remove_suffix(5);
    std::vector<std::string_view> names;
    for (const Example& example : examples()) {
        if (example.name == name) return example;
        names.push_back(example.name);
    }
    for (const Example& example : examples())
        if (last_name(example) == name)
            fail_usage("there is no example \"" + std::string(word) + "\"",
                       "attn-calc init " + std::string(example.name));
    const std::string near = did_you_mean(name, names);
    fail_usage("there is no example \"" + std::string(word) + "\"",
               near.empty() ? "attn-calc init lists them" : near);
}

/// A new file, never over one that is there; or a device, or standard output ("-").
/// \return whether it is a file
bool write_document(const std::string& path, std::string_view text, const Diagnostics& diagnostics) {
    struct stat status {};
    const bool is_there = path != "-" && stat(path.c_str(), &status) == 0;
    const bool device = is_there && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
    if (path == "-" || path.starts_with("/dev/") || device) {
        const auto output = open_output(path);
        output->write(text);
        output->commit();
        return false;
    }
    write_new_file(path, text);
    const std::string shown = harmless(path);
    diagnostics.note("wrote " + shown + "; attn-calc " +
                     (path.find_first_of("./") == std::string::npos ? "./" : "") + shown + " computes it");
    return true;
}

void write_model_layer(const Options& options, const Diagnostics& diagnostics) {
    if (options.model->all)
        fail_usage("--layer all writes a document for each layer", "-o layer_{layer}.json");
    const std::string path = options.targets.empty()
                                 ? "layer_" + std::to_string(options.model->layer) + ".json"
                                 : options.targets.front().path;
    const ModelText made = model_text(options, path);
    write_document(path, made.text, diagnostics);
    for (const std::string& root : made.roots)
        diagnostics.note("it names files outside its folder: give --root " + harmless(root));
    if (!made.has_embeddings)
        diagnostics.note(
            "it has no embeddings: give --embeddings FILE (after the layer's norm) or --block FILE "
            "(before it)");
}

}  // namespace

void init_command(const Options& options, const Diagnostics& diagnostics) {
    if (options.model) return write_model_layer(options, diagnostics);
    if (options.words.empty()) return list_examples(options);
    if (options.words.size() > 1) fail_usage("attn-calc init writes one example at a time");
    const Example& example = example_named(options.words.front());
    const std::string path =
        options.targets.empty() ? std::string(last_name(example)) + ".json" : options.targets.front().path;
    write_document(path, example.text, diagnostics);
}

}  // namespace attn
