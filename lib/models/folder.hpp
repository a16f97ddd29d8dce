#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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
    struct Shard {
        std::unique_ptr<TensorFile> file;
        std::map<std::string, std::size_t, std::less<>> places;
    };
    std::string path_of(std::string_view file) const;
    void read_index(const std::string& index);
    const Shard& shard(const std::string& file) const;

    std::string folder_;
    std::string index_;  ///< the name of the index; empty: one file holds all
    Source source_;
    Document document_;
    std::vector<std::string> names_;
    std::map<std::string, std::string, std::less<>> files_;  ///< of each tensor
    mutable std::map<std::string, Shard> shards_;
};

}  // namespace attn
