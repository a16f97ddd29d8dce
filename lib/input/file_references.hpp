#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/tensor_file.hpp"
#include "lib/input/value.hpp"

namespace attn {

/// {"file": ...}; drawn tensors refuse a file that stands beside their "init".
bool refers_to_file(const Value& value);

/// Puts the tensors of files where a document names them: {"file": "w.npz", "name": "W_query"} becomes an
/// array whose numbers stay where they are, "weights": {"file": ..., "prefix": ...} an object of weights.
class FileReferences {
  public:
    /// `folder`: of the document; nothing for standard input, which names no files.
    explicit FileReferences(std::optional<std::string> folder) : folder_(std::move(folder)) {}

    /// Files below this folder may be named too, by paths that are absolute or lead out of the document's
    /// folder; links in it are followed. \throws Error (exit 2) where there is none
    void trust_folder(const std::string& folder);
    /// This file may be named, wherever it is: the command line says so.
    void trust_file(const std::string& path);
    /// So may the files that references within this value name.
    void trust_named(const Value& value);

    /// \throws Error (exit 3) with the pointer of the reference: a path that is absolute or leads out of the
    /// folder, links followed; a file that is wrong; a name that is not in it.
    void resolve(Value& root);

    /// The weights of `path` (a file that the command line names) as an object for "weights": those whose
    /// name below `prefix` is one of a weight. Its text says where they come from, and what was left. Below a
    /// prefix that is not empty a tensor that is neither a weight, nor known for a mask or table, nor
    /// referred to by the document that was resolved, is an error. \throws Error (exit 3), its file filled in
    Value weights_of_file(const std::string& path, std::string_view prefix) const;

  private:
    using Names = std::set<std::pair<std::string, std::string>>;  ///< real path of a file, name in it

    void resolve(Value& value, const std::string& pointer);
    Value tensor(const Value& reference, const std::string& pointer);
    Value weights(const Value& reference, const std::string& pointer);
    const TensorFile& open(const Value& reference, const std::string& pointer);
    /// Where a file is that a document names.
    std::string place_of(const std::string& name) const;
    bool is_trusted(const std::string& place) const;
    Value pick_weights(const TensorFile& file, const std::string& path, const std::string& said,
                       std::string_view prefix, const std::set<std::string>& aliases) const;

    std::optional<std::string> folder_;
    std::vector<std::string> roots_;     ///< absolute, with the last slash: as given, and without links
    std::set<std::string> known_files_;  ///< absolute
    std::map<std::string, std::unique_ptr<TensorFile>> files_;
    Names referred_;  ///< tensors that keys of the document name
};

/// Prefixes in a file below which names of attention weights stand, in order.
std::vector<std::string> weight_prefixes(const TensorFile& file);

}  // namespace attn
