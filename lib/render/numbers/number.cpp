#include "lib/render/numbers/number.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

namespace attn {
namespace {

char* write_text(char* to, std::string_view text) { return std::copy(text.begin(), text.end(), to); }

char* write_nonfinite(char* to, bool nan, bool negative, NonFinite policy) {
    if (policy == NonFinite::null) return write_text(to, "null");
    if (policy == NonFinite::empty) return to;
    if (policy == NonFinite::csv) return write_text(to, nan ? "NaN" : negative ? "-inf" : "inf");
    const std::string_view quote = policy == NonFinite::string ? "\"" : "";
    to = write_text(to, quote);
    to = write_text(to, nan ? "NaN" : negative ? "-Infinity" : "Infinity");
    return write_text(to, quote);
}

/// The eight digits of v < 10^8, zeros in front, a byte each, the first one lowest: two, four and eight of
/// them at once, each quotient by a multiplication that is exact in its range.
[[gnu::always_inline]] inline std::uint64_t eight_digits(std::uint32_t v) {
    const std::uint64_t fours = v / 10000 | std::uint64_t{v % 10000} << 32;
    const std::uint64_t hundreds = (fours * 10486 >> 20) & 0x0000007f0000007f;
    const std::uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    const std::uint64_t tens_of = (twos * 103 >> 10) & 0x000f000f000f000f;
    return tens_of | (twos - 10 * tens_of) << 8;
}
constexpr std::uint64_t eight_zeros = 0x3030303030303030;
static_assert(std::endian::native == std::endian::little);

/// digits * 10^exponent
struct Decimal {
    std::uint32_t digits;
    int exponent;
};

/// The leading 64 bits of 10^k, rounded up where there are more: k from lowest_power to highest_power.
constexpr int lowest_power = -31, highest_power = 45;
constexpr auto powers_of_ten = [] {
    __extension__ using Wide = unsigned __int128;  // 5^45 has 105 bits
    std::array<std::uint64_t, highest_power - lowest_power + 1> table{};
    for (int k = lowest_power; k <= highest_power; ++k) {
        Wide five = 1;
        for (int i = 0; i < (k < 0 ? -k : k); ++i) five *= 5;
        std::uint64_t leading = 0;
        bool more = false;
        if (k < 0) {
            Wide rest = 1;
            while (leading >> 63 == 0) {
                rest *= 2;
                leading = leading * 2 + (rest >= five ? 1 : 0);
                if (rest >= five) rest -= five;
            }
            more = rest != 0;
        } else {
            while (five >> 127 == 0) five <<= 1;
            leading = static_cast<std::uint64_t>(five >> 64);
            more = static_cast<std::uint64_t>(five) != 0;
        }
        table[idx(k - lowest_power)] = leading + (more ? 1 : 0);
    }
    return table;
}();

/// The integer part of power * c / 2^64; its last bit is set where anything but zeros was cut off.
[[gnu::always_inline]] inline std::uint32_t to_odd(std::uint64_t power, std::uint32_t c) {
    const std::uint64_t low = (power & 0xffffffff) * c;
    const std::uint64_t high = (power >> 32) * c + (low >> 32);
    return static_cast<std::uint32_t>(high >> 32) | (static_cast<std::uint32_t>(high) > 1 ? 1 : 0);
}

/// The shortest decimal that rounds to a positive finite float, of those the nearest; it may end with zeros.
/// Raffaello Giulietti, The Schubfach way to render doubles, 2021, for 24 bits. What decides between
/// candidates is hard to foretell, so all are made and one is chosen without a branch.
[[gnu::always_inline]] inline Decimal shortest_decimal(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t fraction = bits & 0x7fffff;
    const int biased = static_cast<int>(bits >> 23);
    const std::uint32_t c = biased != 0 ? fraction | 0x800000 : fraction;
    const int q = (biased != 0 ? biased : 1) - 150;  // value = c * 2^q
    // An integer below 2^24: one comparison for all sizes, since those are hard to foretell.
    if (static_cast<std::uint32_t>(-q) <= static_cast<std::uint32_t>(std::countr_zero(c | 0x1000000)))
        return {c >> -q, 0};

    // Below a power of two the gap to the next float is half as wide.
    const bool near_below = fraction == 0 && biased > 1;
    // k = floor(log10 of the gap), and 2 + the bits of 10^-k: integer approximations that hold for all q.
    const int k = (q * 1262611 - (near_below ? 524031 : 0)) >> 22;
    const int h = q + ((-k * 1741647) >> 19) + 1;
    const std::uint64_t power = powers_of_ten[idx(-k - lowest_power)];
    // Four times the value and the ends of what rounds to it, over 10^k.
    const std::uint32_t middle = to_odd(power, (4 * c) << h);
    const std::uint32_t odd = c & 1;  // the ends themselves round to an even float
    const std::uint32_t lower = to_odd(power, (4 * c - 2 + (near_below ? 1 : 0)) << h) + odd;
    const std::uint32_t upper = to_odd(power, (4 * c + 2) << h) - odd;

    const std::uint32_t s = middle / 4, tenth = s / 10, half = 4 * s + 2;
    const std::uint32_t down = lower <= 4 * s, up = 4 * s + 4 <= upper;
    const std::uint32_t tenth_down = lower <= 40 * tenth, tenth_up = 40 * tenth + 40 <= upper;
    const std::uint32_t nearer_up =
        static_cast<std::uint32_t>(middle > half) | (static_cast<std::uint32_t>(middle == half) & s);
    const std::uint32_t only_one = -(down ^ up),
                        shorter = -((tenth_down ^ tenth_up) & static_cast<std::uint32_t>(s >= 10));
    const std::uint32_t full = s + ((up & only_one) | (nearer_up & 1 & ~only_one));
    return {(full & ~shorter) | ((tenth + tenth_up) & shorter), k + static_cast<int>(shorter & 1)};
}

/// How many digits v has, 1 <= v < 10^9, without a branch: for each place of the highest bit the digits that
/// the next power of ten has, less that power where it is among these numbers (Lemire, "Computing the number
/// of digits of an integer even faster", 2021).
constexpr auto lengths_by_bit = [] {
    std::array<std::uint64_t, 32> table{};
    for (int bit = 0; bit < 32; ++bit) {
        std::uint64_t power = 1, digits = 0;  // 10^digits is the least power above 2^bit
        while (power <= std::uint64_t{1} << bit) {
            power *= 10;
            ++digits;
        }
        table[idx(bit)] = ((digits + 1) << 32) - power;
    }
    return table;
}();
int decimal_length(std::uint32_t v) {
    return static_cast<int>((v + lengths_by_bit[idx(31 - std::countl_zero(v | 1))]) >> 32);
}

/// Sixteen characters, the first one lowest.
__extension__ using Sixteen = unsigned __int128;

void store(char* to, Sixteen text) {
    const auto low = static_cast<std::uint64_t>(text), high = static_cast<std::uint64_t>(text >> 64);
    std::memcpy(to, &low, 8);
    std::memcpy(to + 8, &high, 8);
}

/// As std::to_chars lays digits out: plain where that is no longer than with an exponent. Sixteen characters
/// are stored at a time; what is too much of them is written over by the next.
[[gnu::always_inline]] inline char* write_decimal(char* to, bool negative, Decimal d) {
    const std::uint32_t first = d.digits / 100000000;
    const std::uint64_t eight = eight_digits(d.digits - first * 100000000);
    const int all = decimal_length(d.digits);           // digits, zeros at the end too
    const int zeros = std::countl_zero(eight | 1) / 8;  // a nine-digit one never has eight
    const int n = all - zeros, exponent = d.exponent + zeros, point = all + d.exponent;
    // Zeros, and all digits at the end.
    const Sixteen text = Sixteen{eight + eight_zeros} << 64 | (eight_zeros + (std::uint64_t{first} << 56));

    *to = '-';
    to += static_cast<int>(negative);
    const int one = n == 1 ? 1 : 0;
    if (exponent < 0 && exponent >= one - n - 3) {
        // 0.00ddd is digits with zeros in front; whether there are any is hard to foretell.
        const int lead = std::max(1 - point, 0), before = point + lead;
        const Sixteen shown = text >> (8 * (16 - all - lead));
        store(to, shown);
        to[before] = '.';
        store(to + before + 1, shown >> (8 * before));
        return to + n + lead + 1;
    }
    const Sixteen digits = text >> (8 * (16 - all));
    if (exponent >= 0 && exponent <= 5 - one) {
        store(to, digits);
        std::memcpy(to + n, &eight_zeros, 8);
        return to + point;
    }
    to[0] = static_cast<char>(digits & 0xff);
    to[1] = '.';
    store(to + 2, digits >> 8);
    to += n == 1 ? 1 : n + 1;
    to[0] = 'e';
    to[1] = point < 1 ? '-' : '+';
    const int size = std::abs(point - 1);  // below 46
    to[2] = static_cast<char>('0' + size / 10);
    to[3] = static_cast<char>('0' + size % 10);
    return to + 4;
}

/// The longest text of one number.
template <typename Float>
constexpr std::size_t longest_text = std::is_same_v<Float, float> ? 16 : 25;

/// From here on not every integer is a double.
constexpr auto unit_gap = static_cast<double>(std::uint64_t{1} << std::numeric_limits<double>::digits);

char* write_shortest(char* to, float value) {
    return write_decimal(to, std::signbit(value), shortest_decimal(std::abs(value)));
}

char* write_shortest(char* to, double value) {
    char* end = std::to_chars(to, to + room_for_number, value).ptr;
    if (std::abs(value) < unit_gap || std::find(to, end, 'e') != end) return end;
    // A large integer: std::to_chars writes all its digits out, though the first ones tell the double and
    // zeros would do for the rest.
    char text[32];
    char* last = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
    last = std::remove(text, std::find(text, last, 'e'), '.');
    std::fill(std::copy(text, last, to), end, '0');
    return end;
}

template <typename Float>
char* write_any(char* to, Float value, NonFinite policy) {
    if (!std::isfinite(value)) return write_nonfinite(to, std::isnan(value), std::signbit(value), policy);
    // "-0" is an integer to many readers of JSON, and loses its sign there.
    if (value == 0) return write_text(to, std::signbit(value) ? "-0.0" : "0");
    return write_shortest(to, value);
}

/// Neither 0 nor infinite nor NaN.
bool is_plain(float v) {
    const std::uint32_t size = std::bit_cast<std::uint32_t>(v) << 1;
    return size - 1 < 0xff000000 - 1;
}

template <typename Float>
void append_row(std::string& out, std::span<const Float> values, std::string_view between, NonFinite policy) {
    constexpr std::size_t at_once = 64;
    // A separator of a few characters is stored as eight: most are.
    std::array<char, 8> separator{};
    const bool is_short = between.size() <= separator.size();
    if (is_short) std::copy(between.begin(), between.end(), separator.begin());
    for (std::size_t from = 0; from < values.size(); from += at_once) {
        const auto some = values.subspan(from, std::min(at_once, values.size() - from));
        const std::size_t start = out.size();
        out.resize(start + some.size() * (longest_text<Float> + between.size()) + room_for_number);
        char* to = out.data() + start;
        // Digits first, of all: where they stand in the text depends on how many the numbers before have.
        std::array<Decimal, at_once> decimals;  // NOLINT(*-member-init): written before it is read
        if constexpr (std::is_same_v<Float, float>)
            for (std::size_t k = 0; k < some.size(); ++k) decimals[k] = shortest_decimal(std::abs(some[k]));
        for (std::size_t k = 0; k < some.size(); ++k) {
            if (from + k > 0) {
                if (is_short) {
                    std::memcpy(to, separator.data(), separator.size());
                    to += between.size();
                } else {
                    to = write_text(to, between);
                }
            }
            if constexpr (std::is_same_v<Float, float>) {
                if (is_plain(some[k])) {
                    to = write_decimal(to, std::signbit(some[k]), decimals[k]);
                    continue;
                }
            }
            to = write_any(to, some[k], policy);
        }
        out.resize(static_cast<std::size_t>(to - out.data()));
    }
}

constexpr std::array<double, 8> tens{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7};

/// The longest text of write_fixed_fast, and what it takes at `to`.
constexpr std::size_t longest_fixed = 10, most_of_fixed = 24;

/// Fixed digits by one multiplication in double, where its rounding cannot change them: null where the
/// product is so near a half that it might, or does not fit.
[[gnu::always_inline]] inline char* write_fixed_fast(char* to, double value, int precision) {
    if (precision < 1 || precision > 7) return nullptr;
    const double scaled = std::abs(value) * tens[idx(precision)];
    if (!(scaled < 99999999)) return nullptr;
    const auto whole = static_cast<std::int32_t>(scaled);
    const double over = scaled - whole - 0.5;
    if (std::abs(over) <= scaled * 0x1p-52) return nullptr;
    const std::uint64_t digits = eight_digits(static_cast<std::uint32_t>(whole + (over > 0 ? 1 : 0)));
    const std::uint64_t text = digits + eight_zeros;
    const int before = 8 - precision;  // digits before the point, with zeros in front
    const int zeros = std::min(std::countr_zero(digits | std::uint64_t{1} << 63) / 8, before - 1);
    const std::uint64_t integer = text >> (8 * zeros), fraction = text >> (8 * before);
    *to = '-';
    to += std::bit_cast<std::uint64_t>(value) >> 63;  // no branch: signs are hard to foretell
    std::memcpy(to, &integer, 8);
    to += before - zeros;
    *to = '.';
    std::memcpy(to + 1, &fraction, 8);
    return to + 1 + precision;
}

void append_fixed_slowly(std::string& out, double value, int precision, bool exponent) {
    if (!std::isfinite(value)) {
        out += std::isnan(value) ? "nan" : std::signbit(value) ? "-inf" : "inf";
        return;
    }
    precision = std::max(precision, 0);
    // Sign, point, and up to 309 digits before the point (or an exponent of 5 characters).
    const std::size_t most =
        static_cast<std::size_t>(precision) + (!exponent && std::abs(value) >= 1e15 ? 320 : 24);
    const std::size_t start = out.size();
    out.resize(start + most);
    const auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
    const auto end = std::to_chars(out.data() + start, out.data() + out.size(), value, format, precision).ptr;
    out.resize(static_cast<std::size_t>(end - out.data()));
}

}  // namespace

char* write_number(char* to, float value, NonFinite policy) { return write_any(to, value, policy); }
char* write_number(char* to, double value, NonFinite policy) { return write_any(to, value, policy); }
void append_number(std::string& out, float value, NonFinite policy) {
    append_row(out, std::span<const float>(&value, 1), {}, policy);
}
void append_number(std::string& out, double value, NonFinite policy) {
    append_row(out, std::span<const double>(&value, 1), {}, policy);
}
void append_shortest(std::string& out, double value, DType type, NonFinite policy) {
    const auto narrow = static_cast<float>(value);
    if (!is_wide(type) && (static_cast<double>(narrow) == value || !std::isfinite(value)))
        append_number(out, narrow, policy);
    else
        append_number(out, value, policy);
}
void append_numbers(std::string& out, std::span<const float> values, std::string_view between,
                    NonFinite policy) {
    append_row(out, values, between, policy);
}
void append_numbers(std::string& out, std::span<const double> values, std::string_view between,
                    NonFinite policy) {
    append_row(out, values, between, policy);
}

bool has_exponent(double value, int precision) {
    if (value == 0 || !std::isfinite(value)) return false;
    if (std::abs(value) >= exponents_from) return true;
    std::string digits;
    append_fixed(digits, value, precision, false);
    return digits.find_first_of("123456789") == std::string::npos;
}

void append_fixed(std::string& out, double value, int precision, bool exponent) {
    std::array<char, most_of_fixed> text;  // NOLINT(*-member-init): written before it is read
    const char* const end = exponent ? nullptr : write_fixed_fast(text.data(), value, precision);
    if (end) {
        out.append(static_cast<const char*>(text.data()), end);
    } else {
        append_fixed_slowly(out, value, precision, exponent);
    }
}

void append_fixed(std::string& out, std::span<const double> values, int precision, bool exponent,
                  std::vector<std::size_t>& ends) {
    ends.resize(ends.size() + values.size());
    std::size_t* told = ends.data() + (ends.size() - values.size());
    for (std::size_t k = 0; k < values.size();) {
        // As many as go the fast way are written into one stretch of the text.
        const std::size_t stop = exponent ? k : std::min<std::size_t>(values.size(), k + 64);
        const std::size_t start = out.size();
        out.resize(start + (stop - k) * longest_fixed + most_of_fixed);
        char* const begin = out.data();
        char* to = begin + start;
        for (; k < stop; ++k) {
            char* const end = write_fixed_fast(to, values[k], precision);
            if (!end) break;
            to = end;
            *told++ = static_cast<std::size_t>(to - begin);
        }
        out.resize(static_cast<std::size_t>(to - begin));
        if (k < stop || exponent) {
            append_fixed_slowly(out, values[k++], precision, exponent);
            *told++ = out.size();
        }
    }
}

}  // namespace attn
