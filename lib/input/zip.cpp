#include "lib/input/zip.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "lib/error.hpp"
#include "lib/input/numbers.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t max32 = 0xFFFFFFFF, max16 = 0xFFFF;
constexpr std::size_t end_size = 22, end64_size = 56, locator_size = 20, central_size = 46, local_size = 30;
/// deflate cannot do better (zlib's technical notes).
constexpr std::uint64_t largest_ratio = 1032;

[[noreturn]] void refuse(const std::string& what) {
    fail("", "is not a zip archive (as npz is one) that can be read: " + what);
}

/// Little-endian numbers at a place that has been checked.
std::uint64_t number(Bytes b, std::size_t at, std::size_t bytes) {
    return little_endian(b.subspan(at, bytes));
}

/// `size` bytes at `at` are there.
bool has(Bytes b, std::uint64_t at, std::uint64_t size) { return at <= b.size() && size <= b.size() - at; }

struct Directory {
    std::uint64_t begin = 0, size = 0, count = 0;
    std::uint64_t shift = 0;  ///< bytes before the archive
};

std::size_t find_end(Bytes b) {
    if (b.empty()) refuse("it is empty");
    if (b.size() < end_size) refuse("it is too short for a zip");
    const std::size_t last = b.size() - end_size, first = last > max16 ? last - max16 : 0;
    for (std::size_t at = last + 1; at-- > first;)
        if (number(b, at, 4) == 0x06054b50 && number(b, at + 20, 2) == b.size() - at - end_size) return at;
    refuse("its zip has no end record");
}

Directory read_end(Bytes b) {
    const std::size_t end = find_end(b);
    if (number(b, end + 4, 2) != number(b, end + 6, 2)) refuse("it is one of several parts");
    Directory d{number(b, end + 16, 4), number(b, end + 12, 4), number(b, end + 10, 2), 0};
    std::uint64_t stop = end;
    if (end >= locator_size && number(b, end - locator_size, 4) == 0x07064b50) {
        const std::uint64_t at = number(b, end - locator_size + 8, 8);
        if (!has(b, at, end64_size) || at + end64_size > end - locator_size || number(b, at, 4) != 0x06064b50)
            refuse("its zip64 end record is not where it is said to be");
        if (number(b, at + 4, 8) + 12 != end - locator_size - at)
            refuse("its zip64 end record has another size");
        d = {number(b, at + 48, 8), number(b, at + 40, 8), number(b, at + 32, 8), 0};
        stop = at;
    } else if (d.begin == max32 || d.size == max32 || d.count == max16) {
        refuse("its zip64 end record is missing");
    }
    if (d.size > stop || d.begin > stop - d.size) refuse("its directory is not inside the file");
    d.shift = stop - d.size - d.begin;
    if (d.count > d.size / central_size) refuse("its directory is too short for its entries");
    return d;
}

/// The zip64 extra field replaces the sizes that do not fit 32 bits, in this order.
void read_zip64(Bytes extra, std::uint64_t& size, std::uint64_t& stored, std::uint64_t* offset) {
    for (std::size_t at = 0; at + 4 <= extra.size();) {
        const std::uint64_t id = number(extra, at, 2), length = number(extra, at + 2, 2);
        if (!has(extra, at + 4, length)) refuse("an extra field is cut");
        if (id == 1) {
            std::size_t next = at + 4;
            const std::size_t stop = next + static_cast<std::size_t>(length);
            for (std::uint64_t* field : {&size, &stored, offset}) {
                if (!field || *field != max32) continue;
                if (next + 8 > stop) refuse("a zip64 field is cut");
                *field = number(extra, next, 8);
                next += 8;
            }
        }
        at += 4 + static_cast<std::size_t>(length);
    }
}

std::string text_of(Bytes b) {
    std::string out(b.size(), '\0');
    std::transform(b.begin(), b.end(), out.begin(), [](std::byte c) { return static_cast<char>(c); });
    return out;
}

void check_utf8(const std::string& name) {
    for (std::size_t at = 0; at < name.size();) {
        const CodePoint c = decode_utf8(name, at);
        if (!c.valid) refuse("the name " + shown(name) + " is not UTF-8");
        at += c.size;
    }
}

/// Holds the local header of an entry against the directory; returns where its bytes begin.
std::size_t read_local(Bytes b, const ZipEntry& e, std::uint64_t at, std::uint64_t flags) {
    const std::string name = shown(e.name);
    if (!has(b, at, local_size) || number(b, at, 4) != 0x04034b50)
        refuse("there is no local header of " + name + " where its directory says");
    const std::uint64_t name_size = number(b, at + 26, 2), extra_size = number(b, at + 28, 2);
    if (!has(b, at + local_size, name_size + extra_size)) refuse("the local header of " + name + " is cut");
    const Bytes header = b.subspan(at, local_size);
    if (text_of(b.subspan(at + local_size, name_size)) != e.name)
        refuse("the local header of " + name + " has another name than the directory");
    if (number(header, 8, 2) != (e.deflated ? 8U : 0U) || number(header, 6, 2) != flags)
        refuse("the local header of " + name + " has another method than the directory");
    const std::uint64_t begin = at + local_size + name_size + extra_size;
    if ((flags & 8) == 0) {
        std::uint64_t size = number(header, 22, 4), stored = number(header, 18, 4);
        read_zip64(b.subspan(at + local_size + name_size, extra_size), size, stored, nullptr);
        if (size != e.size || stored != e.stored || number(header, 14, 4) != e.crc)
            refuse("the local header of " + name + " has other sizes than the directory");
    }
    return static_cast<std::size_t>(begin);
}

void check_apart(std::vector<std::pair<std::uint64_t, std::uint64_t>> parts, std::uint64_t end) {
    std::sort(parts.begin(), parts.end());
    parts.emplace_back(end, end);
    for (std::size_t k = 0; k + 1 < parts.size(); ++k)
        if (parts[k].second > parts[k + 1].first) refuse("parts of it overlap");
}

class Inflater {
  public:
    explicit Inflater(Bytes in) : in_(in) {
        if (inflateInit2(&z_, -MAX_WBITS) != Z_OK) throw Error(Exit::resource, {}, "zlib does not start");
    }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    ~Inflater() { inflateEnd(&z_); }

    /// Fills `out` as far as the stream goes; returns how many bytes were made.
    std::size_t fill(std::span<std::byte> out) {
        constexpr std::size_t piece = std::size_t{1} << 30;
        std::size_t made = 0;
        int status = Z_OK;
        do {
            if (z_.avail_in == 0) {
                const std::size_t n = std::min(in_.size() - used_, piece);
                // zlib does not write there.
                z_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in_.data() + used_));  // NOLINT
                z_.avail_in = static_cast<uInt>(n);
                used_ += n;
            }
            const std::size_t n = std::min(out.size() - made, piece);
            std::byte none{};
            z_.next_out = reinterpret_cast<Bytef*>(n == 0 ? &none : out.data() + made);  // NOLINT
            z_.avail_out = static_cast<uInt>(n);
            status = inflate(&z_, Z_NO_FLUSH);
            made += n - z_.avail_out;
            ended_ = status == Z_STREAM_END;
        } while (status == Z_OK && made < out.size());
        return made;
    }
    /// The stream ended with its last byte, and with the last of the entry.
    bool is_whole() {
        std::byte more{};
        if (!ended_ && fill({&more, 1}) > 0) return false;
        return ended_ && z_.avail_in == 0 && used_ == in_.size();
    }

  private:
    Bytes in_;
    std::size_t used_ = 0;
    bool ended_ = false;
    z_stream z_{};
};

std::uint32_t crc_of(Bytes b) {
    constexpr std::size_t piece = std::size_t{1} << 30;
    uLong crc = crc32(0, nullptr, 0);
    for (std::size_t at = 0; at < b.size(); at += piece)
        crc = crc32(crc, reinterpret_cast<const Bytef*>(b.data() + at),  // NOLINT
                    static_cast<uInt>(std::min(piece, b.size() - at)));
    return static_cast<std::uint32_t>(crc);
}

}  // namespace

std::vector<ZipEntry> read_zip(Bytes b) {
    const Directory d = read_end(b);
    std::vector<ZipEntry> out;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;
    const std::uint64_t stop = d.shift + d.begin + d.size;
    std::uint64_t at = d.shift + d.begin;
    for (std::uint64_t k = 0; k < d.count; ++k) {
        if (stop - at < central_size || number(b, at, 4) != 0x02014b50) refuse("its directory is damaged");
        const std::uint64_t flags = number(b, at + 8, 2), method = number(b, at + 10, 2),
                            name_size = number(b, at + 28, 2), extra_size = number(b, at + 30, 2),
                            comment_size = number(b, at + 32, 2);
        if (stop - at - central_size < name_size + extra_size + comment_size) refuse("its directory is cut");
        ZipEntry e;
        e.name = text_of(b.subspan(at + central_size, name_size));
        if ((flags & 0x800) != 0) check_utf8(e.name);
        if ((flags & 0x2041) != 0) refuse(shown(e.name) + " is encrypted");
        if (method != 0 && method != 8)
            refuse(shown(e.name) + " is compressed by method " + std::to_string(method) +
                   ": stored and deflated are read");
        e.deflated = method == 8;
        e.crc = static_cast<std::uint32_t>(number(b, at + 16, 4));
        std::uint64_t stored = number(b, at + 20, 4), size = number(b, at + 24, 4),
                      local = number(b, at + 42, 4);
        read_zip64(b.subspan(at + central_size + name_size, extra_size), size, stored, &local);
        if (stored > b.size()) refuse(shown(e.name) + " is longer than the file");
        if (!e.deflated && stored != size) refuse(shown(e.name) + " is stored in another size than its own");
        if (e.deflated && (size == 0 || size / largest_ratio > stored))
            refuse(shown(e.name) + " cannot have the size " + std::to_string(size) +
                   " that its directory says");
        e.stored = static_cast<std::size_t>(stored);
        e.size = static_cast<std::size_t>(size);
        if (local > b.size() - d.shift)
            refuse("the local header of " + shown(e.name) + " is not in the file");
        local += d.shift;
        e.begin = read_local(b, e, local, flags);
        if (!has(b, e.begin, e.stored)) refuse(shown(e.name) + " goes past the end of the file");
        parts.emplace_back(local, e.begin + e.stored);
        at += central_size + name_size + extra_size + comment_size;
        out.push_back(std::move(e));
    }
    if (at != stop) refuse("its directory has another length than it says");
    check_apart(std::move(parts), d.shift + d.begin);
    std::vector<const std::string*> names;
    for (const ZipEntry& e : out) names.push_back(&e.name);
    std::sort(names.begin(), names.end(), [](auto* x, auto* y) { return *x < *y; });
    for (std::size_t k = 1; k < names.size(); ++k)
        if (*names[k] == *names[k - 1]) refuse("the name " + shown(*names[k]) + " stands in it twice");
    return out;
}

ZipBytes take(const ZipEntry& e, const std::shared_ptr<const void>& keeper, Bytes archive) {
    const Bytes in = archive.subspan(e.begin, e.stored);
    ZipBytes out{keeper, in, true};
    if (e.deflated) {
        auto own = std::make_shared<std::vector<std::byte>>(e.size);
        Inflater inflater(in);
        if (inflater.fill(*own) != e.size || !inflater.is_whole())
            refuse(shown(e.name) + " does not inflate to the " + std::to_string(e.size) +
                   " bytes that its directory says");
        out = {own, *own, false};
    }
    if (crc_of(out.bytes) != e.crc) refuse(shown(e.name) + " is corrupt: its checksum (CRC-32) is another");
    return out;
}

std::vector<std::byte> peek(const ZipEntry& e, Bytes archive, std::size_t most) {
    const Bytes in = archive.subspan(e.begin, e.stored);
    std::vector<std::byte> out(std::min(most, e.size));
    if (!e.deflated) {
        std::copy_n(in.begin(), out.size(), out.begin());
        return out;
    }
    out.resize(Inflater(in).fill(out));
    return out;
}

}  // namespace attn
