#include "lib/input/safetensors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "lib/error.hpp"
#include "lib/input/read_tensor.hpp"
#include "lib/input/value.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::uint64_t longest_header = 100'000'000;

[[noreturn]] void refuse(const std::string& name, const std::string& what, std::string hint = {}) {
    fail("", "holds " + shown(name) + ", " + what, std::move(hint));
}

constexpr std::string_view types_read = "types that are read: F64 F32 F16 BF16, I64 to I8, U64 to U8, BOOL";

/// THE TABLE of types (safetensors src/tensor.rs, Dtype): what each is read as, or the bits of a number that
/// is only listed.
struct StoredType {
    std::string_view name;
    std::optional<Element> element{};
    Index bits = 0;
};
constexpr StoredType stored_types[] = {{"F64", Element::float64},
                                       {"F32", Element::float32},
                                       {"F16", Element::float16},
                                       {"BF16", Element::bfloat16},
                                       {"I64", Element::int64},
                                       {"I32", Element::int32},
                                       {"I16", Element::int16},
                                       {"I8", Element::int8},
                                       {"U64", Element::uint64},
                                       {"U32", Element::uint32},
                                       {"U16", Element::uint16},
                                       {"U8", Element::uint8},
                                       {"BOOL", Element::boolean},
                                       {"F8_E4M3", {}, 8},
                                       {"F8_E5M2", {}, 8},
                                       {"F8_E8M0", {}, 8},
                                       {"F8_E4M3FNUZ", {}, 8},
                                       {"F8_E5M2FNUZ", {}, 8},
                                       {"F6_E2M3", {}, 6},
                                       {"F6_E3M2", {}, 6},
                                       {"F4", {}, 4},
                                       {"C64", {}, 64}};

const StoredType& type_of(const std::string& name, const Value& dtype) {
    if (dtype.kind != Value::Kind::string) refuse(name, "whose dtype is " + dtype.describe());
    for (const StoredType& t : stored_types)
        if (t.name == dtype.text) return t;
    refuse(name, "whose dtype is " + shown(dtype.text), std::string(types_read));
}

/// A list of integers from 0 to 2^53.
Shape integers(const std::string& name, const Value& list, const char* what) {
    const std::string wrong = std::string("whose ") + what + " is not a list of integers of at least 0";
    if (list.kind != Value::Kind::row || list.row.shape.size() != 1) refuse(name, wrong);
    const Numbers numbers = list.row.as_float64();
    const bool others = list.row.first_of(Scalar::real) != Scalars::none ||
                        list.row.first_of(Scalar::boolean) != Scalars::none ||
                        list.row.first_of(Scalar::nonfinite) != Scalars::none;
    Shape out;
    for (Index k = 0; k < numbers.size(); ++k) {
        const double v = numbers[k];
        if (others || std::signbit(v) || v > 9007199254740992.0) refuse(name, wrong);
        out.push_back(static_cast<Index>(v));
    }
    return out;
}

void read_metadata(const Value& value) {
    bool good = value.kind == Value::Kind::object;
    for (const Member& m : value.members) good = good && m.value.kind == Value::Kind::string;
    if (!good) fail("", "has __metadata__ that does not map names to texts");
}

struct Range {
    std::size_t begin = 0, end = 0;
    std::size_t entry = 0;
};

Range read_entry(const Member& m, SafetensorsEntry& out) {
    out.name = m.name;
    if (m.value.kind != Value::Kind::object) refuse(m.name, "which is " + m.value.describe());
    const auto need = [&](const char* key) -> const Value& {
        const Value* v = m.value.find(key);
        if (!v) refuse(m.name, std::string("which has no ") + key);
        return *v;
    };
    const StoredType& type = type_of(m.name, need("dtype"));
    out.element = type.element.value_or(out.element);
    const Index bits = type.element ? 8 * size_of(*type.element) : type.bits;
    out.shape = integers(m.name, need("shape"), "shape");
    if (out.shape.size() > 64) refuse(m.name, "whose shape has more than 64 axes");
    const Shape offsets = integers(m.name, need("data_offsets"), "data_offsets");
    for (const Member& k : m.value.members)
        if (k.name != "dtype" && k.name != "shape" && k.name != "data_offsets")
            refuse(m.name, "which has the unknown key " + shown(k.name));
    if (offsets.size() != 2 || offsets[0] > offsets[1])
        refuse(m.name, "whose data_offsets are not a begin and an end");
    const auto count = element_count(out.shape);
    if (!count || *count > std::numeric_limits<Index>::max() / bits)
        refuse(m.name, "whose shape has more than 63 bits of bytes");
    if (*count * bits % 8 != 0) refuse(m.name, "whose numbers do not fill whole bytes");
    const Index bytes = *count * bits / 8;
    if (bytes != offsets[1] - offsets[0])
        refuse(m.name, "whose shape " + clip(to_string(out.shape), 60) + " needs " + std::to_string(bytes) +
                           " bytes, but its data_offsets have " + std::to_string(offsets[1] - offsets[0]));
    if (!type.element) {
        out.unread = type.name;
        out.unread_bytes = bytes;
    }
    return {static_cast<std::size_t>(offsets[0]), static_cast<std::size_t>(offsets[1]), 0};
}

void check_ranges(std::vector<Range> ranges, const SafetensorsHeader& header, std::size_t data) {
    std::sort(ranges.begin(), ranges.end(), [](const Range& x, const Range& y) {
        return std::pair(x.begin, x.end) < std::pair(y.begin, y.end);
    });
    std::size_t end = 0;
    for (const Range& r : ranges) {
        const std::string& name = header.entries[r.entry].name;
        if (r.begin < end) refuse(name, "whose data_offsets overlap with those of another tensor");
        if (r.begin > end) refuse(name, "before whose data_offsets is a hole of unused bytes");
        end = r.end;
        if (end > data) refuse(name, "whose data_offsets go past the end of the file");
    }
    if (end != data)
        fail("", "has " + std::to_string(data - end) + " unused bytes at its end, behind the last tensor");
}

Document read_json(std::string_view text) {
    try {
        std::vector<Document> documents = parse_documents(Source("", std::string(text)));
        if (documents.size() != 1) fail("", "there is more than one object");
        return std::move(documents.front());
    } catch (const Error& error) {
        fail("",
             "has a header that is wrong: " +
                 (error.pointer.empty() ? "" : clip(visible(error.pointer), 80) + " ") + error.message,
             error.hint);
    }
}

}  // namespace

void refuse_unread(const std::string& name, const std::string& type) {
    refuse(name, "whose numbers are of the type " + type + ", which is not read", std::string(types_read));
}

SafetensorsHeader read_safetensors_header(std::span<const std::byte> file) {
    if (file.size() < 8)
        fail("", "is not a safetensors file: its " + std::to_string(file.size()) +
                     " bytes are too short for the length of a header");
    const std::uint64_t length = little_endian(file.first(8));
    if (length > longest_header || length > file.size() - 8)
        fail("", "is said to have a header of " + std::to_string(length) + " bytes, but the file has " +
                     std::to_string(file.size()));
    const auto size = static_cast<std::size_t>(length);
    const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, size);  // NOLINT
    if (!text.starts_with('{')) fail("", "has a header that does not begin with {");
    const Document document = read_json(text);
    SafetensorsHeader out;
    std::vector<Range> ranges;
    for (const Member& m : document.root.members) {
        if (m.name == "__metadata__") {
            read_metadata(m.value);
            out.has_metadata = true;
            for (const Member& said : m.value.members) out.metadata.emplace_back(said.name, said.value.text);
            continue;
        }
        SafetensorsEntry& entry = out.entries.emplace_back();
        ranges.push_back(read_entry(m, entry));
        ranges.back().entry = out.entries.size() - 1;
        entry.begin = 8 + size + ranges.back().begin;
    }
    check_ranges(std::move(ranges), out, file.size() - 8 - size);
    return out;
}

}  // namespace attn
