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
    file_ = is_file(path_of(there->index)) ? there->index : there->whole;
    if (file_ == there->index) {
        const Source text = source_of(path_of(file_));
        of_file(path_of(file_), [&] { index_.emplace(FilesBeside(path_of(file_)), std::string(text.text)); });
        for (const auto& [name, file] : index_->names()) names_.push_back(name);
    } else {
        whole_ = of_file(path_of(file_), [&] { return open_tensor_file(path_of(file_)); });
        for (std::size_t k = 0; k < whole_->tensors().size(); ++k) {
            names_.push_back(whole_->tensors()[k].name);
            places_[names_.back()] = k;
        }
    }
    std::sort(names_.begin(), names_.end());
}

std::string ModelFolder::path_of(std::string_view file) const { return folder_ + "/" + std::string(file); }

bool ModelFolder::has(std::string_view name) const {
    return index_ ? index_->file_of(name) != nullptr : places_.find(name) != places_.end();
}

ShardPlace ModelFolder::place_of(const std::string& name) const {
    if (!has(name)) refuse(folder_, "has no tensor " + shown(name));
    if (!index_) return {whole_.get(), places_.find(name)->second};
    return of_file(path_of(file_), [&] { return index_->find(name); });
}

ModelTensor ModelFolder::tensor(const std::string& name) const {
    const ShardPlace place = place_of(name);
    return {name, index_ ? *index_->file_of(name) : file_, place.stored().shape};
}

Numbers ModelFolder::numbers(const std::string& name) const {
    const ShardPlace place = place_of(name);
    return of_file(path_of(tensor(name).file), [&] { return place.file->take(place.k); });
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
