#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/input/files_beside.hpp"
#include "lib/input/mapped_file.hpp"
#include "lib/input/numbers.hpp"
#include "lib/input/protobuf.hpp"
#include "lib/shape.hpp"

namespace attn {

/// A list of numbers in the fields of a message: packed, one by one, or both in turns.
struct OnnxList {
    std::uint32_t field;
    Wire wire;  ///< of one number
    std::string_view name;
};

/// What was seen of such a list.
struct OnnxListSeen {
    Index count = 0;
    int pieces = 0;                     ///< fields that hold some of it
    std::span<const std::byte> last{};  ///< the bytes of the last of them
    /// \throws Error: a field of another wire type, numbers that are cut
    void add(const WireField& field, const OnnxList& list);
};

/// Lists of numbers that a TensorProto has.
constexpr std::size_t onnx_data_lists = 5;
/// What a tensor is called that only says which of its numbers are not 0.
constexpr std::string_view onnx_sparse_word = "sparse_initializer";

struct OnnxTensor {
    std::string name;
    Shape shape;
    Element element = Element::float32;
    std::string unread{};  ///< what it is where its numbers are not read
    Index unread_bytes = 0;
    /// The numbers where they stand in one piece; else the messages whose list they are gathered from.
    std::shared_ptr<const void> keeper{};
    std::span<const std::byte> data{};
    std::vector<std::span<const std::byte>> messages{};
    const OnnxList* list = nullptr;

    /// \throws Error (exit 3): a type that is only listed, a number that its type has not
    Numbers numbers() const;
};

/// Refuses a tensor by its name.
[[noreturn]] void refuse_onnx(std::string_view name, const std::string& fault, std::string hint = {});

/// The text of a field. \throws Error: it is no text, or not UTF-8
std::string onnx_text(const WireField& field, std::string_view what);
/// \throws Error: the field has another wire type
void expect_wire(const WireField& field, Wire wire, std::string_view what);

/// Files of external data, each mapped once.
class OnnxFiles {
  public:
    explicit OnnxFiles(FilesBeside beside) : beside_(std::move(beside)) {}
    const MappedFile& open(const std::string& tensor, const std::string& location);

  private:
    FilesBeside beside_;
    std::map<std::string, MappedFile> files_;
};

/// A TensorProto in the making: its message may come in several pieces, which protocol buffers merge.
class OnnxTensorProto {
  public:
    void read(std::span<const std::byte> message);
    const std::string& name() const { return name_; }
    bool has_type() const { return type_ != 0; }
    /// The tensor, held against its bytes. `keeper` keeps the messages.
    OnnxTensor tensor(std::string name, const std::shared_ptr<const void>& keeper, OnnxFiles& files) const;

  private:
    void read_external(std::span<const std::byte> entry);
    void place_external(OnnxTensor& out, OnnxFiles& files) const;
    void place_numbers(OnnxTensor& out, std::size_t list, const std::shared_ptr<const void>& keeper) const;

    std::vector<std::span<const std::byte>> messages_;
    Shape shape_;
    std::uint64_t type_ = 0;
    std::string name_;
    bool has_raw_ = false, is_external_ = false;
    std::span<const std::byte> raw_{};
    std::array<OnnxListSeen, onnx_data_lists> seen_{};
    Index texts_ = 0;
    std::map<std::string, std::string, std::less<>> external_;
};

}  // namespace attn
