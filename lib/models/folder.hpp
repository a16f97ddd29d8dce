#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/shards.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/input/value.hpp"

namespace attn {

/// Where a tensor of a model lies.
struct ModelTensor {
    std::string name;
    std::string file;  ///< in the folder
    Shape shape;
};

/// A folder with config.json and safetensors or files of torch.save: one file, or shards and their index.
/// Files of shards are opened when one of their tensors is asked for.
class ModelFolder {
  public:
    /// \throws Error (exit 3): no such folder, no or a wrong config.json, no weights that are read
    explicit ModelFolder(std::string folder);

    const std::string& folder() const { return folder_; }
    const Value& config() const { return document_.root; }
    /// Names of all tensors, sorted.
    const std::vector<std::string>& names() const { return names_; }
    bool has(std::string_view name) const;
    /// \throws Error (exit 3): a shard that is missing, wrong, or does not hold the tensor
    ModelTensor tensor(const std::string& name) const;
    /// The numbers of a tensor. \throws Error
    Numbers numbers(const std::string& name) const;

    /// Says where in config.json an Error with a pointer is, and in which folder one without.
    void locate_error(Error& error) const;

  private:
    std::string path_of(std::string_view file) const;
    ShardPlace place_of(const std::string& name) const;

    std::string folder_;
    Source source_;
    Document document_;
    std::string file_;  ///< the file that holds all tensors, or the index of several
    std::optional<ShardIndex> index_{};
    std::unique_ptr<TensorFile> whole_{};  ///< where there is no index
    std::vector<std::string> names_;
    std::map<std::string, std::size_t, std::less<>> places_;  ///< in the whole file
};

}  // namespace attn
