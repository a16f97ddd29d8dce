#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/file_tensors.hpp"
#include "lib/input/files_beside.hpp"
#include "lib/shape.hpp"

namespace attn {

/// One array of a file, found and checked; its numbers are taken when they are asked for.
struct StoredTensor {
    std::string name;
    Shape shape;
    Element element = Element::float32;
    /// A type whose numbers are not read, as the file calls it: listed, and refused where it is taken.
    std::string unread{};
    Index unread_bytes = 0;
    /// The type of blocks (Q4_0, ...) that its numbers are calculated from when they are taken, and their
    /// bytes.
    std::string packed{};
    Index packed_bytes = 0;

    std::string_view type() const { return unread.empty() ? name_of(element) : std::string_view(unread); }
    /// As many as the file has of it.
    Index bytes() const {
        if (!unread.empty()) return unread_bytes;
        return packed.empty() ? *element_count(shape) * size_of(element) : packed_bytes;
    }
};

/// A file of tensors: npy (one array without a name), npz, safetensors, gguf, files of torch.save, ONNX,
/// shards. Everything that the file says of itself is checked when it is opened, an array's checksum when it
/// is taken. Nothing is copied that can be used where it is mapped. Sources: numpy lib/_format_impl.py and
/// lib/_npyio_impl.py, PKWARE APPNOTE 6.3.10, safetensors src/tensor.rs, ggml docs/gguf.md; README of the
/// formats in docs/formats.md.
class TensorFile {
  public:
    virtual ~TensorFile() = default;
    virtual std::string_view format() const = 0;
    virtual const std::vector<StoredTensor>& tensors() const = 0;
    /// What the file holds besides tensors, in words.
    virtual std::vector<std::string> besides() const { return {}; }
    /// What a trace of attn-calc says of itself: the text of attn_calc.json (npz: an entry; safetensors: a
    /// member of __metadata__). Empty: the file has none.
    virtual std::string about() const { return {}; }
    /// The numbers of tensor k, row-major. \throws Error as open_tensor_file
    virtual Numbers take(std::size_t k) const = 0;
    /// Whether taking an array looks at all its bytes.
    virtual bool has_checksums() const { return false; }
};

/// Whether a name ends as one of a file of tensors does, and as one of an index of shards.
bool names_tensor_file(std::string_view path);
bool names_shard_index(std::string_view path);

/// \throws Error (exit 3): what cannot be read or is not what its name says. The message follows the file's
/// name: "has a header of 70 bytes, ...".
std::unique_ptr<TensorFile> open_tensor_file(const std::string& path, MayLeave may_leave = {});

/// The same for bytes that `keeper` keeps. `path` says by its suffix what they are, and by its folder where
/// the files are that they name.
std::unique_ptr<TensorFile> read_tensor_file(const std::string& path, std::shared_ptr<const void> keeper,
                                             std::span<const std::byte> bytes, MayLeave may_leave = {});

/// Calls read() and says of which file its Error is.
template <class Read>
auto of_file(const std::string& path, Read read) {
    try {
        return read();
    } catch (Error& error) {
        error.place.file = path;
        error.message = "the file " + error.message;
        throw;
    }
}

/// Hands a file's tensors on, one after the other, but for those of a type that is not read.
/// \return those. \throws Error as open_tensor_file; where every tensor is such a one
std::vector<UnreadTensor> take_each(const TensorFile& file,
                                    const std::function<void(const StoredTensor&, Numbers)>& taken);

/// All of a file's tensors by take_each().
FileTensors take_all(const TensorFile& file);

}  // namespace attn
