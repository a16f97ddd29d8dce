#include "lib/input/shards.hpp"

#include <algorithm>

#include "lib/error.hpp"
#include "lib/input/mapped_file.hpp"
#include "lib/input/value.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

Document index_document(const Source& source) {
    try {
        std::vector<Document> all = parse_documents(source, {DType::float64, false});
        if (all.size() != 1) fail("", "more than one object");
        return std::move(all.front());
    } catch (Error& error) {
        error.message = "is not an index of shards: " + error.message;
        throw;
    }
}

class Shards : public TensorFile {
  public:
    explicit Shards(ShardIndex index) : index_(std::move(index)) {
        for (const auto& [name, file] : index_.names()) {
            places_.push_back(index_.find(name));
            tensors_.push_back(places_.back().stored());
        }
    }
    std::string_view format() const override { return "shards"; }
    const std::vector<StoredTensor>& tensors() const override { return tensors_; }
    std::vector<std::string> besides() const override {
        std::vector<std::string> out;
        for (const auto& [name, other] : index_.aliases())
            out.push_back(visible(name) + ", which is " + visible(other));
        return out;
    }
    Numbers take(std::size_t k) const override { return places_[k].file->take(places_[k].k); }
    bool has_checksums() const override {
        return std::any_of(places_.begin(), places_.end(),
                           [](const ShardPlace& p) { return p.file->has_checksums(); });
    }

  private:
    ShardIndex index_;
    std::vector<ShardPlace> places_;
    std::vector<StoredTensor> tensors_;
};

}  // namespace

ShardIndex::ShardIndex(FilesBeside beside, std::string text) : beside_(std::move(beside)) {
    const Source source(beside_.file(), std::move(text));
    const Document document = index_document(source);
    const auto refuse = [&](const std::string& pointer, const std::string& message) {
        Error error(Exit::input, pointer, message,
                    R"(an index is {"weight_map": {"name of a tensor": "file of it", ...}})");
        locate(error, source, document);
        error.pointer.clear();  // the message says it
        throw error;
    };
    const Value* map = document.root.find("weight_map");
    if (!map) refuse("", "has no \"weight_map\"");
    if (map->kind != Value::Kind::object)
        refuse("/weight_map", "has " + map->describe() + " as its \"weight_map\", expected an object");
    for (const auto& [name, file] : map->members) {
        if (file.kind != Value::Kind::string)
            refuse(child("/weight_map", name), "has " + file.describe() + " for " + shown(name) +
                                                   " in its \"weight_map\", expected the name of a file, "
                                                   "a string");
        places_[name] = names_.size();
        names_.emplace_back(name, file.text);
    }
    if (const Value* metadata = document.root.find("metadata"))
        for (const auto& [name, other] : metadata->members)
            if (other.kind == Value::Kind::string && places_.contains(other.text))
                aliases_.emplace_back(name, other.text);
}

const std::string* ShardIndex::file_of(std::string_view name) const {
    const auto found = places_.find(name);
    return found == places_.end() ? nullptr : &names_[found->second].second;
}

const ShardIndex::Shard& ShardIndex::shard(const std::string& tensor, const std::string& file) const {
    const auto found = shards_.find(file);
    if (found != shards_.end()) return found->second;
    const std::string said = "names for " + shown(tensor) + " the shard";
    const std::string place = beside_.place_of(file, said);
    const auto refuse = [&](const std::string& why, const std::string& hint) {
        fail("", said + " " + shown(file) + ", which " + why, hint);
    };
    if (names_shard_index(file)) refuse("is an index itself", "");
    Shard out;
    try {
        out.file = open_tensor_file(place, beside_.may_leave());
    } catch (const Error& error) {
        if (error.code != Exit::input) throw;
        refuse(error.message, error.hint);
    }
    for (std::size_t k = 0; k < out.file->tensors().size(); ++k) out.places[out.file->tensors()[k].name] = k;
    return shards_[file] = std::move(out);
}

ShardPlace ShardIndex::find(const std::string& name) const {
    const std::string* const file = file_of(name);
    if (!file) fail("", "does not name " + shown(name));
    const Shard& in = shard(name, *file);
    const auto place = in.places.find(name);
    if (place == in.places.end())
        fail("", "names for " + shown(name) + " the shard " + shown(*file) + ", which does not hold it");
    return {in.file.get(), place->second};
}

std::optional<ShardIndex> index_beside(const std::string& shard) {
    constexpr std::string_view digits = "0123456789", between = "-of-";
    const std::size_t of = shard.rfind(between);
    if (of == std::string::npos || of == 0) return std::nullopt;
    const std::size_t end = shard.find_first_not_of(digits, of + between.size());
    const std::size_t dash = shard.find_last_not_of(digits, of - 1);
    if (end == std::string::npos || dash == std::string::npos || shard[dash] != '-' || dash + 1 == of)
        return std::nullopt;
    const std::string path = shard.substr(0, dash) + shard.substr(end) + ".index.json";
    try {
        const MappedFile file = map_file(path);
        return ShardIndex(FilesBeside(path), {reinterpret_cast<const char*>(file.bytes.data()),  // NOLINT
                                              file.bytes.size()});
    } catch (const Error& error) {
        if (error.code != Exit::input) throw;
        return std::nullopt;
    }
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): as every reader of a file of tensors is called
std::unique_ptr<TensorFile> read_shards(const FilesBeside& beside, std::shared_ptr<const void> /*keeper*/,
                                        std::span<const std::byte> bytes) {
    return std::make_unique<Shards>(
        ShardIndex(beside, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));  // NOLINT
}

}  // namespace attn
