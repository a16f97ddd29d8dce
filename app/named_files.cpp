#include "app/named_files.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/error.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view id_mark = "{id}", stem_mark = "{stem}", number_mark_of_document = "{n}";

bool is_safe(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

const std::string& safe_id(const std::optional<std::string>& id) {
    const std::string rule =
        "in a file's name {id} is of letters, digits, '.', '_' and '-', and begins with no "
        "point";
    if (!id)
        fail("", "has no \"id\", and -o names a file by it",
             "{n} is the document's number, {stem} its file's name");
    if (id->empty()) fail("/id", "is empty, and -o names a file by it", rule);
    if (id->front() == '.' || !std::all_of(id->begin(), id->end(), is_safe))
        fail("/id", "is \"" + clip(visible(*id), 60) + "\", which is no part of a file's name", rule);
    return *id;
}

/// The name of a file without its folder and its last suffix.
std::string stem_of(std::string_view file) {
    if (file == "<stdin>") return "stdin";
    file.remove_prefix(file.rfind('/') + 1);
    const std::size_t point = file.rfind('.');
    std::string stem(file.substr(0, point == 0 ? file.size() : point));
    if (stem.empty() || stem.front() == '.')
        fail("", "is a file whose name begins with a point: {stem} is no name for -o",
             "{n} is the document's number");
    return stem;
}

}  // namespace

bool names_documents(std::string_view path) {
    return path.find(id_mark) != std::string_view::npos || path.find(stem_mark) != std::string_view::npos ||
           path.find(number_mark_of_document) != std::string_view::npos;
}

std::string path_of_document(std::string_view path, const DocumentLabels& labels) {
    std::string out;
    while (!path.empty()) {
        if (path.starts_with(id_mark)) {
            out += safe_id(labels.id);
            path.remove_prefix(id_mark.size());
        } else if (path.starts_with(stem_mark)) {
            out += stem_of(labels.file);
            path.remove_prefix(stem_mark.size());
        } else if (path.starts_with(number_mark_of_document)) {
            out += std::to_string(labels.number);
            path.remove_prefix(number_mark_of_document.size());
        } else {
            out += path.front();
            path.remove_prefix(1);
        }
    }
    return out;
}

void NamedFiles::take(const std::string& path, std::int64_t document) {
    const auto [place, is_new] = taken_.emplace(path, document);
    if (!is_new)
        fail(
            "",
            "would be written to " + visible(path) + ", as document " + std::to_string(place->second) + " is",
            "{n} is the document's number: another one for each");
}

}  // namespace attn
