#include "lib/models/folder.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "lib/error.hpp"
#include "lib/input/mapped_file.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

namespace fs = std::filesystem;

/// THE TABLE of files that a folder keeps its tensors in: one, or an index of several. The first that is
/// there.
struct WeightFiles {
    std::string_view whole, index;
};
constexpr std::array weight_files{WeightFiles{"model.safetensors", "model.safetensors.index.json"},
                                  WeightFiles{"pytorch_model.bin", "pytorch_model.bin.index.json"}};

bool is_file(const std::string& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

[[noreturn]] void refuse(const std::string& file, std::string message, std::string hint = {}) {
    Error error(Exit::input, {}, std::move(message), std::move(hint));
    error.place.file = file;
    throw error;
}

/// A mapped text: config.json and indexes are small, and read once.
Source source_of(const std::string& path) {
    try {
        const MappedFile file = map_file(path);
        return {path,
                std::string(reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size())};  // NOLINT
    } catch (Error& error) {
        error.place.file = path;
        throw;
    }
}

Document document_of(const Source& source) {
    std::vector<Document> all = parse_documents(source, {DType::float64, false});
    if (all.size() != 1) refuse(source.name, "holds more than one JSON object");
    return std::move(all.front());
}

/// What a folder without config.json may be.
std::string hint_without_config(const std::string& folder) {
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored))
        return option::model + " takes the folder that config.json stands in";
    for (const fs::directory_entry& e : fs::directory_iterator(folder, ignored))
        if (is_file(e.path().string() + "/config.json")) return "there is one in " + e.path().string();
    return option::model + " takes a folder with config.json and model.safetensors";
}

}  // namespace

ModelFolder::ModelFolder(std::string folder) : folder_(std::move(folder)), source_("", std::string()) {
    while (folder_.size() > 1 && folder_.back() == '/') folder_.pop_back();
    const std::string config = folder_ + "/config.json";
    if (!is_file(config))
        refuse(folder_, is_file(folder_) ? "is a file, expected the folder of a model" : "has no config.json",
               hint_without_config(folder_));
    source_ = source_of(config);
    document_ = document_of(source_);
    const auto* const there = std::find_if(
        weight_files.begin(), weight_files.end(),
        [&](const WeightFiles& f) { return is_file(path_of(f.index)) || is_file(path_of(f.whole)); });
    if (there == weight_files.end()) {
        std::string all;
        for (const WeightFiles& f : weight_files)
            all += (all.empty() ? "" : ", ") + std::string(f.whole) + ", " + std::string(f.index);
        refuse(folder_, "has none of the files that tensors are read from: " + all);
    }
    if (is_file(path_of(there->index))) {
        index_ = there->index;
        read_index(path_of(index_));
    } else {
        const std::string whole(there->whole);
        for (const auto& [name, place] : shard(whole).places) files_[name] = whole;
    }
    for (const auto& [name, file] : files_) names_.push_back(name);
}

void ModelFolder::read_index(const std::string& index) {
    const Source source = source_of(index);
    const Document document = document_of(source);
    const auto wrong = [&](const std::string& pointer, const std::string& message) {
        Error error(Exit::input, pointer, message);
        locate(error, source, document);
        throw error;
    };
    const Value* map = document.root.find("weight_map");
    if (!map || map->kind != Value::Kind::object)
        wrong(map ? "/weight_map" : "", map ? "is no object of names and files" : "has no \"weight_map\"");
    for (const auto& [name, file] : map->members) {
        const std::string at = child("/weight_map", name);
        if (file.kind != Value::Kind::string)
            wrong(at, "is " + file.describe() + ", expected the name of a file");
        if (file.text.empty() || file.text.front() == '/' || file.text.find("..") != std::string::npos ||
            file.text.find('\0') != std::string::npos)
            wrong(at, "is " + shown(file.text) + ", which is no file of the folder");
        files_[name] = file.text;
    }
}

const ModelFolder::Shard& ModelFolder::shard(const std::string& file) const {
    const auto found = shards_.find(file);
    if (found != shards_.end()) return found->second;
    const std::string path = folder_ + "/" + file;
    if (!is_file(path)) refuse(folder_, "has no file " + shown(file) + ", which " + index_ + " names");
    Shard out;
    out.file = of_file(path, [&] { return open_tensor_file(path); });
    for (std::size_t k = 0; k < out.file->tensors().size(); ++k) out.places[out.file->tensors()[k].name] = k;
    return shards_[file] = std::move(out);
}

std::string ModelFolder::path_of(std::string_view file) const { return folder_ + "/" + std::string(file); }

bool ModelFolder::has(std::string_view name) const { return files_.find(name) != files_.end(); }

ModelTensor ModelFolder::tensor(const std::string& name) const {
    const auto file = files_.find(name);
    if (file == files_.end()) refuse(folder_, "has no tensor " + shown(name));
    const Shard& in = shard(file->second);
    const auto place = in.places.find(name);
    if (place == in.places.end())
        refuse(folder_ + "/" + file->second,
               "does not hold " + shown(name) + ", though " + index_ + " says so");
    return {name, file->second, in.file->tensors()[place->second].shape};
}

Numbers ModelFolder::numbers(const std::string& name) const {
    const ModelTensor t = tensor(name);
    const Shard& in = shard(t.file);
    return of_file(folder_ + "/" + t.file, [&] { return in.file->take(in.places.find(name)->second); });
}

void ModelFolder::locate_error(Error& error) const {
    if (error.code != Exit::input || !error.place.file.empty()) return;
    if (error.pointer.empty()) {
        error.place.file = folder_;
    } else {
        locate(error, source_, document_);
    }
}

}  // namespace attn
