#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/shape.hpp"

namespace attn {

/// How one number is stored.
enum class Element : std::uint8_t {
    float64,
    float32,
    float16,
    bfloat16,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
    boolean
};
std::string_view name_of(Element e);
Index size_of(Element e);
bool is_floating(Element e);
/// How numbers of a type of arithmetic are stored.
Element element_of(DType t);

/// The numbers of a tensor, row-major, where they are held: in memory of this process, or mapped from a file.
/// Copies share them; they never change.
class Numbers {
  public:
    Numbers() = default;
    explicit Numbers(std::vector<double> values);
    explicit Numbers(std::vector<float> values);
    /// Bytes that `keeper` keeps: a mapping, or memory. `swapped`: in the other byte order.
    Numbers(std::shared_ptr<const void> keeper, const std::byte* data, Index count, Element element,
            bool swapped, bool is_mapped);

    Index size() const { return count_; }
    bool empty() const { return count_ == 0; }
    Element element() const { return element_; }
    /// Bytes of memory that are taken; none where a file is mapped.
    Index bytes_held() const { return is_mapped_ ? 0 : count_ * size_of(element_); }
    /// A mapped file's pages leave memory until they are read again. Nothing happens to what is held, or
    /// small.
    void let_go() const;

    /// Number k, exact but for integers above 2^53.
    double operator[](Index k) const;
    /// As many as `out` holds, from number `first` on, each rounded once to the nearest T (float, double).
    template <class T>
    void copy(std::span<T> out, Index first = 0) const;
    /// The first of `count` numbers from `first` on that is an infinity or NaN; finite and not whole; neither
    /// 0 nor 1. Nothing: there is none.
    std::optional<Index> find_not_finite(Index first, Index count) const;
    std::optional<Index> find_fraction(Index first, Index count) const;
    std::optional<Index> find_other_than_0_and_1(Index first, Index count) const;
    /// The bytes of numbers from `from` on, in their own type and this machine's byte order. The size of
    /// `out` says how many.
    void copy_stored(Index from, std::span<std::byte> out) const;
    /// The numbers themselves where they are stored as T, aligned, in this machine's byte order; else null.
    template <class T>
    const T* in_place() const;

  private:
    template <class F>
    std::optional<Index> find(Index first, Index count, const F& wanted) const;

    std::shared_ptr<const void> keeper_;
    const std::byte* data_ = nullptr;
    Index count_ = 0;
    Element element_ = Element::float64;
    bool swapped_ = false, is_mapped_ = false;
};

/// At most 8 bytes as an unsigned number, the lowest first.
std::uint64_t little_endian(std::span<const std::byte> bytes);

/// Widened exactly: IEEE 754 binary16, and the upper half of a binary32.
float from_float16(std::uint16_t bits);
float from_bfloat16(std::uint16_t bits);

}  // namespace attn
