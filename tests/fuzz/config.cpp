// A model's config.json, beside the weights of the model of its type: refused with an error, or a layer is
// made a document.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "lib/error.hpp"
#include "lib/models/folder.hpp"
#include "lib/models/read_model.hpp"

using namespace attn;

namespace {

namespace fs = std::filesystem;

/// What stands behind "model_type", or "".
std::string model_type_in(const std::string& config) {
    std::size_t at = config.find("\"model_type\"");
    if (at == std::string::npos) return "";
    at = config.find('"', config.find(':', at));
    return at == std::string::npos ? "" : config.substr(at + 1, config.find('"', at + 1) - at - 1);
}

/// Folders of models below one that goes with the process. Their weights are links to those of
/// tests/data/models.
class Models {
  public:
    Models() : root_(fs::temp_directory_path() / ("attn-fuzz-config-" + std::to_string(getpid()))) {
        for (const auto& model : fs::directory_iterator(fs::path(ATTN_SOURCE) / "tests/data/models")) {
            if (!model.is_directory()) continue;
            const fs::path folder = root_ / model.path().filename();
            fs::create_directories(folder);
            for (const auto& file : fs::directory_iterator(model.path()))
                if (file.path().filename() != "config.json")
                    fs::create_symlink(file.path(), folder / file.path().filename());
            std::ifstream in(model.path() / "config.json");
            by_type_[model_type_in({std::istreambuf_iterator<char>(in), {}})] = folder;
        }
    }
    Models(const Models&) = delete;
    Models& operator=(const Models&) = delete;
    ~Models() {
        std::error_code ignored;
        fs::remove_all(root_, ignored);
    }

    /// A folder whose config.json has this text.
    std::string with(const std::string& config) const {
        const auto found = by_type_.find(model_type_in(config));
        const fs::path& folder = found == by_type_.end() ? by_type_.begin()->second : found->second;
        std::ofstream(folder / "config.json", std::ios::binary) << config;
        return folder.string();
    }

  private:
    fs::path root_;
    std::map<std::string, fs::path> by_type_;
};

/// Exit 2 is for a stack that the model has not, or that has to be chosen.
bool is_refusal(const Error& error) {
    return (error.code == Exit::input || error.code == Exit::usage) && !error.message.empty();
}

void read_layer(const ModelFolder& folder, const char* stack, Index layer) {
    LayerAsk ask;
    ask.layer = layer;
    ask.stack = stack;
    try {
        read_model_layer(folder, ask, [](const std::string& name) { return name; });
    } catch (const Error& error) {
        if (is_refusal(error)) return;
        std::fprintf(stderr, "another error: %s\n", error.message.c_str());
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Models models;
    try {
        const ModelFolder folder(models.with({reinterpret_cast<const char*>(data), size}));
        for (const char* stack : {"", "encoder", "vision"})
            for (const Index layer : {0, 1}) read_layer(folder, stack, layer);
    } catch (const Error& error) {
        if (!is_refusal(error)) throw;
    }
    return 0;
}
