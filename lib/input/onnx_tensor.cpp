#include "lib/input/onnx_tensor.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "lib/error.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using OnnxBytes = std::span<const std::byte>;

constexpr std::size_t most_onnx_axes = 64;

/// Fields of a TensorProto (onnx.proto3); its lists of numbers are below.
enum : std::uint32_t {
    dims_field = 1,
    data_type_field = 2,
    segment_field = 3,
    string_data_field = 6,
    name_field = 8,
    raw_data_field = 9,
    external_data_field = 13,
    data_location_field = 14
};

constexpr OnnxList dims_list{dims_field, Wire::varint, "dims"};
constexpr std::array<OnnxList, onnx_data_lists> data_lists{{{4, Wire::fixed32, "float_data"},
                                                            {5, Wire::varint, "int32_data"},
                                                            {7, Wire::varint, "int64_data"},
                                                            {10, Wire::fixed64, "double_data"},
                                                            {11, Wire::varint, "uint64_data"}}};
constexpr std::uint32_t no_list = 0;

struct OnnxType {
    std::string_view name;
    std::optional<Element> element{};
    std::uint32_t list = no_list;  ///< where its numbers stand if not in raw_data
};
/// THE TABLE of types (TensorProto.DataType); a row's place is the type's number. Those without an element
/// are listed only.
constexpr std::array<OnnxType, 25> onnx_types{{{"UNDEFINED"},
                                               {"FLOAT", Element::float32, 4},
                                               {"UINT8", Element::uint8, 5},
                                               {"INT8", Element::int8, 5},
                                               {"UINT16", Element::uint16, 5},
                                               {"INT16", Element::int16, 5},
                                               {"INT32", Element::int32, 5},
                                               {"INT64", Element::int64, 7},
                                               {"STRING"},
                                               {"BOOL", Element::boolean, 5},
                                               {"FLOAT16", Element::float16, 5},
                                               {"DOUBLE", Element::float64, 10},
                                               {"UINT32", Element::uint32, 11},
                                               {"UINT64", Element::uint64, 11},
                                               {"COMPLEX64"},
                                               {"COMPLEX128"},
                                               {"BFLOAT16", Element::bfloat16, 5},
                                               {"FLOAT8E4M3FN"},
                                               {"FLOAT8E4M3FNUZ"},
                                               {"FLOAT8E5M2"},
                                               {"FLOAT8E5M2FNUZ"},
                                               {"UINT4"},
                                               {"INT4"},
                                               {"FLOAT4E2M1"},
                                               {"FLOAT8E8M0"}}};

std::string onnx_types_read() {
    std::string out = "types that are read:";
    for (const OnnxType& t : onnx_types)
        if (t.element) out += " " + std::string(t.name);
    return out;
}

/// Integers that a type of fewer than 64 bits has; the floating ones stand as their bits.
std::pair<std::int64_t, std::int64_t> range_of(Element e) {
    const auto bits = static_cast<unsigned>(8 * size_of(e));
    if (e == Element::boolean) return {0, 1};
    if (e == Element::int8 || e == Element::int16 || e == Element::int32)
        return {-(std::int64_t{1} << (bits - 1)), (std::int64_t{1} << (bits - 1)) - 1};
    return {0, (std::int64_t{1} << bits) - 1};
}

/// Writes numbers one after another, little endian.
class Gathered {
  public:
    Gathered(const OnnxTensor& tensor, Index count)
        : tensor_(tensor), size_(static_cast<std::size_t>(size_of(tensor.element))) {
        bytes_.reserve(static_cast<std::size_t>(count) * size_);
    }
    void add(OnnxBytes number) { bytes_.insert(bytes_.end(), number.begin(), number.end()); }
    /// A varint. Fields of the type int32 have the low 32 bits of theirs.
    void add(std::uint64_t value) {
        if (tensor_.element != Element::int64 && tensor_.element != Element::uint64) {
            const bool wide = tensor_.element == Element::uint32;
            const auto number = wide ? static_cast<std::int64_t>(value)
                                     : static_cast<std::int64_t>(static_cast<std::int32_t>(value));
            const auto [least, most] = range_of(tensor_.element);
            if (number < least || number > most || (wide && value > std::uint64_t{0xFFFFFFFF}))
                refuse_onnx(tensor_.name, "whose number " + std::to_string(bytes_.size() / size_) + " is " +
                                              (wide ? std::to_string(value) : std::to_string(number)) +
                                              ", which " + std::string(name_of(tensor_.element)) +
                                              " has not");
            value = static_cast<std::uint64_t>(number);
        }
        for (std::size_t k = 0; k < size_; ++k, value >>= 8U)
            bytes_.push_back(static_cast<std::byte>(value & 0xFFU));
    }
    std::vector<std::byte> bytes() && { return std::move(bytes_); }

  private:
    const OnnxTensor& tensor_;
    std::size_t size_;
    std::vector<std::byte> bytes_;
};

/// Calls taken(number) for each number of a list, a span of bytes or a varint.
template <class Taken>
void each_number(OnnxBytes message, const OnnxList& list, Taken taken) {
    WireReader in(message, "a tensor");
    while (const auto f = in.next()) {
        if (f->number != list.field) continue;
        if (f->wire != Wire::bytes) {
            if (list.wire == Wire::varint)
                taken(f->value);
            else
                taken(f->bytes);
            continue;
        }
        if (list.wire == Wire::varint) {
            for (WireReader packed(f->bytes, list.name); !packed.at_end();) taken(packed.varint());
        } else {
            taken(f->bytes);  // as many as there are: they stand one after another
        }
    }
}

/// A decimal number of external data.
std::uint64_t decimal_of(const std::string& text, const std::string& tensor, const char* what) {
    std::uint64_t out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty())
        refuse_onnx(tensor, std::string("whose external data have the ") + what + " " + shown(text) +
                                ", which is no number of bytes");
    return out;
}

}  // namespace

void refuse_onnx(std::string_view name, const std::string& fault, std::string hint) {
    fail("", "holds " + shown(name) + ", " + fault, std::move(hint));
}

void expect_wire(const WireField& field, Wire wire, std::string_view what) {
    if (field.wire == wire) return;
    fail("",
         "has field " + std::to_string(field.number) + " (" + std::string(what) + ") of the wire type " +
             std::to_string(static_cast<int>(field.wire)) + ", expected " +
             std::to_string(static_cast<int>(wire)) + ": it is something else than its name says",
         ".onnx holds a model, .pb one tensor (TensorProto)");
}

std::string onnx_text(const WireField& field, std::string_view what) {
    expect_wire(field, Wire::bytes, what);
    std::string out(reinterpret_cast<const char*>(field.bytes.data()), field.bytes.size());  // NOLINT
    for (std::size_t at = 0; at < out.size();) {
        const CodePoint c = decode_utf8(out, at);
        if (!c.valid) fail("", "holds " + std::string(what) + " " + shown(out) + ", which is not UTF-8");
        at += c.size;
    }
    return out;
}

void OnnxListSeen::add(const WireField& field, const OnnxList& list) {
    if (field.wire != Wire::bytes) {
        expect_wire(field, list.wire, list.name);
        ++count;
        ++pieces;
        last = field.bytes;
        return;
    }
    Index more = 0;
    if (list.wire == Wire::varint) {
        for (WireReader packed(field.bytes, list.name); !packed.at_end(); ++more) packed.varint();
    } else {
        const std::size_t size = list.wire == Wire::fixed32 ? 4 : 8;
        if (field.bytes.size() % size != 0)
            fail("", "has " + std::to_string(field.bytes.size()) + " bytes in a field " +
                         std::string(list.name) + ", which are no whole numbers of " + std::to_string(size) +
                         " bytes");
        more = static_cast<Index>(field.bytes.size() / size);
    }
    if (more == 0) return;
    count += more;
    ++pieces;
    last = field.bytes;
}

const MappedFile& OnnxFiles::open(const std::string& tensor, const std::string& location) {
    const std::string said = "holds " + shown(tensor) + ", whose external data are in";
    const std::string place = beside_.place_of(location, said);
    const auto found = files_.find(place);
    if (found != files_.end()) return found->second;
    try {
        return files_[place] = map_file(place);
    } catch (const Error& error) {
        files_.erase(place);
        fail("", said + " " + shown(location) + ", which " + error.message);
    }
}

Numbers OnnxTensor::numbers() const {
    if (unread == onnx_sparse_word)
        refuse_onnx(name, "which is a " + unread + ": only dense tensors are read");
    if (!unread.empty())
        refuse_onnx(name, "whose numbers are stored as " + unread + ": not read", onnx_types_read());
    const Index count = *element_count(shape);
    constexpr bool swapped = std::endian::native != std::endian::little;
    if (!list) return {keeper, data.data(), count, element, swapped, true};
    Gathered out(*this, count);
    for (const OnnxBytes message : messages)
        each_number(message, *list, [&](auto number) { out.add(number); });
    auto own = std::make_shared<const std::vector<std::byte>>(std::move(out).bytes());
    const std::byte* const begin = own->data();
    return {std::move(own), begin, count, element, swapped, false};
}

void OnnxTensorProto::read(OnnxBytes message) {
    messages_.push_back(message);
    WireReader in(message, "a tensor");
    while (const auto f = in.next()) {
        const auto list = std::find_if(data_lists.begin(), data_lists.end(),
                                       [&](const OnnxList& l) { return l.field == f->number; });
        if (list != data_lists.end()) {
            seen_[static_cast<std::size_t>(list - data_lists.begin())].add(*f, *list);
            continue;
        }
        switch (f->number) {
            case dims_field: {
                const auto axis = [&](std::uint64_t n) {
                    if (shape_.size() == most_onnx_axes)
                        refuse_onnx(name_, "which has more than " + std::to_string(most_onnx_axes) + " axes");
                    shape_.push_back(static_cast<Index>(n));
                };
                if (f->wire != Wire::bytes) {
                    expect_wire(*f, dims_list.wire, dims_list.name);
                    axis(f->value);
                } else {
                    for (WireReader packed(f->bytes, dims_list.name); !packed.at_end();)
                        axis(packed.varint());
                }
                break;
            }
            case data_type_field:
                expect_wire(*f, Wire::varint, "data_type");
                type_ = f->value;
                break;
            case segment_field:
                fail("",
                     "is not a TensorProto of one piece: it has field 3 (segment), as a SequenceProto or an "
                     "OptionalProto has",
                     "one tensor is read from a .pb file");
            case string_data_field:
                expect_wire(*f, Wire::bytes, "string_data");
                ++texts_;
                break;
            case name_field:
                name_ = onnx_text(*f, "the name of a tensor");
                break;
            case raw_data_field:
                expect_wire(*f, Wire::bytes, "raw_data");
                has_raw_ = true;
                raw_ = f->bytes;
                break;
            case external_data_field:
                expect_wire(*f, Wire::bytes, "external_data");
                read_external(f->bytes);
                break;
            case data_location_field:
                expect_wire(*f, Wire::varint, "data_location");
                is_external_ = f->value == 1;
                break;
            default:
                break;
        }
    }
}

void OnnxTensorProto::read_external(OnnxBytes entry) {
    WireReader in(entry, "external_data");
    std::string key, value;
    while (const auto f = in.next()) {
        if (f->number == 1) key = onnx_text(*f, "a key of external data");
        if (f->number == 2) value = onnx_text(*f, "a value of external data");
    }
    external_[key] = value;
}

OnnxTensor OnnxTensorProto::tensor(std::string name, const std::shared_ptr<const void>& keeper,
                                   OnnxFiles& files) const {
    OnnxTensor out;
    out.name = std::move(name);
    out.shape = shape_;
    out.keeper = keeper;
    for (const Index axis : shape_)
        if (axis < 0) refuse_onnx(out.name, "whose shape " + to_string(shape_) + " has a negative axis");
    const std::optional<Index> count = element_count(shape_);
    // 8 bytes for each of them have to be few enough as well.
    if (!count || *count > std::numeric_limits<Index>::max() / 8)
        refuse_onnx(out.name, "whose shape " + clip(to_string(shape_), 60) +
                                  " has too many numbers: their size needs more than 63 bits");
    const OnnxType* type = type_ < onnx_types.size() ? &onnx_types[type_] : nullptr;
    if (!type || !type->element) {
        out.unread = type ? std::string(type->name) : "type " + std::to_string(type_);
        for (const OnnxBytes message : messages_) out.unread_bytes += static_cast<Index>(message.size());
        return out;
    }
    out.element = *type->element;
    const auto list = std::find_if(data_lists.begin(), data_lists.end(),
                                   [&](const OnnxList& l) { return l.field == type->list; });
    place_numbers(out, static_cast<std::size_t>(list - data_lists.begin()), keeper);
    if (is_external_) {
        place_external(out, files);
    } else if (has_raw_ && raw_.size() != idx(*count * size_of(out.element))) {
        refuse_onnx(out.name, "whose raw_data have " + std::to_string(raw_.size()) + " bytes, but " +
                                  how_many(*count, "number", "numbers") + " of " +
                                  std::string(name_of(out.element)) + " have " +
                                  std::to_string(*count * size_of(out.element)));
    } else if (has_raw_) {
        out.data = raw_;
    }
    return out;
}

/// The numbers of a list; refuses what stands in two places.
void OnnxTensorProto::place_numbers(OnnxTensor& out, std::size_t list,
                                    const std::shared_ptr<const void>& keeper) const {
    std::vector<std::string> places;
    if (is_external_) places.emplace_back("external data");
    if (has_raw_ && (!is_external_ || !raw_.empty())) places.emplace_back("raw_data");
    for (std::size_t k = 0; k < data_lists.size(); ++k)
        if (seen_[k].count > 0) places.emplace_back(data_lists[k].name);
    if (texts_ > 0) places.emplace_back("string_data");
    if (places.size() > 1)
        refuse_onnx(out.name, "whose numbers stand in " + places[0] + " and in " + places[1] + " as well");
    if (has_raw_ || is_external_) return;
    const OnnxListSeen& seen = seen_[list];
    const Index count = *element_count(shape_);
    if (seen.count != count || (seen.count == 0 && !places.empty()))
        refuse_onnx(out.name,
                    "whose shape " + to_string(shape_) + " has " + how_many(count, "number", "numbers") +
                        ", but " + std::string(data_lists[list].name) + " has " + std::to_string(seen.count) +
                        (places.empty() || seen.count > 0 ? "" : ": there are some in " + places[0]));
    if (count == 0) return;
    if (seen.pieces == 1 && data_lists[list].wire != Wire::varint) {
        out.data = seen.last;
        return;
    }
    out.messages = messages_;
    out.list = &data_lists[list];
    out.keeper = keeper;
}

void OnnxTensorProto::place_external(OnnxTensor& out, OnnxFiles& files) const {
    const auto location = external_.find("location"), at = external_.find("offset"),
               length = external_.find("length");
    if (location == external_.end())
        refuse_onnx(out.name, "whose data are external, but no location says where");
    const std::uint64_t offset = at == external_.end() ? 0 : decimal_of(at->second, out.name, "offset");
    const MappedFile& file = files.open(out.name, location->second);
    const std::uint64_t size = file.bytes.size();
    const std::uint64_t bytes = length != external_.end() ? decimal_of(length->second, out.name, "length")
                                : offset <= size          ? size - offset
                                                          : 0;
    const std::string where = std::to_string(bytes) + " bytes from the offset " + std::to_string(offset) +
                              " of " + shown(location->second);
    if (offset > size || bytes > size - offset)
        refuse_onnx(out.name, "whose data are " + where + ", which go past its end: it has " +
                                  std::to_string(size) + " bytes");
    const Index wanted = *element_count(shape_) * size_of(out.element);
    if (bytes != static_cast<std::uint64_t>(wanted))
        refuse_onnx(out.name, "whose data are " + where + ", but a length of " + std::to_string(wanted) +
                                  " bytes follows from its shape " + to_string(shape_));
    out.keeper = file.keeper;
    out.data = file.bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(bytes));
}

}  // namespace attn
