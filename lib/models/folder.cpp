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

constexpr std::string_view gguf_suffix = ".gguf";

/// The parts of a model by the name of one of them: "x-00001-of-00003.gguf" has three.
std::vector<std::string> gguf_parts(const std::string& name) {
    constexpr std::string_view of = "-of-";
    constexpr std::size_t digits = 5, tail = 1 + digits + of.size() + digits;
    const std::size_t stem = name.size() - gguf_suffix.size();
    if (stem < tail) return {name};
    const std::string before = name.substr(0, stem - tail), end = name.substr(stem - tail, tail);
    const std::string number = end.substr(1, digits), count = end.substr(tail - digits);
    const auto is_count = [](const std::string& text) {
        return text.find_first_not_of("0123456789") == std::string::npos;
    };
    if (end[0] != '-' || end.substr(1 + digits, of.size()) != of || !is_count(number) || !is_count(count))
        return {name};
    std::vector<std::string> out;
    for (int k = 1; k <= std::stoi(count); ++k) {
        const std::string text = std::to_string(k);
        out.push_back(before + "-" + std::string(digits - text.size(), '0') + text + std::string(of) + count +
                      std::string(gguf_suffix));
    }
    return out.empty() ? std::vector{name} : out;
}

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
        return option::model + " takes the folder that config.json stands in, or a .gguf file";
    for (const fs::directory_entry& e : fs::directory_iterator(folder, ignored))
        if (is_file(e.path().string() + "/config.json")) return "there is one in " + e.path().string();
    return option::model + " takes a folder with config.json and model.safetensors";
}

}  // namespace

ModelFolder::ModelFolder(std::string folder) : folder_(std::move(folder)), source_("", std::string()) {
    while (folder_.size() > 1 && folder_.back() == '/') folder_.pop_back();
    if (folder_.ends_with(gguf_suffix) && !fs::is_directory(folder_)) {
        const fs::path file(folder_);
        folder_ = file.has_parent_path() ? file.parent_path().string() : ".";
        read_gguf(file.filename().string());
    } else {
        read_folder();
    }
    std::sort(names_.begin(), names_.end());
}

void ModelFolder::read_folder() {
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
    if (!is_file(path_of(there->index))) return add_part(std::string(there->whole));
    file_ = there->index;
    const Source text = source_of(path_of(file_));
    of_file(path_of(file_), [&] { index_.emplace(FilesBeside(path_of(file_)), std::string(text.text)); });
    for (const auto& [name, file] : index_->names()) names_.push_back(name);
}

void ModelFolder::add_part(const std::string& file) {
    parts_.push_back({file, of_file(path_of(file), [&] { return open_tensor_file(path_of(file)); })});
    const std::vector<StoredTensor>& tensors = parts_.back().file->tensors();
    for (std::size_t k = 0; k < tensors.size(); ++k) {
        const auto [place, is_new] = places_.emplace(tensors[k].name, std::pair(parts_.size() - 1, k));
        if (is_new)
            names_.push_back(tensors[k].name);
        else if (parts_.size() > 1)
            refuse(path_of(file),
                   "holds " + shown(tensors[k].name) + ", and so does " + parts_[place->second.first].name);
    }
}

void ModelFolder::read_gguf(const std::string& name) {
    if (!is_file(path_of(name))) refuse(path_of(name), "cannot be read: there is no such file");
    const std::vector<std::string> all = gguf_parts(name);
    for (const std::string& part : all) {
        if (!is_file(path_of(part)))
            refuse(folder_, "has no file " + shown(part) + ", which is a part of " + name);
        add_part(part);
    }
    Gguf& gguf = gguf_.emplace();
    gguf.name = all.front();
    const MappedFile file = map_file(path_of(gguf.name));
    gguf.keeper = file.keeper;
    gguf.header = read_gguf_header(gguf.keeper, file.bytes);
}

std::string ModelFolder::path_of(std::string_view file) const { return folder_ + "/" + std::string(file); }

bool ModelFolder::has(std::string_view name) const {
    return index_ ? index_->file_of(name) != nullptr : places_.find(name) != places_.end();
}

ShardPlace ModelFolder::place_of(const std::string& name) const {
    if (!has(name)) refuse(folder_, "has no tensor " + shown(name));
    if (!index_) {
        const auto [part, k] = places_.find(name)->second;
        return {parts_[part].file.get(), k};
    }
    return of_file(path_of(file_), [&] { return index_->find(name); });
}

ModelTensor ModelFolder::tensor(const std::string& name) const {
    const ShardPlace place = place_of(name);
    const std::string& file = index_ ? *index_->file_of(name) : parts_[places_.find(name)->second.first].name;
    return {name, file, place.stored().shape};
}

Numbers ModelFolder::numbers(const std::string& name) const {
    const ShardPlace place = place_of(name);
    return of_file(path_of(tensor(name).file), [&] { return place.file->take(place.k); });
}

void ModelFolder::locate_error(Error& error) const {
    if (error.code != Exit::input || !error.place.file.empty()) return;
    if (gguf_) {
        error.place.file = path_of(gguf_->name);
        // A key of the metadata, as it is called there.
        if (error.pointer.starts_with('/')) error.pointer.erase(0, 1);
        std::replace(error.pointer.begin(), error.pointer.end(), '/', '.');
    } else if (error.pointer.empty()) {
        error.place.file = folder_;
    } else {
        locate(error, source_, document_);
    }
}

}  // namespace attn
