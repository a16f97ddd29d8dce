#include "lib/input/gguf.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "lib/error.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view gguf_magic = "GGUF";
constexpr std::string_view alignment_key = "general.alignment";
constexpr std::uint64_t usual_alignment = 32;
constexpr std::uint32_t most_dimensions = 4;  // ggml.h, GGML_MAX_DIMS
constexpr std::uint32_t text_type = 8, array_type = 9;

struct ValueType {
    std::string_view name;
    std::optional<Element> element{};
};
/// THE TABLE of types of values; a row's place is the type's number.
constexpr std::array<ValueType, 13> value_types{{{"u8", Element::uint8},
                                                 {"i8", Element::int8},
                                                 {"u16", Element::uint16},
                                                 {"i16", Element::int16},
                                                 {"u32", Element::uint32},
                                                 {"i32", Element::int32},
                                                 {"f32", Element::float32},
                                                 {"bool", Element::boolean},
                                                 {"string"},
                                                 {"array"},
                                                 {"u64", Element::uint64},
                                                 {"i64", Element::int64},
                                                 {"f64", Element::float64}}};

[[noreturn]] void wrong(const std::string& what, const std::string& fault, std::string hint = {}) {
    fail("", "holds " + what + ", " + fault, std::move(hint));
}

/// Reads from the start of a file to where its data begin.
class Reader {
  public:
    Reader(const std::shared_ptr<const void>& keeper, std::span<const std::byte> file)
        : keeper_(keeper), file_(file) {}

    std::size_t at() const { return at_; }
    std::uint64_t left() const { return file_.size() - at_; }
    std::string left_to_end() const {
        return "only " + std::to_string(left()) + " bytes are left to its end";
    }

    /// An unsigned number of a thing whose name is said where the file ends inside it.
    template <class U>
    U number(const std::string& of) {
        if (left() < sizeof(U)) fail("", "ends inside " + of);
        const std::uint64_t out = little_endian(file_.subspan(at_, sizeof(U)));
        at_ += sizeof(U);
        return static_cast<U>(out);
    }

    std::string_view text(const std::string& what) {
        const auto size = number<std::uint64_t>(what);
        if (size > left())
            fail("", "has " + what + " of " + std::to_string(size) + " bytes, but " + left_to_end());
        const auto* begin = reinterpret_cast<const char*>(file_.data() + at_);  // NOLINT
        at_ += static_cast<std::size_t>(size);
        return {begin, static_cast<std::size_t>(size)};
    }

    /// `count` numbers, where they are. There have to be so many.
    Numbers numbers(std::uint64_t count, Element element) {
        const std::byte* const begin = file_.data() + at_;
        at_ += static_cast<std::size_t>(count) * idx(size_of(element));
        return {
            keeper_, begin, static_cast<Index>(count), element, std::endian::native != std::endian::little,
            true};
    }

  private:
    const std::shared_ptr<const void>& keeper_;
    std::span<const std::byte> file_;
    std::size_t at_ = 0;
};

std::uint32_t read_value_type(Reader& in, const std::string& key) {
    const auto type = in.number<std::uint32_t>(key);
    if (type >= value_types.size())
        wrong(key, "whose value has the type " + std::to_string(type) + ", which there is not");
    return type;
}

GgufPair read_pair(Reader& in) {
    GgufPair out;
    out.key = in.text("a key");
    const std::string key = "the key " + shown(out.key);
    std::uint32_t type = read_value_type(in, key);
    std::uint64_t count = 1;
    if (out.is_array = type == array_type; out.is_array) {
        type = read_value_type(in, key);
        if (type == array_type) wrong(key, "an array of arrays: nested arrays are not read");
        count = in.number<std::uint64_t>(key);
    }
    const ValueType& row = value_types[type];
    out.is_text = type == text_type;
    const auto size = out.is_text ? sizeof(std::uint64_t) : static_cast<std::uint64_t>(size_of(*row.element));
    if (count > in.left() / size)
        wrong(key,
              (out.is_array ? "an array of " + std::to_string(count) + " values" : std::string("a value")) +
                  " of the type " + std::string(row.name) + ", but " + in.left_to_end());
    if (out.is_text) {
        const std::string of = "a text below " + key;
        out.texts.reserve(static_cast<std::size_t>(count));
        for (; count > 0; --count) out.texts.push_back(in.text(of));
        return out;
    }
    out.numbers = in.numbers(count, *row.element);
    for (Index k = 0; row.element == Element::boolean && k < out.numbers.size(); ++k)
        if (out.numbers[k] > 1) wrong(key, "a bool that is neither 0 nor 1");
    return out;
}

void check_sizes(GgufTensor& t, const std::string& name) {
    const GgufType& type = *t.type;
    const auto count = element_count(t.shape);
    if (!count || *count > std::numeric_limits<Index>::max() / type.bytes)
        wrong(name, "whose shape " + to_string(t.shape) +
                        " has too many numbers: their size needs more than "
                        "63 bits");
    const Index row = t.shape.empty() ? 1 : t.shape.back();
    if (row % type.numbers != 0)
        wrong(name, "whose rows of " + how_many(row, "number", "numbers") +
                        " are no multiple of the blocks of " + std::to_string(type.numbers) + " of " +
                        std::string(type.name));
    t.bytes = *count / type.numbers * type.bytes;
}

/// The entry of a tensor. \return its offset from the start of the data
std::uint64_t read_tensor_entry(Reader& in, GgufTensor& t) {
    t.name = in.text("the name of a tensor");
    const std::string name = shown(t.name);
    const auto axes = in.number<std::uint32_t>(name);
    if (axes > most_dimensions)
        wrong(name, "which has " + std::to_string(axes) + " dimensions, expected at most " +
                        std::to_string(most_dimensions));
    for (std::uint32_t k = 0; k < axes; ++k) {
        const auto axis = in.number<std::uint64_t>(name);
        if (axis > static_cast<std::uint64_t>(std::numeric_limits<Index>::max()))
            wrong(name, "which has a dimension of the size " + std::to_string(axis));
        t.shape.insert(t.shape.begin(), static_cast<Index>(axis));
    }
    const auto number = in.number<std::uint32_t>(name);
    t.type = gguf_type(number);
    if (!t.type)
        wrong(name, "whose numbers are of the type " + std::to_string(number) + ", which is not known",
              gguf_types_read());
    if (t.type->numbers == 0)
        wrong(name,
              "whose numbers are of the type " + std::string(t.type->name) + " (" + std::to_string(number) +
                  "), " + std::string(t.type->refused),
              gguf_types_read());
    check_sizes(t, name);
    return in.number<std::uint64_t>(name);
}

/// \throws Error where two of the names are one
template <class Entries, class Name>
void check_names(const Entries& entries, const std::string& what, Name name) {
    std::vector<std::string_view> names;
    names.reserve(entries.size());
    for (const auto& entry : entries) names.push_back(name(entry));
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) fail("", "holds " + what + shown(*twice) + " twice");
}

std::uint64_t alignment_of(const std::vector<GgufPair>& pairs) {
    const auto pair =
        std::find_if(pairs.begin(), pairs.end(), [](const GgufPair& p) { return p.key == alignment_key; });
    if (pair == pairs.end()) return usual_alignment;
    const std::string key = "the key " + std::string(alignment_key);
    if (pair->is_array || pair->is_text || pair->numbers.element() != Element::uint32)
        wrong(key, "whose value is not of the type u32");
    const auto alignment = static_cast<std::uint64_t>(pair->numbers[0]);
    if (!std::has_single_bit(alignment))
        wrong(key, "whose value " + std::to_string(alignment) + " is no power of two");
    return alignment;
}

std::uint64_t up_to_multiple(std::uint64_t size, std::uint64_t alignment) {
    return (size + alignment - 1) / alignment * alignment;
}

/// Data follow one another at multiples of the alignment. `offsets` are the tensors'.
void check_data(const std::vector<GgufTensor>& tensors, const std::vector<std::uint64_t>& offsets,
                std::uint64_t begin, std::uint64_t alignment, std::uint64_t size) {
    std::vector<std::size_t> order(tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::pair(offsets[a], tensors[a].bytes) < std::pair(offsets[b], tensors[b].bytes);
    });
    std::uint64_t end = 0;
    for (const std::size_t k : order) {
        const std::uint64_t offset = offsets[k];
        const auto bytes = static_cast<std::uint64_t>(tensors[k].bytes);
        const std::string name = shown(tensors[k].name);
        const std::string whose = "whose offset " + std::to_string(offset);
        if (offset % alignment != 0)
            wrong(name, whose + " is no multiple of the alignment " + std::to_string(alignment));
        if (offset < end) wrong(name, whose + " lies in the bytes of another tensor: they overlap");
        if (bytes > 0 && (begin > size || offset > size - begin || bytes > size - begin - offset))
            wrong(name, "whose " + std::to_string(bytes) + " bytes at the offset " + std::to_string(offset) +
                            " go past the end of the file");
        if (offset > end) wrong(name, "before " + whose + " is a hole of unused bytes");
        end = up_to_multiple(offset + bytes, alignment);
    }
    if (size > begin + end)
        fail("", "has " + std::to_string(size - begin - end) +
                     " unused bytes at its end, behind the last tensor");
}

}  // namespace

GgufHeader read_gguf_header(const std::shared_ptr<const void>& keeper, std::span<const std::byte> file) {
    Reader in(keeper, file);
    const std::string begin = "the numbers of its beginning";
    for (const char c : gguf_magic)
        if (in.left() == 0 || in.number<std::uint8_t>(begin) != static_cast<std::uint8_t>(c))
            fail("", "is not a GGUF file: it does not begin with the magic GGUF");
    const auto version = in.number<std::uint32_t>(begin);
    if (version != 0 && (version & 0xFFFFU) == 0)
        fail("", "is written in the other byte order: its version is big endian", "little endian is read");
    if (version != 2 && version != 3)
        fail("", "is of version " + std::to_string(version) + " of GGUF", "versions that are read: 2, 3");
    const auto tensors = in.number<std::uint64_t>(begin), pairs = in.number<std::uint64_t>(begin);
    // The shortest entries: a name of no bytes, no dimensions, a type and an offset; a key and a byte.
    constexpr std::uint64_t shortest_tensor = 8 + 4 + 4 + 8, shortest_pair = 8 + 4 + 1;
    const auto check_count = [&](std::uint64_t count, std::uint64_t shortest, const std::string& what) {
        if (count > in.left() / shortest)
            fail("", "is said to hold " + std::to_string(count) + " " + what + ", but " + in.left_to_end());
    };
    check_count(tensors, shortest_tensor, "tensors");
    check_count(pairs, shortest_pair, "pairs of metadata");
    GgufHeader out;
    for (std::uint64_t k = 0; k < pairs; ++k) out.pairs.push_back(read_pair(in));
    check_names(out.pairs, "the key ", [](const GgufPair& p) -> std::string_view { return p.key; });
    const std::uint64_t alignment = alignment_of(out.pairs);
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t k = 0; k < tensors; ++k)
        offsets.push_back(read_tensor_entry(in, out.tensors.emplace_back()));
    check_names(out.tensors, "the tensor ", [](const GgufTensor& t) -> std::string_view { return t.name; });
    const std::uint64_t data = up_to_multiple(in.at(), alignment);
    check_data(out.tensors, offsets, data, alignment, file.size());
    for (std::size_t k = 0; k < offsets.size(); ++k)
        out.tensors[k].begin = static_cast<std::size_t>(data + offsets[k]);
    return out;
}

Numbers gguf_numbers(const GgufTensor& tensor, const std::shared_ptr<const void>& keeper,
                     std::span<const std::byte> file) {
    const GgufType& type = *tensor.type;
    if (!type.is_read())
        wrong(shown(tensor.name),
              "whose numbers are of the type " + std::string(type.name) + ", " + std::string(type.refused),
              gguf_types_read());
    const Index count = *element_count(tensor.shape);
    if (count == 0)
        return Numbers(keeper, file.data(), 0, type.plain.value_or(Element::float32), false, true);
    if (type.plain)
        return {keeper,
                file.data() + tensor.begin,
                count,
                *type.plain,
                std::endian::native != std::endian::little,
                true};
    return numbers_of_blocks(type, file.subspan(tensor.begin, idx(tensor.bytes)), count);
}

}  // namespace attn
