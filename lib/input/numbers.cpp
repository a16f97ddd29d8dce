#include "lib/input/numbers.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <tuple>

#include "lib/input/mapped_file.hpp"

namespace attn {
namespace {

struct ElementInfo {
    std::string_view name;
    Index size;
};

constexpr std::array<ElementInfo, 13> elements{{{"float64", 8},
                                                {"float32", 4},
                                                {"float16", 2},
                                                {"bfloat16", 2},
                                                {"int8", 1},
                                                {"int16", 2},
                                                {"int32", 4},
                                                {"int64", 8},
                                                {"uint8", 1},
                                                {"uint16", 2},
                                                {"uint32", 4},
                                                {"uint64", 8},
                                                {"boolean", 1}}};

/// Stored bits of a type, and what they mean.
template <class U>
U load(const std::byte* at, bool swapped) {
    std::array<std::byte, sizeof(U)> bytes;
    std::memcpy(bytes.data(), at, sizeof(U));
    if (swapped) std::reverse(bytes.begin(), bytes.end());
    return std::bit_cast<U>(bytes);
}

/// Calls f with a function that reads number k in its own type.
template <class F>
auto with_reader(const std::byte* data, Element element, bool swapped, F&& f) {
    const auto plain = [&]<class U>(U) {
        return f([=](Index k) { return load<U>(data + k * static_cast<Index>(sizeof(U)), swapped); });
    };
    switch (element) {
        case Element::float64:
            return plain(double{});
        case Element::float32:
            return plain(float{});
        case Element::float16:
            return f([=](Index k) { return from_float16(load<std::uint16_t>(data + 2 * k, swapped)); });
        case Element::bfloat16:
            return f([=](Index k) { return from_bfloat16(load<std::uint16_t>(data + 2 * k, swapped)); });
        case Element::int8:
            return plain(std::int8_t{});
        case Element::int16:
            return plain(std::int16_t{});
        case Element::int32:
            return plain(std::int32_t{});
        case Element::int64:
            return plain(std::int64_t{});
        case Element::uint16:
            return plain(std::uint16_t{});
        case Element::uint32:
            return plain(std::uint32_t{});
        case Element::uint64:
            return plain(std::uint64_t{});
        case Element::uint8:
        case Element::boolean:
            break;
    }
    return plain(std::uint8_t{});
}

template <class V>
std::pair<std::shared_ptr<const void>, const std::byte*> kept(std::vector<V> values) {
    auto owner = std::make_shared<const std::vector<V>>(std::move(values));
    const auto* data = reinterpret_cast<const std::byte*>(owner->data());
    return {std::move(owner), data};
}

}  // namespace

std::string_view name_of(Element e) { return elements[idx(e)].name; }
Index size_of(Element e) { return elements[idx(e)].size; }
bool is_floating(Element e) {
    return e == Element::float64 || e == Element::float32 || e == Element::float16 || e == Element::bfloat16;
}

Element element_of(DType t) {
    constexpr std::array types{Element::float32, Element::float64, Element::bfloat16, Element::float16};
    return types[idx(t)];
}

Numbers::Numbers(std::vector<double> values)
    : count_(static_cast<Index>(values.size())), element_(Element::float64) {
    std::tie(keeper_, data_) = kept(std::move(values));
}

Numbers::Numbers(std::vector<float> values)
    : count_(static_cast<Index>(values.size())), element_(Element::float32) {
    std::tie(keeper_, data_) = kept(std::move(values));
}

Numbers::Numbers(std::shared_ptr<const void> keeper, const std::byte* data, Index count, Element element,
                 bool swapped, bool is_mapped)
    : keeper_(std::move(keeper)),
      data_(data),
      count_(count),
      element_(element),
      swapped_(swapped && size_of(element) > 1),
      is_mapped_(is_mapped) {}

void Numbers::let_go() const {
    constexpr Index worth_it = Index{1} << 20;
    const Index bytes = count_ * size_of(element_);
    if (is_mapped_ && bytes >= worth_it) attn::let_go({data_, static_cast<std::size_t>(bytes)});
}

double Numbers::operator[](Index k) const {
    return with_reader(data_, element_, swapped_, [k](auto at) { return static_cast<double>(at(k)); });
}

template <class T>
void Numbers::copy(std::span<T> out, Index first) const {
    if (const T* there = in_place<T>()) {
        std::copy_n(there + first, out.size(), out.data());
        return;
    }
    with_reader(data_, element_, swapped_, [&](auto at) {
        for (std::size_t k = 0; k < out.size(); ++k)
            out[k] = static_cast<T>(at(first + static_cast<Index>(k)));
    });
}

/// Many at a time, and one by one only where there is one among them.
template <class F>
std::optional<Index> Numbers::find(Index first, Index count, const F& wanted) const {
    constexpr Index many = 4096;
    return with_reader(data_, element_, swapped_, [&](auto at) -> std::optional<Index> {
        const Index end = first + count;
        for (Index from = first; from < end; from += many) {
            const Index to = std::min(from + many, end);
            int found = 0;
            for (Index k = from; k < to; ++k) found |= static_cast<int>(wanted(at(k)));
            if (found == 0) continue;
            for (Index k = from; k < to; ++k)
                if (wanted(at(k))) return k;
        }
        return std::nullopt;
    });
}

std::optional<Index> Numbers::find_not_finite(Index first, Index count) const {
    if (!is_floating(element_)) return std::nullopt;
    return find(first, count, [](auto v) { return v - v != 0; });
}

std::optional<Index> Numbers::find_fraction(Index first, Index count) const {
    if (!is_floating(element_)) return std::nullopt;
    return find(first, count, [](auto v) {
        const auto d = static_cast<double>(v);
        return std::isfinite(d) && std::trunc(d) != d;
    });
}

std::optional<Index> Numbers::find_other_than_0_and_1(Index first, Index count) const {
    return find(first, count, [](auto v) { return v != 0 && v != 1; });
}

void Numbers::copy_stored(Index from, std::span<std::byte> out) const {
    const Index size = size_of(element_);
    std::copy_n(data_ + from * size, out.size(), out.begin());
    if (!swapped_) return;
    for (auto at = out.begin(); at != out.end(); at += size) std::reverse(at, at + size);
}

template <class T>
const T* Numbers::in_place() const {
    constexpr Element wanted = sizeof(T) == sizeof(float) ? Element::float32 : Element::float64;
    if (element_ != wanted || swapped_ || reinterpret_cast<std::uintptr_t>(data_) % alignof(T) != 0)
        return nullptr;
    return reinterpret_cast<const T*>(data_);
}

template void Numbers::copy(std::span<float>, Index) const;
template void Numbers::copy(std::span<double>, Index) const;
template const float* Numbers::in_place() const;
template const double* Numbers::in_place() const;

std::uint64_t little_endian(std::span<const std::byte> bytes) {
    std::uint64_t out = 0;
    for (std::size_t k = bytes.size(); k-- > 0;) out = out << 8U | std::to_integer<std::uint64_t>(bytes[k]);
    return out;
}

float from_float16(std::uint16_t bits) {
    const std::uint32_t sign = (bits & 0x8000U) << 16U, size = bits & 0x7FFFU;
    constexpr std::uint32_t infinity16 = 0x7C00U, infinity32 = 0x7F800000U, nan32 = 0x7FC00000U;
    // Exponent and fraction are those of a binary32 whose exponent is 112 too small, below the normal numbers
    // as well.
    const auto finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size << 13U) * 0x1p112F);
    const std::uint32_t other = size > infinity16 ? nan32 : infinity32;
    return std::bit_cast<float>(sign | (size < infinity16 ? finite : other));
}

float from_bfloat16(std::uint16_t bits) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

}  // namespace attn
