// --model and what goes with it.
#include <string>

#include "app/option_values.hpp"
#include "app/parsed.hpp"
#include "lib/error.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view number_mark = "{layer}";

bool names_layer(const std::string& path) { return path.find(number_mark) != std::string::npos; }

/// The layer, or all of them: then files that differ from layer to layer say so.
void read_layer(const Parsed& parsed, Options& options) {
    ModelOptions& m = *options.model;
    const std::vector<std::string>& words = parsed.values[flag::layer];
    if (words.empty()) fail_usage("--model needs a layer", "--layer 0, or --layer all");
    m.all = words.back() == all_layers;
    if (!m.all) {
        m.layer = integer(parsed, flag::layer, 0, 1'000'000);
        return;
    }
    for (const auto* file : {&options.embeddings, &options.block})
        if (*file && !names_layer(**file))
            fail_usage(
                "--layer all: each layer has states of its own, and " + visible(**file) + " is one file",
                "{layer} in its name stands for the number of the layer: hidden_{layer}.npy");
}

}  // namespace

void read_model_options(const Parsed& parsed, Options& options) {
    using namespace flag;
    const auto given = [&](Id id) { return !parsed.values[id].empty(); };
    const auto last = [&](Id id) -> const std::string& { return parsed.values[id].back(); };
    const auto name = [](Id id) { return std::string(row_of(id).long_name()); };
    const bool of_diff = options.command == Command::diff;
    if (given(embeddings) && given(block))
        fail_usage("--embeddings and --block exclude each other",
                   "--embeddings are the states after the layer's norm, --block those before it");
    if (given(embeddings)) options.embeddings = last(embeddings);
    if (given(block)) options.block = last(block);
    if (given(key_embeddings)) options.key_embeddings = last(key_embeddings);
    options.roots = parsed.values[root];
    if (!given(model)) {
        for (const Id id : {layer, stack, as_type})
            if (given(id) && (!of_diff || id != layer))
                fail_usage(name(id) + " goes with --model",
                           "attn-calc " + std::string(name_of(options.command)) + " --model DIR --layer 0");
        for (const Id id : {embeddings, block, key_embeddings})
            if (given(id) && options.command == Command::init) fail_usage(name(id) + " goes with --model");
        if (of_diff && given(layer) && last(layer) == all_layers) fail_usage("--layer all goes with --model");
        return;
    }
    ModelOptions& m = options.model.emplace();
    m.folder = last(model);
    if (m.folder.empty()) fail_usage("--model needs the folder of a model, or a .gguf file");
    read_layer(parsed, options);
    if (given(stack))
        m.stack = words_of(row_of(stack), options.command)[choice(parsed, stack, options.command)];
    if (given(as_type)) m.as = last(as_type);
    for (const Id id : {weights, prefix})
        if (given(id)) fail_usage(name(id) + " has no use: --model says which weights are read");
    if (parsed.words.size() > (of_diff ? 1U : 0U))
        fail_usage("--model stands in place of a file: found " + visible(parsed.words.back()));
}

Options options_of_layer(const Options& options, Index layer) {
    Options out = options;
    const std::string number = std::to_string(layer);
    const auto fill = [&](std::string& path) { path = replaced(path, number_mark, number); };
    out.model->layer = layer;
    out.model->all = false;
    for (auto* file : {&out.embeddings, &out.block, &out.key_embeddings})
        if (*file) fill(**file);
    for (Target& target : out.targets) fill(target.path);
    return out;
}

bool writes_by_layer(const Options& options) {
    if (!options.model) return false;
    bool any = options.command == Command::init && options.model->all && options.targets.empty();
    for (const Target& target : options.targets) any = any || names_layer(target.path);
    return any;
}

}  // namespace attn
