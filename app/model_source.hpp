#pragma once
#include <string>
#include <vector>

#include "app/diagnostics.hpp"
#include "app/options.hpp"
#include "lib/input/file_references.hpp"
#include "lib/input/value.hpp"

namespace attn {

/// The document of a layer, as a text that is computed as any other, and the options of its run.
struct ModelLayer {
    Source source;
    Options options;
};
/// Those that --model and --layer name; files are named by absolute paths. Layers without attention are left
/// out where all are asked for, and said. \throws Error: exit 3, exit 2 for a stack that is not there
std::vector<ModelLayer> model_layers(const Options& options, const Diagnostics& diagnostics);

/// The same for a file: paths are relative to its folder where they lie below it.
struct ModelText {
    std::string text;
    std::vector<std::string> roots;  ///< folders of files that lie elsewhere: --root of a later run
    bool has_embeddings = false;
};
ModelText model_text(const Options& options, const std::string& path);

/// Where its files lie: the folder, or that of a GGUF file.
std::string folder_of_model(const ModelOptions& model);

/// The file of FILE or FILE:NAME.
std::string tensor_file_of(const std::string& word);

/// --embeddings, --block, --key-embeddings: files in place of a document's keys.
void put_inputs(Value& root, const Options& options, FileReferences& files);

}  // namespace attn
