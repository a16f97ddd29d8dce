#include "lib/input/tensor_file.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "lib/error.hpp"
#include "lib/input/gguf.hpp"
#include "lib/input/mapped_file.hpp"
#include "lib/input/npy.hpp"
#include "lib/input/onnx.hpp"
#include "lib/input/safetensors.hpp"
#include "lib/input/shards.hpp"
#include "lib/input/torch_file.hpp"
#include "lib/input/zip.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Bytes = std::span<const std::byte>;
constexpr std::string_view trace_name = "attn_calc.json";

class Npy : public TensorFile {
  public:
    Npy(std::shared_ptr<const void> keeper, Bytes bytes)
        : keeper_(std::move(keeper)), bytes_(bytes), header_(read_npy_header(bytes, bytes.size())) {
        if (!header_.unread.empty()) refuse_unread_type(header_.unread);
        tensors_.push_back({"", header_.shape, header_.element, {}, 0});
    }
    std::string_view format() const override { return "npy"; }
    const std::vector<StoredTensor>& tensors() const override { return tensors_; }
    Numbers take(std::size_t) const override { return npy_numbers(header_, keeper_, bytes_, true); }

  private:
    std::shared_ptr<const void> keeper_;
    Bytes bytes_;
    NpyHeader header_;
    std::vector<StoredTensor> tensors_;
};

/// Says of which entry of an archive an Error is.
template <class Read>
auto of_entry(const ZipEntry& e, Read read) {
    try {
        return read();
    } catch (Error& error) {
        error.message = "holds " + shown(e.name) + ", which " + error.message;
        throw;
    }
}

class Npz : public TensorFile {
  public:
    Npz(std::shared_ptr<const void> keeper, Bytes bytes) : keeper_(std::move(keeper)), bytes_(bytes) {
        for (ZipEntry& e : read_zip(bytes)) {
            if (!e.name.ends_with(".npy")) {
                besides_.push_back(shown(e.name));
                if (e.name == trace_name) about_ = e;
                continue;
            }
            const std::string name = e.name.substr(0, e.name.size() - 4);
            headers_.push_back(header_of(e));
            const NpyHeader& header = headers_.back();
            const auto data = static_cast<Index>(e.size - header.data_begin);
            tensors_.push_back({name, header.shape, header.element, header.unread, data});
            entries_.push_back(std::move(e));
        }
    }
    std::string_view format() const override { return "npz"; }
    bool has_checksums() const override { return true; }
    const std::vector<StoredTensor>& tensors() const override { return tensors_; }
    std::vector<std::string> besides() const override { return besides_; }
    std::string about() const override {
        if (!about_) return {};
        const ZipBytes entry = attn::take(*about_, keeper_, bytes_);
        return {reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size()};  // NOLINT
    }
    Numbers take(std::size_t k) const override {
        if (!headers_[k].unread.empty())
            of_entry(entries_[k], [&] { refuse_unread_type(headers_[k].unread); });
        const ZipBytes entry = attn::take(entries_[k], keeper_, bytes_);
        return npy_numbers(headers_[k], entry.keeper, entry.bytes, entry.is_mapped);
    }

  private:
    NpyHeader header_of(const ZipEntry& e) const {
        return of_entry(e, [&] {
            constexpr std::size_t usual = 128;
            std::vector<std::byte> begin = peek(e, bytes_, usual);
            if (const std::size_t whole = npy_header_size(begin); whole > usual && whole <= e.size)
                begin = peek(e, bytes_, whole);
            return read_npy_header(begin, e.size);
        });
    }

    std::shared_ptr<const void> keeper_;
    Bytes bytes_;
    std::vector<ZipEntry> entries_;
    std::optional<ZipEntry> about_;
    std::vector<NpyHeader> headers_;
    std::vector<StoredTensor> tensors_;
    std::vector<std::string> besides_;
};

class Safetensors : public TensorFile {
  public:
    Safetensors(std::shared_ptr<const void> keeper, Bytes bytes)
        : keeper_(std::move(keeper)), bytes_(bytes), header_(read_safetensors_header(bytes)) {
        for (const SafetensorsEntry& e : header_.entries)
            tensors_.push_back({e.name, e.shape, e.element, e.unread, e.unread_bytes});
    }
    std::string_view format() const override { return "safetensors"; }
    const std::vector<StoredTensor>& tensors() const override { return tensors_; }
    std::vector<std::string> besides() const override {
        return header_.has_metadata ? std::vector<std::string>{"__metadata__"} : std::vector<std::string>{};
    }
    std::string about() const override {
        for (const auto& [name, text] : header_.metadata)
            if (name == trace_name) return text;
        return {};
    }
    Numbers take(std::size_t k) const override {
        const SafetensorsEntry& e = header_.entries[k];
        if (!e.unread.empty()) refuse_unread(e.name, e.unread);
        return {keeper_,
                bytes_.data() + e.begin,
                *element_count(e.shape),
                e.element,
                std::endian::native != std::endian::little,
                true};
    }

  private:
    std::shared_ptr<const void> keeper_;
    Bytes bytes_;
    SafetensorsHeader header_;
    std::vector<StoredTensor> tensors_;
};

class Gguf : public TensorFile {
  public:
    Gguf(std::shared_ptr<const void> keeper, Bytes bytes)
        : keeper_(std::move(keeper)), bytes_(bytes), header_(read_gguf_header(keeper_, bytes)) {
        for (const GgufTensor& t : header_.tensors) {
            StoredTensor& out = tensors_.emplace_back();
            out.name = t.name;
            out.shape = t.shape;
            if (!t.type->is_read()) {
                out.unread = t.type->name;
                out.unread_bytes = t.bytes;
            } else if (t.type->plain) {
                out.element = *t.type->plain;
            } else {
                out.packed = t.type->name;
                out.packed_bytes = t.bytes;
            }
        }
    }
    std::string_view format() const override { return "gguf"; }
    const std::vector<StoredTensor>& tensors() const override { return tensors_; }
    std::vector<std::string> besides() const override {
        if (header_.pairs.empty()) return {};
        return {how_many(header_.pairs.size(), "pair of metadata", "pairs of metadata")};
    }
    Numbers take(std::size_t k) const override { return gguf_numbers(header_.tensors[k], keeper_, bytes_); }

  private:
    std::shared_ptr<const void> keeper_;
    Bytes bytes_;
    GgufHeader header_;
    std::vector<StoredTensor> tensors_;
};

/// THE TABLE of files of tensors: suffixes, and who reads them.
using Opener = std::unique_ptr<TensorFile> (*)(const FilesBeside& beside, std::shared_ptr<const void> keeper,
                                               Bytes bytes);
template <class File>
std::unique_ptr<TensorFile> open_as(const FilesBeside& /*beside*/, std::shared_ptr<const void> keeper,
                                    Bytes bytes) {
    return std::make_unique<File>(std::move(keeper), bytes);
}
std::unique_ptr<TensorFile> open_torch(const FilesBeside& /*beside*/, std::shared_ptr<const void> keeper,
                                       Bytes bytes) {
    return read_torch_file(std::move(keeper), bytes);
}
struct Suffix {
    std::string_view text;
    Opener open;
};
constexpr Suffix suffixes[] = {{".npy", open_as<Npy>},
                               {".npz", open_as<Npz>},
                               {".safetensors", open_as<Safetensors>},
                               {".gguf", open_as<Gguf>},
                               {".pt", open_torch},
                               {".pth", open_torch},
                               {".bin", open_torch},
                               {".onnx", read_onnx_model},
                               {".pb", read_onnx_tensor},
                               {".index.json", read_shards},
                               {".index.fp16.json", read_shards},
                               {".index.bf16.json", read_shards}};

const Suffix* suffix_of(std::string_view path) {
    for (const Suffix& s : suffixes)
        if (path.ends_with(s.text)) return &s;
    return nullptr;
}

}  // namespace

bool names_tensor_file(std::string_view path) { return suffix_of(path) != nullptr; }

bool names_shard_index(std::string_view path) {
    const Suffix* const s = suffix_of(path);
    return s && s->open == read_shards;
}

std::unique_ptr<TensorFile> read_tensor_file(const std::string& path, std::shared_ptr<const void> keeper,
                                             Bytes bytes, MayLeave may_leave) {
    if (const Suffix* s = suffix_of(path))
        return s->open(FilesBeside(path, std::move(may_leave)), std::move(keeper), bytes);
    std::string read;
    for (const Suffix& s : suffixes) read += (read.empty() ? "" : ", ") + std::string(s.text);
    fail("", "is not a tensor file (by its name)", "files that are read: " + read);
}

std::unique_ptr<TensorFile> open_tensor_file(const std::string& path, MayLeave may_leave) {
    if (!names_tensor_file(path)) return read_tensor_file(path, nullptr, {});
    MappedFile file = map_file(path);
    return read_tensor_file(path, std::move(file.keeper), file.bytes, std::move(may_leave));
}

std::vector<UnreadTensor> take_each(const TensorFile& file,
                                    const std::function<void(const StoredTensor&, Numbers)>& taken) {
    std::vector<UnreadTensor> out;
    for (std::size_t k = 0; k < file.tensors().size(); ++k) {
        const StoredTensor& t = file.tensors()[k];
        if (t.unread.empty()) {
            taken(t, file.take(k));
            continue;
        }
        try {
            file.take(k);
        } catch (const Error& why) {
            out.push_back({t.name, why});
        }
    }
    if (!out.empty() && out.size() == file.tensors().size()) throw Error(out.front().why);
    return out;
}

FileTensors take_all(const TensorFile& file) {
    FileTensors out;
    out.unread = take_each(file, [&](const StoredTensor& t, Numbers numbers) {
        out.tensors.push_back({t.name, t.shape, std::move(numbers), {}});
    });
    out.besides = file.besides();
    return out;
}

}  // namespace attn
