#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/input/gguf.hpp"
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

/// A folder with config.json and safetensors or files of torch.save: one file, or shards and their index; or
/// a GGUF file, or the parts of a split one, with settings of its own. Files of shards are opened when one of
/// their tensors is asked for.
class ModelFolder {
  public:
    /// \throws Error (exit 3): no such folder, no or a wrong config.json, no weights that are read
    explicit ModelFolder(std::string folder);

    /// What the files lie in.
    const std::string& folder() const { return folder_; }
    const Value& config() const { return document_.root; }
    /// The metadata of a GGUF file; null for a folder.
    const std::vector<GgufPair>* metadata() const { return gguf_ ? &gguf_->header.pairs : nullptr; }
    /// The file that says how layers are read.
    std::string settings() const { return gguf_ ? gguf_->name : "config.json"; }
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
    /// The file of a GGUF model that has its metadata.
    struct Gguf {
        std::string name;
        std::shared_ptr<const void> keeper;
        GgufHeader header;
    };
    struct Part {
        std::string name;
        std::unique_ptr<TensorFile> file;
    };
    std::string path_of(std::string_view file) const;
    ShardPlace place_of(const std::string& name) const;
    void read_folder();
    void read_gguf(const std::string& name);
    void add_part(const std::string& file);

    std::string folder_;
    std::optional<Gguf> gguf_{};
    Source source_;
    Document document_;
    std::string file_{};  ///< the index of several files; empty: there is none
    std::optional<ShardIndex> index_{};
    std::vector<Part> parts_{};  ///< where there is no index: the file that holds all tensors, or parts of it
    std::vector<std::string> names_;
    /// Where there is no index: the part of each tensor, and its place there.
    std::map<std::string, std::pair<std::size_t, std::size_t>, std::less<>> places_{};
};

}  // namespace attn
