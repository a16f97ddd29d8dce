#include "lib/input/npy.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "lib/error.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view magic{"\x93NUMPY", 6};

[[noreturn]] void refuse_header(const std::string& what) { fail("", "has a header that " + what); }

/// numpy's names of types: byte order, kind, bytes.
void read_type(std::string_view descr, NpyHeader& out) {
    struct Type {
        std::string_view name;
        Element element;
    };
    constexpr Type types[] = {{"f8", Element::float64}, {"f4", Element::float32}, {"f2", Element::float16},
                              {"i1", Element::int8},    {"i2", Element::int16},   {"i4", Element::int32},
                              {"i8", Element::int64},   {"u1", Element::uint8},   {"u2", Element::uint16},
                              {"u4", Element::uint32},  {"u8", Element::uint64},  {"b1", Element::boolean}};
    const char order = descr.empty() ? ' ' : descr.front();
    const std::string_view name = descr.empty() ? descr : descr.substr(1);
    for (const Type& t : types) {
        if (t.name != name || std::string_view("<>=|").find(order) == std::string_view::npos) continue;
        if (order == '|' && size_of(t.element) > 1) break;
        constexpr char other = std::endian::native == std::endian::little ? '>' : '<';
        out.element = t.element;
        out.swapped = order == other && size_of(t.element) > 1;
        return;
    }
    out.unread = descr.empty() ? "\"\"" : std::string(descr);
}

/// A Python dictionary literal of three keys: strings, True, False, and tuples of integers.
class Dictionary {
  public:
    /// `python2`: lengths may end in L, as Python 2 wrote them; numpy takes them up to version 2.0.
    Dictionary(std::string_view text, bool python2) : left_(text), python2_(python2) {}

    void read(NpyHeader& out) {
        bool seen[3] = {};
        expect('{');
        while (!next_is('}')) {
            const std::string_view key = string();
            expect(':');
            const int k = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
            if (k < 0) refuse_header("has the key " + shown(key));
            if (seen[k]) refuse_header("has the key " + shown(key) + " twice");
            seen[k] = true;
            if (k == 0) {
                if (next_is('[')) {
                    out.unread = fields();
                } else {
                    read_type(string(), out);
                }
            } else if (k == 1) {
                out.fortran = boolean();
            } else {
                out.shape = tuple();
            }
            if (!next_is(',')) {
                expect_end();
                break;
            }
            left_.remove_prefix(1);
        }
        expect('}');
        skip();
        if (!left_.empty()) refuse_header("goes on behind its dictionary");
        for (const bool s : seen)
            if (!s) refuse_header("lacks one of descr, fortran_order, shape");
    }

  private:
    void skip() { left_.remove_prefix(std::min(left_.find_first_not_of(" \t\n\r"), left_.size())); }
    bool next_is(char c) {
        skip();
        return left_.starts_with(c);
    }
    void expect(char c) {
        if (!next_is(c)) refuse_header(std::string("is not a dictionary: '") + c + "' is missing");
        left_.remove_prefix(1);
    }
    void expect_end() {
        if (!next_is('}')) refuse_header("is not a dictionary: ',' or '}' is missing");
    }
    std::string_view string() {
        skip();
        if (left_.empty() || (left_.front() != '\'' && left_.front() != '"'))
            refuse_header("is not a dictionary: a name in quotes is missing");
        const std::size_t end = left_.find(left_.front(), 1);
        if (end == std::string_view::npos) refuse_header("has a text without an end");
        const std::string_view text = left_.substr(1, end - 1);
        if (text.find('\\') != std::string_view::npos) refuse_header("has a backslash in a text");
        left_.remove_prefix(end + 1);
        return text;
    }
    /// A structured type, as it is written: [('x', '<f4'), ('y', '<i2', (3,))].
    std::string_view fields() {
        const std::string_view begin = left_;
        std::string open;  // the brackets that have to close, the last one first
        do {
            skip();
            const char c = left_.empty() ? '\0' : left_.front();
            std::size_t size = 1;
            if (c == '\'' || c == '"') {  // the name of a field, which may have escapes
                while (size < left_.size() && left_[size] != c) size += left_[size] == '\\' ? 2 : 1;
                ++size;
            }
            if (size > left_.size()) refuse_header("has a structured type without an end");
            if (c == '[' || c == '(') open += c == '[' ? ']' : ')';
            if (c == ']' || c == ')') {
                if (c != open.back()) refuse_header("has a structured type whose brackets do not match");
                open.pop_back();
            }
            left_.remove_prefix(size);
        } while (!open.empty());
        return begin.substr(0, begin.size() - left_.size());
    }
    bool boolean() {
        skip();
        for (const bool value : {true, false}) {
            const std::string_view word = value ? "True" : "False";
            if (!left_.starts_with(word)) continue;
            left_.remove_prefix(word.size());
            return value;
        }
        refuse_header("has a fortran_order that is neither True nor False");
    }
    Shape tuple() {
        skip();
        if (!left_.starts_with('(')) refuse_header("has a shape that is not a tuple");
        left_.remove_prefix(1);
        Shape out;
        while (!next_is(')')) {
            Index n = 0;
            const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), n);
            if (error != std::errc{} || n < 0 || left_.front() == '-')
                refuse_header("has a shape that is not a tuple of axis lengths of at most 63 bits");
            const auto digits = static_cast<std::size_t>(end - left_.data());
            if (left_.front() == '0' && n != 0)
                refuse_header("has a shape with " + std::string(left_.substr(0, digits)) +
                              ", which Python does not read: numbers do not begin with 0");
            left_.remove_prefix(digits);
            if (python2_ && left_.starts_with('L')) left_.remove_prefix(1);
            out.push_back(n);
            if (next_is(',')) {
                left_.remove_prefix(1);
            } else if (!next_is(')')) {
                refuse_header("has a shape that is not a tuple of axis lengths");
            } else if (out.size() == 1) {
                refuse_header("has a shape that is a number, expected a tuple");
            }
        }
        left_.remove_prefix(1);
        if (out.size() > 64) refuse_header("has a shape of more than 64 axes");
        return out;
    }

    std::string_view left_;
    bool python2_;
};

bool is_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint c = decode_utf8(text, at);
        if (!c.valid) return false;
        at += c.size;
    }
    return true;
}

std::size_t length_bytes(std::span<const std::byte> bytes) { return bytes[6] == std::byte{1} ? 2 : 4; }

/// From the first axis running fastest to the last.
std::shared_ptr<std::vector<std::byte>> transposed(const Shape& shape, std::size_t size,
                                                   const std::byte* from) {
    const auto count = static_cast<std::size_t>(*element_count(shape));
    auto out = std::make_shared<std::vector<std::byte>>(count * size);
    std::vector<std::size_t> place(shape.size()), stride(shape.size());
    for (std::size_t a = 0, step = 1; a < shape.size(); step *= static_cast<std::size_t>(shape[a++]))
        stride[a] = step;
    std::size_t at = 0;
    for (std::size_t k = 0; k < count; ++k) {
        std::memcpy(out->data() + k * size, from + at * size, size);
        for (std::size_t a = shape.size(); a-- > 0;) {
            at += stride[a];
            if (++place[a] < static_cast<std::size_t>(shape[a])) break;
            at -= place[a] * stride[a];
            place[a] = 0;
        }
    }
    return out;
}

}  // namespace

std::size_t npy_header_size(std::span<const std::byte> bytes) {
    if (bytes.size() < 12) return 0;
    const std::size_t n = length_bytes(bytes);
    return 8 + n + static_cast<std::size_t>(little_endian(bytes.subspan(8, n)));
}

NpyHeader read_npy_header(std::span<const std::byte> bytes, std::size_t total) {
    if (total == 0) fail("", "is empty, expected the magic of an npy file");
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());  // NOLINT
    if (!text.starts_with(magic.substr(0, std::min(magic.size(), text.size()))) || text.size() < 6)
        fail("", "is not an npy file: it does not begin with \\x93NUMPY");
    if (total < 12 || bytes.size() < 12) fail("", "is an npy file without a header: it is cut short");
    const auto major = std::to_integer<int>(bytes[6]), minor = std::to_integer<int>(bytes[7]);
    if (major < 1 || major > 3 || minor != 0)
        fail("", "is npy of version " + std::to_string(major) + "." + std::to_string(minor) +
                     ", expected 1.0, 2.0 or 3.0");
    NpyHeader out;
    out.data_begin = npy_header_size(bytes);
    if (out.data_begin > total || out.data_begin > bytes.size())
        refuse_header("is said to end at byte " + std::to_string(out.data_begin) +
                      ", but the file is too short: " + std::to_string(total) + " bytes");
    const std::size_t begin = 8 + length_bytes(bytes);
    const std::string_view header = text.substr(begin, out.data_begin - begin);
    if (header.size() > 65536) refuse_header("is longer than 65536 bytes");
    if (major == 3 && !is_utf8(header)) refuse_header("is not UTF-8");
    Dictionary(header, major < 3).read(out);
    const auto count = element_count(out.shape);
    const Index most = std::numeric_limits<Index>::max() / size_of(out.element);
    if (!count || *count > most) refuse_header("has a shape of more than 63 bits of bytes");
    if (!out.unread.empty()) return out;
    const std::size_t found = total - out.data_begin;
    if (found != out.data_size())
        fail("", "holds " + std::to_string(found) + " bytes of data, but its shape " +
                     clip(to_string(out.shape), 60) + " of " + std::string(name_of(out.element)) + " needs " +
                     std::to_string(out.data_size()));
    return out;
}

void refuse_unread_type(const std::string& descr) {
    if (descr.starts_with('['))
        fail("", "holds numbers of a structured type (descr of its header)",
             "plain arrays of numbers are read");
    fail("", "holds numbers of dtype " + shown(descr),
         descr.ends_with("O") ? "arrays of objects (pickles) are never read"
                              : "types that are read: f2 f4 f8, i1 to i8, u1 to u8, b1");
}

Numbers npy_numbers(const NpyHeader& header, std::shared_ptr<const void> keeper,
                    std::span<const std::byte> bytes, bool is_mapped) {
    const std::byte* data = bytes.data() + header.data_begin;
    const Index count = *element_count(header.shape);
    if (header.fortran && header.shape.size() > 1) {
        auto own = transposed(header.shape, static_cast<std::size_t>(size_of(header.element)), data);
        data = own->data();
        return {std::move(own), data, count, header.element, header.swapped, false};
    }
    return {std::move(keeper), data, count, header.element, header.swapped, is_mapped};
}

}  // namespace attn
