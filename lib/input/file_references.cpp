#include "lib/input/file_references.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "lib/error.hpp"
#include "lib/input/head_norms.hpp"
#include "lib/input/read_tensor.hpp"
#include "lib/input/shards.hpp"
#include "lib/input/weight_names.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Without looking at the disk: absolute, without "." and "..".
std::string absolute_path(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::absolute(path, ignored).lexically_normal().string();
}

Value as_value(const StoredTensor& tensor, Numbers numbers, std::string from) {
    Value out;
    if (tensor.shape.empty()) {
        out.kind = Value::Kind::real;
        out.real = numbers[0];
        return out;
    }
    out.kind = Value::Kind::row;
    out.row.shape = numbers.empty() ? Shape{0} : tensor.shape;
    out.row.from = std::move(from);
    out.row.in_file = true;
    if (tensor.element == Element::boolean) out.row.first[idx(Scalar::boolean)] = 0;
    out.row.numbers = std::move(numbers);
    return out;
}

std::string list_of(const std::vector<std::string>& names) {
    constexpr std::size_t most = 6;
    std::string out;
    for (std::size_t k = 0; k < std::min(names.size(), most); ++k)
        out += (k == 0 ? "" : ", ") + clip(visible(names[k]), 60);
    if (names.size() > most) out += " and " + std::to_string(names.size() - most) + " more";
    return out;
}

std::size_t find_named(const TensorFile& file, const Value* name, const std::string& pointer) {
    const auto& tensors = file.tensors();
    if (!name) {
        if (tensors.size() == 1) return 0;
        fail(pointer, "names a file of " + std::to_string(tensors.size()) + " tensors without a \"name\"");
    }
    const std::string at = child(pointer, "name");
    const std::string& wanted = read_string(*name, at, "the name of a tensor");
    std::vector<std::string> names;
    std::vector<std::string_view> views;
    for (std::size_t k = 0; k < tensors.size(); ++k) {
        if (tensors[k].name == wanted && file.format() != "npy") return k;
        names.push_back(tensors[k].name);
    }
    if (file.format() == "npy") fail(at, "is given, but an npy file holds one array without a name");
    views.assign(names.begin(), names.end());
    std::string hint = did_you_mean(wanted, views);
    if (hint.empty()) hint = names.empty() ? "the file holds no tensor" : "the file holds " + list_of(names);
    fail(at, "is " + shown(wanted) + ", which the file does not hold", hint);
}

/// No tensor below `prefix` is one of attention weights.
[[noreturn]] void refuse_prefix(const TensorFile& file, std::string_view prefix) {
    const std::vector<std::string> prefixes = weight_prefixes(file);
    const std::string dotted = std::string(prefix) + ".";
    if (std::find(prefixes.begin(), prefixes.end(), dotted) != prefixes.end())
        fail("", "has weights below " + shown(dotted) + ", but the prefix is " + shown(prefix),
             "its last dot is missing: a prefix is put before names as it is");
    std::vector<std::string> below;
    for (const StoredTensor& t : file.tensors())
        if (t.name.starts_with(prefix)) below.push_back(t.name.substr(prefix.size()));
    const std::string hint = prefixes.empty() ? "no name in it is one of attention weights"
                                              : "names of weights begin with: " + list_of(prefixes);
    if (below.empty()) fail("", "has no tensor whose name begins with " + shown(prefix), hint);
    fail("",
         "has no name of a weight among the " + std::to_string(below.size()) + " that begin with " +
             shown(prefix) + ": " + list_of(below),
         hint);
}

/// The weights of one shard would be taken for all of them.
void refuse_part(const std::string& path, std::string_view prefix, const std::set<std::string>& aliases) {
    const std::optional<ShardIndex> index = index_beside(path);
    if (!index) return;
    const std::string own = path.substr(path.rfind('/') + 1);
    for (const auto& [name, file] : index->names()) {
        if (file == own || !name.starts_with(prefix)) continue;
        const std::string below = name.substr(prefix.size());
        if (weight_named(below) || head_norm_named(below) || aliases.contains(below))
            fail("", "is one of several shards, and " + shown(name) + " lies in another one, " + shown(file),
                 "name the index in place of it: " + visible(index->path()));
    }
}

}  // namespace

bool refers_to_file(const Value& value) {
    return value.kind == Value::Kind::object && value.find("file") && !value.find("init");
}

void FileReferences::resolve(Value& root) {
    // The weights of a file last: what the other keys take of it counts as read.
    Member* whole = nullptr;
    for (Member& m : root.members) {
        if (is_ignored(m.name)) continue;
        if (m.name == "weights" && refers_to_file(m.value)) {
            whole = &m;
        } else {
            resolve(m.value, child("", m.name));
        }
    }
    if (whole) whole->value = weights(whole->value, child("", whole->name));
}

/// `path`: where the file is, `said`: what it is called in the plan.
Value FileReferences::pick_weights(const TensorFile& file, const std::string& path, const std::string& said,
                                   std::string_view prefix, const std::set<std::string>& aliases) const {
    Value out;
    out.kind = Value::Kind::object;
    refuse_part(path, prefix, aliases);
    std::vector<std::string> left, unread;
    const std::string real = resolved_path(path).value_or(path);
    for (std::size_t k = 0; k < file.tensors().size(); ++k) {
        const StoredTensor& t = file.tensors()[k];
        if (!t.name.starts_with(prefix)) continue;
        const std::string name = t.name.substr(prefix.size());
        if (weight_named(name) || head_norm_named(name) || aliases.contains(name)) {
            out.members.push_back({name, as_value(t, file.take(k), said + ": " + t.name)});
        } else if (prefix.empty() || is_mask_or_table(name, t.shape)) {
            left.push_back(name);
        } else if (!referred_.contains({real, t.name})) {
            unread.push_back(name);
        }
    }
    if (out.members.empty()) refuse_prefix(file, prefix);
    if (!unread.empty())
        fail("",
             "holds " + list_of(unread) + " below " + shown(prefix) + ", which " +
                 (unread.size() == 1 ? "is not the name of a weight" : "are not names of weights") +
                 " and nothing reads: without a part of the attention the numbers would be wrong",
             hint_for_unread(unread.front()));
    out.text = "weights of " + said + (prefix.empty() ? "" : ", below " + std::string(prefix)) +
               (left.empty() ? "" : "; not used: " + list_of(left));
    return out;
}

Value FileReferences::weights_of_file(const std::string& path, std::string_view prefix) const {
    return of_file(path, [&] { return pick_weights(*open_tensor_file(path), path, path, prefix, {}); });
}

void FileReferences::resolve(Value& value, const std::string& pointer) {
    if (value.kind == Value::Kind::array)
        for (std::size_t k = 0; k < value.items.size(); ++k) {
            const std::string at = child(pointer, static_cast<Index>(k));
            if (refers_to_file(value.items[k]))
                fail(at, "is a reference to a file inside a list",
                     "a file holds a whole tensor: {\"file\": ...} stands in place of the list, not in it");
            resolve(value.items[k], at);
        }
    if (value.kind != Value::Kind::object) return;
    if (refers_to_file(value)) {
        value = tensor(value, pointer);
        return;
    }
    for (auto& [name, member] : value.members)
        if (!is_ignored(name)) resolve(member, child(pointer, name));
}

void FileReferences::trust_folder(const std::string& folder) {
    const auto real = resolved_path(folder);
    if (!real) fail_usage(option::root + " " + visible(folder) + ": " + std::strerror(errno));
    for (std::string path : {absolute_path(folder), *real}) {
        if (path.back() != '/') path += '/';
        roots_.push_back(std::move(path));
    }
}

void FileReferences::trust_file(const std::string& path) { known_files_.insert(absolute_path(path)); }

void FileReferences::trust_named(const Value& value) {
    if (const Value* file = value.find("file"); file && refers_to_file(value) && !file->text.empty())
        trust_file(place_of(file->text));
    for (const Member& m : value.members) trust_named(m.value);
    for (const Value& item : value.items) trust_named(item);
}

std::string FileReferences::place_of(const std::string& name) const {
    return name.front() == '/' ? name : folder_.value_or(".") + "/" + name;
}

bool FileReferences::is_trusted(const std::string& place) const {
    const std::string path = absolute_path(place);
    return known_files_.contains(path) ||
           std::any_of(roots_.begin(), roots_.end(),
                       [&](const std::string& root) { return path.starts_with(root); });
}

const TensorFile& FileReferences::open(const Value& reference, const std::string& pointer) {
    const std::string at = child(pointer, "file");
    const std::string& name = read_string(*reference.find("file"), at, "the name of a file");
    const std::string said = "is " + shown(name) + ", ";
    if (name.empty() || name.find('\0') != std::string::npos)
        fail(at, said + "which is not the name of a file");
    const bool is_absolute = name.front() == '/',
               is_known = known_files_.contains(absolute_path(place_of(name))),
               trusted = is_known || ((folder_ || is_absolute) && is_trusted(place_of(name)));
    const std::string hint = option::root + " DIR allows files below another folder";
    if (!folder_ && !trusted)
        fail(at, said + "but a document from standard input names no files",
             "give the document as a file; " + hint);
    if (is_absolute && !trusted)
        fail(at, said + "an absolute path: files stand in the document's folder, or below it", hint);
    const auto folder = folder_ ? resolved_path(*folder_) : std::nullopt,
               path = resolved_path(place_of(name));
    if (!path) fail(at, said + "which cannot be read: " + std::strerror(errno));
    const std::string inside = folder.value_or("") == "/" ? "/" : folder.value_or("") + "/";
    // The same holds for the files that a file names.
    const auto may_read = [this, trusted, folder, inside](const std::string& place, const std::string& real) {
        return trusted || is_trusted(place) || is_trusted(real) || (folder && real.starts_with(inside));
    };
    if (!may_read(place_of(name), *path)) fail(at, said + "which leads out of the document's folder", hint);
    auto& file = files_[*path];
    if (file) return *file;
    try {
        // What a link is called does not matter, but what it leads to.
        file = open_tensor_file(names_tensor_file(*path) || !names_tensor_file(name) ? *path : place_of(name),
                                may_read);
    } catch (Error& error) {
        if (error.code != Exit::input) throw;
        fail(at, said + "which " + error.message, error.hint);
    }
    return *file;
}

Value FileReferences::tensor(const Value& reference, const std::string& pointer) {
    static constexpr std::array<std::string_view, 2> names{"file", "name"};
    check_members(reference, pointer, names);
    const TensorFile& file = open(reference, pointer);
    const std::size_t k = find_named(file, reference.find("name"), pointer);
    const StoredTensor& t = file.tensors()[k];
    const std::string& path = reference.find("file")->text;
    if (const auto real = resolved_path(place_of(path))) referred_.emplace(*real, t.name);
    try {
        return as_value(t, file.take(k), path + (t.name.empty() ? "" : ": " + t.name));
    } catch (Error& error) {
        if (error.code != Exit::input) throw;
        fail(child(pointer, "file"), "is " + shown(path) + ", which " + error.message, error.hint);
    }
}

Value FileReferences::weights(const Value& reference, const std::string& pointer) {
    std::vector<std::string_view> names(weight_settings().begin(), weight_settings().end());
    names.emplace_back("file");
    check_members(reference, pointer, names);
    const TensorFile& file = open(reference, pointer);
    const Value *prefix = reference.find("prefix"), *renamed = reference.find("names");
    std::set<std::string> aliases;
    if (renamed)
        for (auto& [ours, theirs] : read_weight_aliases(*renamed, child(pointer, "names")))
            aliases.insert(theirs);
    try {
        const std::string& said = reference.find("file")->text;
        Value out = pick_weights(
            file, place_of(said), said,
            prefix ? read_string(*prefix, child(pointer, "prefix"), "a prefix of names") : std::string(),
            aliases);
        // Names of the file stand below no prefix any more.
        for (const std::string_view setting : weight_settings())
            if (const Value* v = reference.find(setting); v && setting != "prefix")
                out.members.push_back({std::string(setting), *v});
        return out;
    } catch (Error& error) {
        if (error.code != Exit::input || !error.pointer.empty()) throw;
        fail(child(pointer, prefix ? "prefix" : "file"),
             "names " + shown(reference.find("file")->text) + ", which " + error.message, error.hint);
    }
}

std::vector<std::string> weight_prefixes(const TensorFile& file) {
    std::vector<std::string> out;
    for (const StoredTensor& t : file.tensors()) {
        // The longest name of a weight that ends this one, at a point or at its beginning.
        for (std::size_t at = 0; at < t.name.size(); at = t.name.find('.', at)) {
            if (at > 0) ++at;
            if (weight_named(t.name.substr(at))) {
                if (std::find(out.begin(), out.end(), t.name.substr(0, at)) == out.end())
                    out.push_back(t.name.substr(0, at));
                break;
            }
        }
    }
    return out;
}

}  // namespace attn
