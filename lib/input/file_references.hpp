#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/tensor_file.hpp"
#include "lib/input/value.hpp"

namespace attn {

/// Puts the tensors of files where a document names them: {"file": "w.npz", "name": "W_query"} becomes an
/// array whose numbers stay where they are, "weights": {"file": ..., "prefix": ...} an object of weights.
class FileReferences {
  public:
    /// `folder`: of the document; nothing for standard input, which names no files.
    explicit FileReferences(std::optional<std::string> folder) : folder_(std::move(folder)) {}

    /// \throws Error (exit 3) with the pointer of the reference: a path that is absolute or leads out of the
    /// folder, links followed; a file that is wrong; a name that is not in it.
    void resolve(Value& root);

  private:
    void resolve(Value& value, const std::string& pointer);
    Value tensor(const Value& reference, const std::string& pointer);
    Value weights(const Value& reference, const std::string& pointer);
    const TensorFile& open(const Value& reference, const std::string& pointer);

    std::optional<std::string> folder_;
    std::map<std::string, std::unique_ptr<TensorFile>> files_;
};

/// The weights of `path` as an object for "weights": those whose name below `prefix` is one of a weight. Its
/// text says where they come from, and what was left. \throws Error (exit 3), its file filled in
Value weights_of_file(const std::string& path, std::string_view prefix);

/// Prefixes in a file below which names of attention weights stand, in order.
std::vector<std::string> weight_prefixes(const TensorFile& file);

}  // namespace attn
