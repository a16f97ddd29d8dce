#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace attn {

/// What a document is called in names of files.
struct DocumentLabels {
    std::optional<std::string> id;
    std::string file;         ///< that it stands in
    std::int64_t number = 0;  ///< among all documents
};

/// A name with {id}, {stem} or {n} stands for a file of each document.
bool names_documents(std::string_view path);

/// The file of a document. \throws Error (exit 3): it has no id, or one that is no safe part of a name
std::string path_of_document(std::string_view path, const DocumentLabels& labels);

/// The files that documents have been given.
class NamedFiles {
  public:
    /// \throws Error (exit 3): another document has it
    void take(const std::string& path, std::int64_t document);

  private:
    std::unordered_map<std::string, std::int64_t> taken_;
};

}  // namespace attn
