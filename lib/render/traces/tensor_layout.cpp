#include "lib/render/traces/tensor_layout.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "lib/text.hpp"

namespace attn {
namespace {

static_assert(std::endian::native == std::endian::little, "headers say that numbers are little-endian");

constexpr std::size_t alignment = 64;

struct TypeNames {
    std::string_view numpy, safetensors;
};
constexpr std::array<TypeNames, 13> type_names{{{"<f8", "F64"},
                                                {"<f4", "F32"},
                                                {"<f2", "F16"},
                                                {"", "BF16"},
                                                {"|i1", "I8"},
                                                {"<i2", "I16"},
                                                {"<i4", "I32"},
                                                {"<i8", "I64"},
                                                {"|u1", "U8"},
                                                {"<u2", "U16"},
                                                {"<u4", "U32"},
                                                {"<u8", "U64"},
                                                {"|b1", "BOOL"}}};

const TypeNames& names_of(Element e) { return type_names[idx(e)]; }

std::size_t rounded_up(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// Appends the lowest `bytes` (up to 8) bytes of a number, the lowest first.
void put(std::string& out, std::uint64_t value, int bytes) {
    for (int k = 0; k < bytes; ++k) out += static_cast<char>(value >> (8 * k) & 0xFFU);
}

std::string npy_header(const TensorHeader& tensor) {
    std::string text =
        "{'descr': '" + std::string(names_of(tensor.element).numpy) + "', 'fortran_order': False, 'shape': (";
    for (std::size_t k = 0; k < tensor.shape.size(); ++k)
        text += (k == 0 ? "" : ", ") + std::to_string(tensor.shape[k]);
    text += tensor.shape.size() == 1 ? ",), }" : "), }";
    constexpr std::size_t fixed = 10;  // magic, version, length
    text.append(rounded_up(fixed + text.size() + 1) - fixed - text.size() - 1, ' ');
    std::string out("\x93NUMPY\x01\x00", 8);
    put(out, text.size() + 1, 2);
    return out + text + "\n";
}

/// One entry of a zip, stored. (PKWARE, APPNOTE 6.3.10, sections 4.3.7, 4.3.12, 4.5.3.)
struct ZipEntry {
    std::string name;
    std::uint32_t crc = 0;
    std::uint64_t size = 0, begin = 0;

    static constexpr std::uint64_t too_large = 0xFFFFFFFF;

    /// Version, flags, method, time and date, CRC-32, sizes: what both headers have in common.
    void put_common(std::string& out) const {
        constexpr unsigned version = 20, zip64_version = 45, utf8 = 1U << 11U, first_of_1980 = 33;
        const bool plain = std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
        put(out, size >= too_large || begin >= too_large ? zip64_version : version, 2);
        put(out, plain ? 0 : utf8, 2);
        put(out, 0, 4);  // stored; midnight
        put(out, first_of_1980, 2);
        put(out, crc, 4);
        put(out, std::min(size, too_large), 4);
        put(out, std::min(size, too_large), 4);
        put(out, name.size(), 2);
    }

    /// What stands before the content, which begins at a multiple of 64 bytes where `aligned`.
    std::string local(bool aligned) const {
        std::string extra;
        if (size >= too_large) {
            put(extra, 1, 2);
            put(extra, 16, 2);
            put(extra, size, 8);
            put(extra, size, 8);
        }
        constexpr std::size_t fixed = 30;
        if (aligned) {
            // The field that Android's zipalign fills in: alignment, then zeros.
            constexpr unsigned zipalign = 0xD935, least = 6;
            const std::size_t end = begin + fixed + name.size() + extra.size() + least;
            const std::size_t zeros = rounded_up(end) - end;
            put(extra, zipalign, 2);
            put(extra, 2 + zeros, 2);
            put(extra, alignment, 2);
            extra.append(zeros, '\0');
        }
        std::string out = "PK\x03\x04";
        put_common(out);
        put(out, extra.size(), 2);
        return out + name + extra;
    }

    std::string central() const {
        std::string fields;
        if (size >= too_large) {
            put(fields, size, 8);
            put(fields, size, 8);
        }
        if (begin >= too_large) put(fields, begin, 8);
        std::string extra;
        if (!fields.empty()) {
            put(extra, 1, 2);
            put(extra, fields.size(), 2);
            extra += fields;
        }
        std::string out = "PK\x01\x02";
        put(out, 45, 2);  // made by: as the newest version that is used here
        put_common(out);
        put(out, extra.size(), 2);
        out.append(10, '\0');  // comment, disk, attributes
        put(out, std::min(begin, too_large), 4);
        return out + name + extra;
    }
};

std::string zip_end(const std::vector<ZipEntry>& entries, std::uint64_t begin) {
    std::string out;
    for (const ZipEntry& e : entries) out += e.central();
    const std::uint64_t count = entries.size(), size = out.size(), end = begin + size;
    if (count >= 0xFFFF || begin >= ZipEntry::too_large || size >= ZipEntry::too_large) {
        out += "PK\x06\x06";
        put(out, 44, 8);
        put(out, 45, 2);
        put(out, 45, 2);
        put(out, 0, 8);
        for (const std::uint64_t v : {count, count, size, begin}) put(out, v, 8);
        out += "PK\x06\x07";
        put(out, 0, 4);
        put(out, end, 8);
        put(out, 1, 4);
    }
    out += "PK\x05\x06";
    put(out, 0, 4);
    put(out, std::min<std::uint64_t>(count, 0xFFFF), 2);
    put(out, std::min<std::uint64_t>(count, 0xFFFF), 2);
    put(out, std::min(size, ZipEntry::too_large), 4);
    put(out, std::min(begin, ZipEntry::too_large), 4);
    put(out, 0, 2);
    return out;
}

std::uint32_t crc_of(std::string_view bytes) {
    return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::uint32_t joined(std::uint32_t first, std::uint32_t second, Index second_bytes) {
    return static_cast<std::uint32_t>(crc32_combine(first, second, static_cast<z_off_t>(second_bytes)));
}

}  // namespace

bool has_numpy_type(Element e) { return !names_of(e).numpy.empty(); }

TensorLayout npy_layout(const TensorHeader& tensor) {
    TensorLayout out;
    std::string header = npy_header(tensor);
    const auto begin = static_cast<Index>(header.size());
    out.parts.push_back({std::move(header), begin});
    out.order = {0};
    out.after_begin = begin + tensor.bytes();
    return out;
}

TensorLayout npz_layout(const std::vector<TensorHeader>& tensors, const std::vector<std::uint32_t>& crcs,
                        std::string_view extra_name, std::string_view extra) {
    TensorLayout out;
    std::vector<ZipEntry> entries;
    std::uint64_t at = 0;
    for (std::size_t k = 0; k < tensors.size(); ++k) {
        const std::string header = npy_header(tensors[k]);
        const Index bytes = tensors[k].bytes();
        const ZipEntry& entry =
            entries.emplace_back(ZipEntry{tensors[k].name + ".npy", joined(crc_of(header), crcs[k], bytes),
                                          header.size() + static_cast<std::uint64_t>(bytes), at});
        std::string before = entry.local(true) + header;
        at += before.size();
        out.parts.push_back({std::move(before), static_cast<Index>(at)});
        out.order.push_back(k);
        at += static_cast<std::uint64_t>(bytes);
    }
    out.after_begin = static_cast<Index>(at);
    if (!extra_name.empty()) {
        const ZipEntry& entry =
            entries.emplace_back(ZipEntry{std::string(extra_name), crc_of(extra), extra.size(), at});
        out.after = entry.local(false) + std::string(extra);
    }
    out.after += zip_end(entries, at + out.after.size());
    return out;
}

TensorLayout safetensors_layout(const std::vector<TensorHeader>& tensors, std::string_view metadata,
                                Index least_header) {
    TensorLayout out;
    out.parts.resize(tensors.size());
    out.order.resize(tensors.size());
    std::iota(out.order.begin(), out.order.end(), std::size_t{0});
    std::stable_sort(out.order.begin(), out.order.end(), [&](std::size_t a, std::size_t b) {
        return size_of(tensors[a].element) > size_of(tensors[b].element);
    });
    Index end = 0;
    for (const std::size_t k : out.order) {
        out.parts[k].data_begin = end;
        end += tensors[k].bytes();
    }
    std::string header = "{";
    if (!metadata.empty()) header += R"("__metadata__":{"attn_calc.json":)" + json_string(metadata) + "}";
    for (std::size_t k = 0; k < tensors.size(); ++k) {
        const Index begin = out.parts[k].data_begin;
        header += (header.size() > 1 ? "," : "") + json_string(tensors[k].name) + R"(:{"dtype":")" +
                  std::string(names_of(tensors[k].element).safetensors) + R"(","shape":)" +
                  to_string(tensors[k].shape) + R"(,"data_offsets":)" +
                  to_string(Shape{begin, begin + tensors[k].bytes()}) + "}";
    }
    header += "}";
    constexpr std::size_t length_bytes = 8;
    const std::size_t least = std::max(header.size(), static_cast<std::size_t>(least_header));
    header.append(rounded_up(length_bytes + least) - length_bytes - header.size(), ' ');
    std::string start;
    put(start, header.size(), length_bytes);
    start += header;
    for (TensorLayout::Part& part : out.parts) part.data_begin += static_cast<Index>(start.size());
    out.after_begin = static_cast<Index>(start.size()) + end;
    if (tensors.empty()) {
        out.after_begin = 0;
        out.after = std::move(start);
    } else {
        out.parts[out.order.front()].before = std::move(start);
    }
    return out;
}

// A CRC is linear: that of a whole is the sum of its pieces', each shifted by what follows it.
void Crc32::add(std::string_view piece, Index after) { value_ ^= joined(crc_of(piece), 0, after); }

}  // namespace attn
