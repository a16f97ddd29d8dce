#include "lib/input/block.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string_view>
#include <vector>

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
    /// Room for `count` more at the end, which the caller fills in.
    T* extend(std::size_t count) {
        if (size_ + count > capacity_) resize(std::max(size_ + count, capacity_ * 2));
        size_ += count;
        return data_ + size_ - count;
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

/// Numbers at a place that has room for them.
template <class T>
class Placed {
  public:
    explicit Placed(T* to) : begin_(to), to_(to) {}
    std::size_t size() const { return static_cast<std::size_t>(to_ - begin_); }
    void push(T v) { *to_++ = v; }

  private:
    T *begin_, *to_;
};

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
void skip_space(const char*& at) {
    while (is_space(*at)) ++at;
}
void step(const char*& at) {
    ++at;
    skip_space(at);
}

/// Where the kinds of scalars stand first, by the place of a number.
struct Firsts {
    std::array<std::size_t, 4> of_kind{Scalars::none, Scalars::none, Scalars::none, Scalars::none};
    std::size_t other = Scalars::none;

    void note(Scalar kind, std::size_t place) {
        if (of_kind[idx(kind)] == Scalars::none) of_kind[idx(kind)] = place;
    }
    /// Those of numbers that begin at `place`.
    void add(const Firsts& later, std::size_t place) {
        const auto earlier = [&](std::size_t& mine, std::size_t its) {
            if (its != Scalars::none) mine = std::min(mine, place + its);
        };
        for (std::size_t k = 0; k < of_kind.size(); ++k) earlier(of_kind[k], later.of_kind[k]);
        earlier(other, later.other);
    }
};

/// Reads scalars, one after another, into `Store`.
template <class T, class Store>
class ElementReader {
  public:
    ElementReader(const char* end, Store& numbers) : end_(end), numbers_(numbers) {}

    Firsts firsts;

    Outcome read(const char*& at) {
        NumberText<T> number;
        const char* const next = number.read(at, end_);
        if (!next) return word(at);
        if (!std::isfinite(number.value))
            return sizeof(T) == sizeof(float) ? Outcome::above_float32 : Outcome::other;
        firsts.note(number.is_integer ? Scalar::integer : Scalar::real, numbers_.size());
        if (firsts.other == Scalars::none && number.value != 0 && number.value != 1)
            firsts.other = numbers_.size();
        numbers_.push(number.value);
        at = next;
        return Outcome::done;
    }

  private:
    Outcome word(const char*& at) {
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
            firsts.note(w.kind, numbers_.size());
            numbers_.push(w.value);
            at += w.text.size();
            return Outcome::done;
        }
        return Outcome::other;
    }

    const char* end_;
    Store& numbers_;
};

/// The brackets around the rows of a block.
class RowWalk {
  public:
    enum class Next { row, end, other };

    /// Passes the brackets that open the first row; false where there are more than `most_axes`.
    bool open(const char*& at, std::size_t most_axes) {
        shape_.fill(unknown);
        counts_.fill(0);
        for (; *at == '['; step(at), ++rank_)
            if (rank_ == most_axes) return false;
        return true;
    }
    /// From the bracket that closes a row of `length` to the first element of the next one, or to the bracket
    /// that closes the block.
    Next next(const char*& at, Index length) {
        if (*at != ']' || !fits(rank_ - 1, length)) return Next::other;
        std::size_t level = rank_ - 1;
        while (true) {  // up, through the arrays that end here
            if (level == 0) return Next::end;
            --level;
            ++counts_[level];
            step(at);
            if (*at == ',') break;
            if (*at != ']' || !fits(level, counts_[level])) return Next::other;
            counts_[level] = 0;
        }
        step(at);
        for (++level; level < rank_; ++level) {  // down, to the next row
            if (*at != '[') return Next::other;
            step(at);
        }
        return Next::row;
    }
    std::size_t rank() const { return rank_; }
    /// Of a block of `count` numbers that was walked through.
    Shape shape(std::size_t count) const {
        Shape out(shape_.begin(), shape_.begin() + static_cast<std::ptrdiff_t>(rank_));
        out[0] = rank_ == 1 ? static_cast<Index>(count) : out[0];
        return out;
    }

  private:
    static constexpr Index unknown = -1;

    /// The first array of a level says how long all are.
    bool fits(std::size_t level, Index length) {
        if (shape_[level] == unknown) shape_[level] = length;
        return shape_[level] == length;
    }

    std::size_t rank_ = 0;
    std::array<Index, deepest_level> shape_{}, counts_{};  ///< by level, the outermost first
};

template <class T>
void finish(Scalars& out, const RowWalk& walk, const Firsts& firsts, Growing<T>& numbers) {
    out.first = firsts.of_kind;
    out.first_other = firsts.other;
    out.shape = walk.shape(numbers.size());
    out.numbers = numbers.take(sizeof(T) == sizeof(float) ? Element::float32 : Element::float64);
}

template <class T>
Outcome read_as(const BlockRequest& request, Scalars& out, const char*& at) {
    out = {};
    at = request.begin;
    RowWalk walk;
    Growing<T> numbers;
    ElementReader<T, Growing<T>> elements(request.end, numbers);
    if (!walk.open(at, request.most_axes)) return Outcome::other;
    if (*at == ']' && walk.rank() != 1) return Outcome::other;
    while (true) {
        const std::size_t before = numbers.size();
        while (*at != ']' || numbers.size() > 0) {  // all but []
            const Outcome outcome = elements.read(at);
            if (outcome != Outcome::done) return outcome;
            skip_space(at);
            if (*at != ',') break;
            step(at);
        }
        switch (walk.next(at, static_cast<Index>(numbers.size() - before))) {
            case RowWalk::Next::row:
                break;
            case RowWalk::Next::other:
                return Outcome::other;
            case RowWalk::Next::end:
                finish(out, walk, elements.firsts, numbers);
                return Outcome::done;
        }
    }
}

/// Rows of a block one after another, for one thread.
template <class T>
struct Stretch {
    const char* begin = nullptr;  ///< the first element
    std::size_t rows = 0;
    T* to = nullptr;
    Firsts firsts{};
    bool good = false;

    void read(const char* end, std::size_t length) {
        Placed<T> numbers(to);
        ElementReader<T, Placed<T>> elements(end, numbers);
        const char* at = begin;
        for (std::size_t row = 0; row < rows; ++row) {
            // What stands between two rows has been looked at.
            if (row > 0)
                while (is_space(*at) || *at == ']' || *at == ',' || *at == '[') ++at;
            for (std::size_t k = 0; k < length; ++k) {
                if (elements.read(at) != Outcome::done) return;
                skip_space(at);
                if (*at != (k + 1 < length ? ',' : ']')) return;
                if (k + 1 < length) step(at);
            }
        }
        firsts = elements.firsts;
        good = true;
    }
};

/// Reads a long block by all threads: one of them goes through its brackets, a few stretches ahead of those
/// who read the rows.
template <class T>
class SharedReader {
  public:
    SharedReader(const BlockRequest& request, Scalars& out)
        : request_(request), out_(out), at_(request.begin) {}

    /// False: whatever was the matter, read_as() finds it.
    bool read() {
        if (!walk_.open(at_, request_.most_axes) || walk_.rank() < 2 || *at_ == ']') return false;
        if (!find_length() || !look_ahead()) return false;
        Firsts firsts;
        std::size_t place = 0;
        while (!ahead_.empty()) {
            now_.swap(ahead_);
            ahead_.clear();
            std::size_t rows = 0;
            for (const Stretch<T>& s : now_) rows += s.rows;
            T* to = numbers_.extend(rows * length_);
            for (Stretch<T>& s : now_) {
                s.to = to;
                to += s.rows * length_;
            }
            bool good = true;
            const auto job = [&](Index k, int) {
                if (k == 0)
                    good = look_ahead();
                else
                    now_[idx(k - 1)].read(request_.end, length_);
            };
            if (ended_ && now_.size() == 1) {
                job(1, 0);
            } else {
                request_.pool->get().run(static_cast<Index>(now_.size()) + 1, job);
            }
            for (const Stretch<T>& s : now_) {
                if (!s.good) return false;
                firsts.add(s.firsts, place);
                place += s.rows * length_;
            }
            if (!good) return false;
        }
        finish(out_, walk_, firsts, numbers_);
        return true;
    }
    const char* at() const { return at_; }

  private:
    static constexpr std::ptrdiff_t bytes_of_stretch = 1 << 16;
    static constexpr std::size_t stretches_of_worker = 8;

    /// How many elements the first row has: commas are in no scalar.
    bool find_length() {
        const char* const end = bracket(at_);
        if (!end) return false;
        length_ = static_cast<std::size_t>(std::count(at_, end, ',')) + 1;
        return true;
    }
    /// The next bracket that closes a row: no scalar holds one.
    const char* bracket(const char* from) const {
        return static_cast<const char*>(
            std::memchr(from, ']', static_cast<std::size_t>(request_.end - from)));
    }
    /// The next stretches. False: the brackets are not those of a block.
    bool look_ahead() {
        const std::size_t most = stretches_of_worker * static_cast<std::size_t>(request_.pool->workers());
        while (!ended_ && ahead_.size() < most) {
            Stretch<T>& stretch = ahead_.emplace_back();
            stretch.begin = at_;
            while (!ended_ && at_ - stretch.begin < bytes_of_stretch) {
                const char* const end = bracket(at_);
                if (!end || end == at_) return false;
                at_ = end;
                ++stretch.rows;
                const RowWalk::Next next = walk_.next(at_, static_cast<Index>(length_));
                if (next == RowWalk::Next::other) return false;
                ended_ = next == RowWalk::Next::end;
            }
        }
        return true;
    }

    const BlockRequest& request_;
    Scalars& out_;
    const char* at_;
    RowWalk walk_;
    Growing<T> numbers_;
    std::size_t length_ = 0;  ///< of a row
    bool ended_ = false;
    std::vector<Stretch<T>> now_, ahead_;
};

/// Below this much text to come no thread is started.
constexpr std::ptrdiff_t worth_threads = 1 << 19;

template <class T>
bool read_shared(const BlockRequest& request, Scalars& out, const char*& at) {
    if (!request.pool || request.pool->workers() < 2 || request.end - request.begin < worth_threads)
        return false;
    out = {};
    SharedReader<T> reader(request, out);
    if (!reader.read()) return false;
    at = reader.at();
    return true;
}

}  // namespace

bool read_block(const BlockRequest& request, Scalars& out, const char*& at) {
    const bool wide = is_wide(request.dtype);
    const bool shared = wide ? read_shared<double>(request, out, at) : read_shared<float>(request, out, at);
    Outcome outcome = shared ? Outcome::done : Outcome::above_float32;
    if (!shared && !wide) outcome = read_as<float>(request, out, at);
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
