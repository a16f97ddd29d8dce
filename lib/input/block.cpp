#include "lib/input/block.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <string_view>

#include "lib/input/number_text.hpp"
#include "lib/input/scan.hpp"

namespace attn {
namespace {

/// Numbers that grow in place where the system can move their pages (glibc's realloc).
template <class T>
class Growing {
  public:
    Growing() = default;
    Growing(const Growing&) = delete;
    Growing& operator=(const Growing&) = delete;
    ~Growing() { std::free(data_); }

    std::size_t size() const { return size_; }
    void push(T v) {
        if (size_ == capacity_) resize(std::max<std::size_t>(16, capacity_ * 2));
        data_[size_++] = v;
    }
    Numbers take(Element element) {
        if (size_ == 0) return {};
        resize(size_);
        const std::shared_ptr<const void> keeper(data_,
                                                 [](const void* p) { std::free(const_cast<void*>(p)); });
        const auto* bytes = reinterpret_cast<const std::byte*>(data_);
        data_ = nullptr;
        return {keeper, bytes, static_cast<Index>(size_), element, false, false};
    }

  private:
    void resize(std::size_t capacity) {
        void* moved = std::realloc(data_, capacity * sizeof(T));
        if (!moved) throw std::bad_alloc();
        data_ = static_cast<T*>(moved);
        capacity_ = capacity;
    }

    T* data_ = nullptr;
    std::size_t size_ = 0, capacity_ = 0;
};

enum class Outcome { done, other, above_float32 };

template <class T>
class BlockReader {
  public:
    BlockReader(const BlockRequest& request, Scalars& out)
        : at(request.begin), end_(request.end), most_axes_(request.most_axes), out_(out) {}

    Outcome read() {
        out_ = {};
        std::size_t rank = 0;
        while (*at == '[') {
            if (rank == most_axes_) return Outcome::other;
            ++rank;
            step();
        }
        shape_.fill(unknown);
        counts_.fill(0);
        if (*at == ']') return rank == 1 ? finish(1, 0) : Outcome::other;
        while (true) {
            const std::size_t before = numbers_.size();
            while (true) {
                const Outcome outcome = element();
                if (outcome != Outcome::done) return outcome;
                skip_space();
                if (*at != ',') break;
                step();
            }
            if (*at != ']' || !fits(rank - 1, static_cast<Index>(numbers_.size() - before)))
                return Outcome::other;
            std::size_t level = rank - 1;
            while (true) {  // up, through the arrays that end here
                if (level == 0) return finish(rank, static_cast<Index>(numbers_.size()));
                --level;
                ++counts_[level];
                step();
                if (*at == ',') break;
                if (*at != ']' || !fits(level, counts_[level])) return Outcome::other;
                counts_[level] = 0;
            }
            step();
            for (++level; level < rank; ++level) {  // down, to the next row
                if (*at != '[') return Outcome::other;
                step();
            }
        }
    }

    const char* at;

  private:
    static constexpr Index unknown = -1;

    void skip_space() {
        while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') ++at;
    }
    void step() {
        ++at;
        skip_space();
    }

    /// The first array of a level says how long all are.
    bool fits(std::size_t level, Index length) {
        if (shape_[level] == unknown) shape_[level] = length;
        return shape_[level] == length;
    }

    Outcome element() {
        NumberText<T> number;
        const char* const next = number.read(at, end_);
        if (!next) return word();
        if (!std::isfinite(number.value))
            return sizeof(T) == sizeof(float) ? Outcome::above_float32 : Outcome::other;
        note(number.is_integer ? Scalar::integer : Scalar::real);
        if (out_.first_other == Scalars::none && number.value != 0 && number.value != 1)
            out_.first_other = numbers_.size();
        numbers_.push(number.value);
        at = next;
        return Outcome::done;
    }

    Outcome word() {
        struct Word {
            std::string_view text;
            Scalar kind;
            T value;
        };
        constexpr T infinity = std::numeric_limits<T>::infinity();
        static constexpr std::array<Word, 5> words{
            {{"true", Scalar::boolean, T{1}},
             {"false", Scalar::boolean, T{0}},
             {"\"Infinity\"", Scalar::nonfinite, infinity},
             {"\"-Infinity\"", Scalar::nonfinite, -infinity},
             {"\"NaN\"", Scalar::nonfinite, std::numeric_limits<T>::quiet_NaN()}}};
        const std::string_view rest(at, static_cast<std::size_t>(end_ - at));
        for (const Word& w : words) {
            if (!rest.starts_with(w.text)) continue;
            note(w.kind);
            numbers_.push(w.value);
            at += w.text.size();
            return Outcome::done;
        }
        return Outcome::other;
    }

    void note(Scalar kind) {
        std::size_t& first = out_.first[idx(kind)];
        if (first == Scalars::none) first = numbers_.size();
    }

    Outcome finish(std::size_t rank, Index count) {
        shape_[0] = rank == 1 ? count : shape_[0];
        out_.shape.assign(shape_.begin(), shape_.begin() + static_cast<std::ptrdiff_t>(rank));
        out_.numbers = numbers_.take(sizeof(T) == sizeof(float) ? Element::float32 : Element::float64);
        return Outcome::done;
    }

    const char* end_;
    std::size_t most_axes_;
    Scalars& out_;
    Growing<T> numbers_;
    std::array<Index, deepest_level> shape_{}, counts_{};  ///< by level, the outermost first
};

template <class T>
Outcome read_as(const BlockRequest& request, Scalars& out, const char*& at) {
    BlockReader<T> reader(request, out);
    const Outcome outcome = reader.read();
    at = reader.at;
    return outcome;
}

}  // namespace

bool read_block(const BlockRequest& request, Scalars& out, const char*& at) {
    Outcome outcome = Outcome::above_float32;
    if (!is_wide(request.dtype)) outcome = read_as<float>(request, out, at);
    if (outcome == Outcome::above_float32) outcome = read_as<double>(request, out, at);
    if (outcome == Outcome::done)
        out.text = {request.begin, static_cast<std::size_t>(at + 1 - request.begin)};
    return outcome == Outcome::done;
}

Numbers Scalars::as_float64() const {
    if (!from.empty()) return numbers;
    if (numbers.empty() || numbers.element() == Element::float64) return numbers;
    Scalars again;
    const char* at = nullptr;
    const BlockRequest request{text.data(), text.data() + text.size(), shape.size(), DType::float64};
    if (!read_block(request, again, at) || again.shape != shape)
        throw Error(Exit::input, {}, "was changed while it was read", {});
    return again.numbers;
}

}  // namespace attn
