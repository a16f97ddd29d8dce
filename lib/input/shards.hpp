#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/input/files_beside.hpp"
#include "lib/input/tensor_file.hpp"

namespace attn {

/// Where a tensor of a shard lies.
struct ShardPlace {
    const TensorFile* file = nullptr;
    std::size_t k = 0;  ///< its place among the file's tensors

    const StoredTensor& stored() const { return file->tensors()[k]; }
};

/// The index of a model whose tensors lie in several files beside it: {"weight_map": {name: file}}
/// (huggingface_hub serialization/_base.py). What it names is there, what else a file holds is not. Files are
/// opened when one of their tensors is asked for. Messages follow the name of the index.
class ShardIndex {
  public:
    /// \throws Error (exit 3), the line of the fault filled in: no JSON, no map
    ShardIndex(FilesBeside beside, std::string text);

    const std::string& path() const { return beside_.file(); }
    /// Names of tensors and of their files, in the order of the map.
    const std::vector<std::pair<std::string, std::string>>& names() const { return names_; }
    /// What its metadata say besides sizes: names that stand for other tensors (tied weights).
    const std::vector<std::pair<std::string, std::string>>& aliases() const { return aliases_; }
    /// \throws Error (exit 3): a file that is missing, wrong, or does not hold the tensor
    ShardPlace find(const std::string& name) const;
    /// The file of a tensor, or null.
    const std::string* file_of(std::string_view name) const;

  private:
    struct Shard {
        std::unique_ptr<TensorFile> file;
        std::map<std::string, std::size_t, std::less<>> places;
    };
    const Shard& shard(const std::string& tensor, const std::string& file) const;

    FilesBeside beside_;
    std::vector<std::pair<std::string, std::string>> names_, aliases_;
    std::map<std::string, std::size_t, std::less<>> places_;  ///< in names_
    mutable std::map<std::string, Shard> shards_;
};

/// The index that a shard belongs to by its name (model-00001-of-00003.safetensors), where it stands beside
/// it and is one.
std::optional<ShardIndex> index_beside(const std::string& shard);

/// All tensors that an index names. \throws Error (exit 3) as ShardIndex, for the first that is not there
std::unique_ptr<TensorFile> read_shards(const FilesBeside& beside, std::shared_ptr<const void> keeper,
                                        std::span<const std::byte> bytes);

}  // namespace attn
