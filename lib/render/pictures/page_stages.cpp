#include "lib/render/pictures/page_stages.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "lib/render/json_text.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

template <class T>
std::vector<T>& numbers_in(Picture& p) {
    if constexpr (std::is_same_v<T, float>)
        return p.single;
    else
        return p.wide;
}
template <class T>
const std::vector<T>& numbers_in(const Picture& p) {
    return numbers_in<T>(const_cast<Picture&>(p));
}

template <class T>
bool same_bits(T a, T b) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    return std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b);
}

/// Calls f(hidden, from, end) for the runs of hidden and of visible cells.
template <class F>
void for_runs(const std::vector<std::uint8_t>& hidden, F&& f) {
    for (auto from = hidden.begin(); from != hidden.end();) {
        const bool is_hidden = *from != 0;
        const auto end = is_hidden ? std::find(from, hidden.end(), std::uint8_t{0})
                                   : std::find_if(from, hidden.end(), [](std::uint8_t h) { return h != 0; });
        f(is_hidden, static_cast<std::size_t>(from - hidden.begin()),
          static_cast<std::size_t>(end - hidden.begin()));
        from = end;
    }
}

/// What stands in all hidden cells: "zero", "minus"; "" where it is not one of these.
template <class T>
std::string fill_of(const Picture& p) {
    const std::vector<T>& numbers = numbers_in<T>(p);
    bool zero = true, minus = true, any = false;
    for_runs(p.hidden, [&](bool hidden, std::size_t from, std::size_t end) {
        if (!hidden) return;
        any = true;
        zero = zero && std::all_of(numbers.data() + from, numbers.data() + end,
                                   [](T x) { return same_bits(x, T{0}); });
        minus = minus && std::all_of(numbers.data() + from, numbers.data() + end,
                                     [](T x) { return x == -std::numeric_limits<T>::infinity(); });
    });
    return !any ? "" : zero ? "zero" : minus ? "minus" : "";
}

/// Every number is that of `from` times `times`, rounded once, but for hidden ones where `but_hidden`.
template <class T>
bool is_multiple(const Picture& p, const Picture& from, double times, bool but_hidden) {
    const std::vector<T>&numbers = numbers_in<T>(p), &others = numbers_in<T>(from);
    if (numbers.size() != others.size() || numbers.empty()) return false;
    for (std::size_t k = 0; k < numbers.size(); ++k) {
        if (but_hidden && p.is_hidden(k)) continue;
        if (!same_bits(numbers[k], static_cast<T>(static_cast<double>(others[k]) * times))) return false;
    }
    return true;
}

template <class T>
std::string visible_bytes(const Picture& p) {
    const std::vector<T>& numbers = numbers_in<T>(p);
    const auto left = static_cast<std::size_t>(std::count(p.hidden.begin(), p.hidden.end(), std::uint8_t{0}));
    std::string out;
    out.reserve(left * sizeof(T));
    for_runs(p.hidden, [&](bool hidden, std::size_t from, std::size_t end) {
        if (!hidden) out.append(reinterpret_cast<const char*>(&numbers[from]), (end - from) * sizeof(T));
    });
    return out;
}

}  // namespace

std::string_view PageStage::bytes() {
    char* data = packed            ? visible.data()
                 : !is_wide(dtype) ? reinterpret_cast<char*>(whole->single.data())
                                   : reinterpret_cast<char*>(whole->wide.data());
    const std::size_t size = idx(byte_count());
    const std::size_t each = idx(size_of(dtype));
    if constexpr (std::endian::native == std::endian::big)
        for (std::size_t k = 0; k < size; k += each) std::reverse(data + k, data + k + each);
    return {data, size};
}

Index PageStage::byte_count() const {
    if (!has_block()) return 0;
    if (packed) return static_cast<Index>(visible.size());
    return static_cast<Index>(whole->single.size() * sizeof(float) + whole->wide.size() * sizeof(double));
}

const PlannedStage* PageStages::planned(const std::string& name) const {
    if (!plan_) return nullptr;
    for (const auto* list : {&plan_->stages, &plan_->gradients})
        for (const PlannedStage& s : *list)
            if (s.name == name) return &s;
    return nullptr;
}

PageStage PageStages::described(const Picture& p) {
    PageStage s;
    s.name = p.name;
    s.formula = p.formula;
    s.dtype = p.dtype();
    s.scale = p.scale;
    s.masked = !p.hidden.empty();
    if (const PlannedStage* stage = planned(s.name)) s.reads = stage->reads;
    add_axes(s, p);
    return s;
}

Index PageStages::add(Picture picture) {
    const auto shared = std::make_shared<Picture>(std::move(picture));
    PageStage s = described(*shared);
    s.whole = shared;
    if (!is_wide(s.dtype))
        keep<float>(s, *shared);
    else
        keep<double>(s, *shared);
    if (s.packed || !s.like.empty()) s.whole.reset();
    if (mask_is_next_) mask_ = std::move(shared->hidden);
    mask_is_next_ = false;
    stages_.push_back(std::move(s));
    before_[shared->name] = shared;
    forget();
    return stages_.back().byte_count();
}

void PageStages::add_difference(const Picture& picture, const std::string& of, const std::string& less) {
    PageStage s = described(picture);
    s.like = of;
    s.minus = less;
    stages_.push_back(std::move(s));
}

std::size_t PageStages::axis(const std::string& name, const std::vector<Index>& numbers,
                             const std::vector<std::string>& labels) {
    const bool plain = numbers == counted(static_cast<Index>(numbers.size()));
    std::vector<std::string> shown;
    for (const std::string& l : labels) shown.push_back(visible(l));
    const std::string json = json_object({{"name", json_string(name)},
                                          {"numbers", plain ? "null" : json_indices(numbers)},
                                          {"labels", shown.empty() ? "null" : json_strings(shown)}});
    const auto found = std::find(axes_.begin(), axes_.end(), json);
    if (found != axes_.end()) return static_cast<std::size_t>(found - axes_.begin());
    axes_.push_back(json);
    return axes_.size() - 1;
}

void PageStages::add_axes(PageStage& s, const Picture& p) {
    const PlannedStage* stage = planned(s.name);
    std::vector<Index> batches, heads, tokens;
    const auto note = [](std::vector<Index>& list, Index n) {
        if (std::find(list.begin(), list.end(), n) == list.end()) list.push_back(n);
    };
    for (const PicturePanel& panel : p.panels) {
        note(batches, panel.batch);
        note(heads, panel.head);
        if (panel.token) note(tokens, *panel.token);
    }
    const auto put = [&](const std::string& name, const std::vector<Index>& numbers,
                         const std::vector<std::string>& labels) {
        s.axes.push_back(axis(name, numbers, labels));
        s.shape.push_back(static_cast<Index>(numbers.size()));
    };
    if (stage ? has_batch(stage->family) : batches.size() > 1) put("batch", batches, {});
    if (stage ? has_heads(stage->family) : heads.size() > 1)
        put(std::string(name_of(stage ? outer_axis(stage->family) : Axis::head)), heads, {});
    if (!tokens.empty()) {
        std::vector<std::string> labels;
        for (const Index t : tokens) labels.push_back(*plan_->row_token(StageShape::key_dim, t));
        put("token", tokens, labels);
    }
    if (!p.rows.name.empty()) put(p.rows.one, p.rows.numbers, p.rows.labels);
    put(p.columns.one, p.columns.numbers, p.columns.labels);
}

template <class T>
void PageStages::keep(PageStage& s, const Picture& p) {
    const bool is_masked = keep_mask(s, p);
    const std::string fill = is_masked ? fill_of<T>(p) : "";
    for (const Stage read : s.reads) {
        const auto found = before_.find(std::string(info_of(read).name));
        if (found == before_.end()) continue;
        const bool filled = !fill.empty() && is_multiple<T>(p, *found->second, 1, true);
        const bool scaled = !filled && plan_->scaled && is_multiple<T>(p, *found->second, factor(), false);
        if (!filled && !scaled) continue;
        s.like = found->first;
        if (filled) s.fill = fill;
        if (scaled) s.times = factor();
        return;
    }
    if (fill.empty()) return;
    s.packed = true;
    s.fill = fill;
    s.visible = visible_bytes<T>(p);
}

/// The scale in the run's type.
double PageStages::factor() const {
    return !is_wide(plan_->dtype) ? static_cast<double>(static_cast<float>(plan_->scale)) : plan_->scale;
}

/// The mask, once for all stages. Returns whether that of this stage is it.
bool PageStages::keep_mask(const PageStage& s, const Picture& p) {
    if (p.hidden.empty() || !plan_ || s.shape.size() != 4) return false;
    if (mask_shape_.empty()) {
        mask_shape_ = s.shape;
        mask_is_next_ = true;
        return true;
    }
    return mask_shape_ == s.shape && mask_ == p.hidden;
}

/// Lets go of stages that no later one reads.
void PageStages::forget() {
    const auto is_wanted = [&](const std::string& name) {
        if (!plan_) return false;
        return std::any_of(plan_->stages.begin(), plan_->stages.end(), [&](const PlannedStage& later) {
            return later.shown && has_all_keys(later.family) && has_heads(later.family) &&
                   std::none_of(stages_.begin(), stages_.end(),
                                [&](const PageStage& done) { return done.name == later.name; }) &&
                   std::any_of(later.reads.begin(), later.reads.end(),
                               [&](Stage r) { return info_of(r).name == name; });
        });
    };
    std::erase_if(before_, [&](const auto& kept) {
        if (is_wanted(kept.first)) return false;
        kept.second->hidden = {};
        return true;
    });
}

std::string PageStages::take_mask() {
    if (mask_.empty()) return {};
    // One for all heads, and for all batch items, where they have the same.
    for (const std::size_t axis : {std::size_t{1}, std::size_t{0}}) {
        std::size_t each = 1;
        for (std::size_t k = axis + 1; k < mask_shape_.size(); ++k) each *= idx(mask_shape_[k]);
        const std::size_t within = each * idx(mask_shape_[axis]);
        bool repeats = each < within;
        for (std::size_t from = 0; repeats && from < mask_.size(); from += within)
            for (std::size_t k = from + each; repeats && k < from + within; k += each)
                repeats = std::memcmp(mask_.data() + from, mask_.data() + k, each) == 0;
        if (!repeats) continue;
        std::size_t to = 0;
        for (std::size_t from = 0; from < mask_.size(); from += within, to += each)
            std::memmove(mask_.data() + to, mask_.data() + from, each);
        mask_.resize(to);
        mask_shape_[axis] = 1;
    }
    std::string bits((mask_.size() + 7) / 8, '\0');
    mask_.resize(8 * bits.size(), 0);
    for (std::size_t k = 0; k < bits.size(); ++k) {
        unsigned eight = 0;
        for (unsigned j = 0; j < 8; ++j) eight |= (mask_[8 * k + j] != 0 ? 1U : 0U) << j;
        bits[k] = static_cast<char>(eight);
    }
    mask_ = {};
    return bits;
}

}  // namespace attn
