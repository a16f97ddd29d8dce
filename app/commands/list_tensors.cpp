#include "app/commands/list_tensors.hpp"

#include <algorithm>

#include "app/commands/common.hpp"
#include "lib/error.hpp"
#include "lib/input/file_references.hpp"
#include "lib/render/bytes.hpp"
#include "lib/render/plans/plan_json.hpp"
#include "lib/render/plans/plan_text.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

std::unique_ptr<TensorFile> opened(const std::string& path) {
    return of_file(path, [&] {
        auto file = open_tensor_file(path);
        // Also what only shows when an array is taken.
        for (std::size_t k = 0; file->has_checksums() && k < file->tensors().size(); ++k)
            if (file->tensors()[k].unread.empty()) file->take(k);
        return file;
    });
}

void list_json(const std::string& path, const TensorFile& file, bool compact, std::string& out) {
    const int indent = compact ? 0 : 2;
    std::string tensors;
    for (const StoredTensor& t : file.tensors()) {
        JsonMembers m;
        if (file.format() != "npy") m.emplace_back("name", json_string(t.name));
        m.emplace_back("shape", json_indices(t.shape));
        m.emplace_back("dtype", json_string(t.type()));
        if (!t.packed.empty()) m.emplace_back("stored", json_string(t.packed));
        tensors += (tensors.empty() ? "" : ",") + std::string(compact ? " " : "\n    ") + json_object(m);
    }
    out += json_object({{"schema", "\"attn-calc/tensors/1\""},
                        {"file", json_string(path)},
                        {"format", json_string(file.format())},
                        {"tensors", "[" + tensors + (compact ? "]" : "\n  ]")},
                        {"weights_below", json_strings(weight_prefixes(file))},
                        {"besides", json_strings(file.besides())}},
                       indent) +
           "\n";
}

void list_text(const std::string& path, const TensorFile& file, const RenderOptions& options,
               std::string& out) {
    constexpr int longest = 60, gap = 2;
    const auto& tensors = file.tensors();
    Index bytes = 0;
    int names = 4, shapes = 5;
    for (const StoredTensor& t : tensors) {
        bytes += t.bytes();
        names = std::max(names, display_width(clip(visible(t.name), longest)));
        shapes = std::max(shapes, display_width(to_string(t.shape)));
    }
    const std::string title =
        visible(path) + ": " + std::string(file.format()) + ", " + std::to_string(tensors.size()) +
        (tensors.size() == 1 ? " tensor, " : " tensors, ") + std::to_string(bytes) + " bytes";
    out += said(title, options) + "\n";
    const auto row = [&](const std::string& name, const std::string& shape, const std::string& type) {
        out += said(pad_right(clip(name, longest), names + gap) + pad_right(shape, shapes + gap) + type,
                    options) +
               "\n";
    };
    if (!tensors.empty()) row("name", "shape", "dtype");
    for (const StoredTensor& t : tensors)
        row(t.name.empty() ? "-" : visible(t.name), to_string(t.shape),
            clip(visible(t.type()), longest) + (t.packed.empty() ? "" : " from " + t.packed));
    constexpr std::size_t most = 8;
    std::vector<std::string> parts;
    const std::vector<std::string> prefixes = weight_prefixes(file);
    for (std::size_t k = 0; k < std::min(most, prefixes.size()); ++k)
        parts.push_back(prefixes[k].empty() ? "the names as they are" : visible(prefixes[k]));
    if (prefixes.size() > most) parts.push_back("and " + std::to_string(prefixes.size() - most) + " more");
    if (!parts.empty()) {
        parts.front() = "attention weights below: " + parts.front();
        out += joined_lines(parts, options.width, 2, options);
    }
    std::vector<std::string> besides = file.besides();
    if (!besides.empty()) {
        besides.front() = "besides: " + besides.front();
        out += joined_lines(besides, options.width, 2, options);
    }
}

}  // namespace

bool list_tensor_files(const Options& options) {
    const auto is_file = [](const std::string& word) { return names_tensor_file(word); };
    const auto count = std::count_if(options.words.begin(), options.words.end(), is_file);
    if (count == 0) return false;
    if (count != static_cast<std::ptrdiff_t>(options.words.size()))
        fail_usage("files of tensors and documents are checked apart");
    std::vector<std::unique_ptr<TensorFile>> files;
    for (const std::string& path : options.words) files.push_back(opened(path));
    std::vector<Destination> destinations = open_destinations(options, {});
    for_open(destinations, [&](Destination& to) {
        Bytes bytes(*to.output);
        for (std::size_t k = 0; k < files.size(); ++k) {
            if (to.format == Format::json) {
                list_json(options.words[k], *files[k], to.form.compact, bytes.text);
            } else {
                if (k > 0) bytes.text += "\n";
                list_text(options.words[k], *files[k], to.form, bytes.text);
            }
        }
        bytes.flush();
    });
    commit_all(destinations);
    return true;
}

}  // namespace attn
