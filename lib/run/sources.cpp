#include "lib/run/sources.hpp"

#include <algorithm>
#include <cmath>

#include "lib/run/ops.hpp"

namespace attn {
namespace {

/// Mean and 1 / norm of numbers that are added one after another.
struct Moments {
    double sum = 0, squares = 0;
    Index count = 0;

    template <class T>
    void add(const T* x, Index n) {
        for (Index k = 0; k < n; ++k) {
            const auto v = static_cast<double>(x[k]);
            sum += v;
            squares += v * v;
        }
        count += n;
    }
};

template <class T>
double spread(const T* x, Index n, double mean) {
    double sum = 0;
    for (Index k = 0; k < n; ++k) {
        const double v = static_cast<double>(x[k]) - mean;
        sum += v * v;
    }
    return sum;
}

}  // namespace

template <class T>
Norming<T>::Norming(const PlannedNorm& norm, const Plan& plan, const Tensors<T>& tensors,
                    std::optional<double> limit)
    : norm_(norm),
      rounding_(plan.rounding),
      gain_(norm.weight ? tensors[*norm.weight] : std::span<const T>{}),
      bias_(norm.bias ? tensors[*norm.bias] : std::span<const T>{}),
      limit_(limit ? std::optional(rounding_(*limit)) : limit) {}

template <class T>
void Norming<T>::operator()(const T* x, Index x_step, T* out, Index out_step, Index begin, Index end,
                            Index dim) const {
    const Index group = norm_.over_width ? end - begin : 1;
    for (Index first = begin; first < end; first += group) {
        Moments m;
        for (Index h = first; h < first + group; ++h) m.add(x + h * x_step, dim);
        const auto n = static_cast<double>(m.count);
        const double mean = norm_.type == NormType::layer ? m.sum / n : 0;
        double size = m.squares;
        if (norm_.type == NormType::layer) {
            size = 0;
            for (Index h = first; h < first + group; ++h) size += spread(x + h * x_step, dim, mean);
        }
        const double by = 1 / std::sqrt((norm_.type == NormType::l2 ? size : size / n) + norm_.eps);
        for (Index h = first; h < first + group; ++h)
            for (Index k = 0; k < dim; ++k) {
                const std::size_t at = idx(norm_.gain_at(h, k, dim));
                double v = (static_cast<double>(x[h * x_step + k]) - mean) * by;
                if (norm_.rounds_before_weight()) v = rounding_(v);
                if (!gain_.empty()) v *= static_cast<double>(gain_[at]) + (norm_.plus_one ? 1 : 0);
                v *= norm_.factor;
                if (!bias_.empty()) v += static_cast<double>(bias_[at]);
                if (limit_) v = std::clamp(v, -*limit_, *limit_);
                out[h * out_step + k] = rounding_(static_cast<T>(v));
            }
    }
}

template <class T>
Turning<T>::Turning(const Plan& plan, const Tensors<T>& tensors)
    : plan_(plan), tensors_(tensors), cos_(idx(plan.rope->dims)), sin_(cos_), rounding_(plan.rounding) {
    if (!plan.rope->cos)
        for (Index n = 0; n < plan.rope->pairs(); ++n) frequency_.push_back(plan.rope->frequency(n));
}

template <class T>
void Turning<T>::to(Index item, Index token, const Places& positions) {
    const PlannedRope& rope = *plan_.rope;
    const double sense = rope.reverse ? -1 : 1;
    for (Index n = 0; n < rope.pairs(); ++n) {
        const Index a = rope.first_of(n), b = rope.second_of(n);
        if (rope.cos) {
            const Shape& s = plan_.tensors[*rope.cos].shape;
            const Index of = s.size() == 3 && s[0] > 1 ? item : 0;
            const Index row = (of * s[s.size() - 2] + token) * s.back();
            for (const Index column : {a, b}) {
                const auto cell = static_cast<std::size_t>(row + (rope.by_column ? column : n));
                cos_[idx(column)] = static_cast<double>(tensors_[*rope.cos][cell]);
                sin_[idx(column)] = sense * static_cast<double>(tensors_[*rope.sin][cell]);
            }
            continue;
        }
        const double angle = positions.at(item, token) * frequency_[idx(n)];
        cos_[idx(a)] = cos_[idx(b)] = rounding_(rope.amplitude * std::cos(angle));
        sin_[idx(a)] = sin_[idx(b)] = rounding_(sense * rope.amplitude * std::sin(angle));
    }
}

template <class T>
View<T> Sources<T>::take(Index heads, Index tokens, Index dim, T*& data) const {
    data = arena_.take<T>(plan_.batch * heads * tokens * dim);
    return {data, heads * tokens * dim, tokens * dim, dim};
}

template <class T>
View<T> Sources<T>::normed(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim,
                           Stage stage) const {
    const PlannedNorm& norm = plan_.norm_of(stage);
    const Norming<T> norming(norm, plan_, tensors_, plan_.limit_of(stage));
    T* data = nullptr;
    const View<T> out = take(heads.count(), tokens, dim, data);
    const auto some = [&](Index begin, Index end) {
        for (const Index b : items_)
            for (Index t = 0; t < tokens; ++t)
                norming(x.row(b, 0, t), x.head, data + b * out.batch + t * out.token, out.head, begin, end,
                        dim);
    };
    if (norm.over_width) {
        some(0, heads.count());
    } else {
        for_ranges(heads.wanted(), [&](Index from, Index to) {
            some(heads.wanted()[idx(from)], heads.wanted()[idx(to - 1)] + 1);
        });
    }
    return out;
}

template <class T>
template <class F>
View<T> Sources<T>::row_by_row(const HeadsOf& heads, Index tokens, Index dim, const F& f) const {
    T* data = nullptr;
    const View<T> out = take(heads.count(), tokens, dim, data);
    for (const Index b : items_)
        for (const Index h : heads.wanted())
            for (Index t = 0; t < tokens; ++t)
                f(data + b * out.batch + h * out.head + t * out.token, b, h, t);
    return out;
}

template <class T>
template <class F>
View<T> Sources<T>::changed(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim,
                            const F& f) const {
    return row_by_row(heads, tokens, dim, [&](T* to, Index b, Index h, Index t) {
        const T* const from = x.row(b, h, t);
        for (Index k = 0; k < dim; ++k) to[k] = f(from[k], b, h, t);
    });
}

template <class T>
View<T> Sources<T>::clamped(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim,
                            double limit) const {
    const T most = rounding_(static_cast<T>(limit));
    return changed(x, heads, tokens, dim,
                   [most](T v, Index, Index, Index) { return std::clamp(v, -most, most); });
}

template <class T>
View<T> Sources<T>::tempered(const View<T>& x, const HeadsOf& heads, const std::vector<Index>& rows) const {
    const PlannedQueryScale& scale = *plan_.query_scale;
    return changed(
        x, heads, static_cast<Index>(rows.size()), plan_.query_dim, [&](T v, Index b, Index h, Index t) {
            return rounding_(static_cast<T>(static_cast<double>(v) * scale.at(b, h, rows[idx(t)])));
        });
}

template <class T>
View<T> Sources<T>::convolved(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim,
                              const PlannedConv::Part& part) const {
    const PlannedConv& conv = *plan_.conv;
    const std::span<const T> taps = tensors_[part.weight];
    const auto number = [](std::span<const T> from, Index k) { return static_cast<double>(from[idx(k)]); };
    return row_by_row(heads, tokens, dim, [&](T* to, Index b, Index h, Index t) {
        for (Index c = 0; c < dim; ++c) {
            const Index channel = h * dim + c;
            double sum = part.bias ? number(tensors_[*part.bias], part.first + channel) : 0;
            for (Index k = 0; k < conv.taps; ++k) {
                const Index from = t + k + 1 - conv.taps;
                const double tap = number(taps, conv.tap(part, channel, k));
                if (from >= 0)
                    sum += tap * static_cast<double>(x.row(b, h, from)[c]);
                else if (conv.past)
                    sum += tap * number(tensors_[*conv.past], conv.before(part, b, channel, t, k));
            }
            to[c] = static_cast<T>(conv.silu ? sum * ops::sigmoid(sum) : sum);
        }
    });
}

template <class T>
View<T> Sources<T>::rotated(const View<T>& x, const HeadsOf& heads, Index dim, Index first,
                            const std::vector<Index>& tokens, const Places& positions) const {
    const PlannedRope& rope = *plan_.rope;
    const Index pairs = rope.pairs(), rows = static_cast<Index>(tokens.size());
    T* data = nullptr;
    const View<T> out = take(heads.count(), rows, dim, data);
    Turning<T> turning(plan_, tensors_);
    const std::vector<double>&cos = turning.cos(), &sin = turning.sin();
    for (const Index b : items_)
        for (Index t = 0; t < rows; ++t) {
            turning.to(b, tokens[idx(t)], positions);
            for (const Index h : heads.wanted()) {
                const T* from = x.row(b, h, t);
                T* to = data + b * out.batch + h * out.head + t * out.token;
                std::copy_n(from, dim, to);
                for (Index n = 0; n < pairs; ++n) {
                    const Index i = rope.first_of(n), j = rope.second_of(n);
                    const auto u = static_cast<double>(from[first + i]),
                               v = static_cast<double>(from[first + j]);
                    to[first + i] =
                        rounding_(static_cast<T>(rounding_(u * cos[idx(i)]) - rounding_(v * sin[idx(i)])));
                    to[first + j] =
                        rounding_(static_cast<T>(rounding_(u * sin[idx(j)]) + rounding_(v * cos[idx(j)])));
                }
            }
        }
    return out;
}

template <class T>
View<T> Sources<T>::mapped(const View<T>& x, const HeadsOf& heads, Index tokens, Index dim,
                           FeatureMap map) const {
    const auto of = [map](T v) {
        switch (map) {
            case FeatureMap::elu1:
                return v > 0 ? v + 1 : static_cast<T>(std::exp(static_cast<double>(v)));
            case FeatureMap::relu:
                return v < 0 ? T{0} : v;
            case FeatureMap::silu:
                return static_cast<T>(static_cast<double>(v) * ops::sigmoid(static_cast<double>(v)));
            case FeatureMap::identity:
                break;
        }
        return v;
    };
    return changed(x, heads, tokens, dim, [&](T v, Index, Index, Index) { return of(v); });
}

template <class T>
View<T> Sources<T>::widened(const View<T>& x, const HeadsOf& heads, Index dim, const View<T>& shared,
                            Index shared_dim, Index tokens) const {
    return row_by_row(heads, tokens, dim + shared_dim, [&](T* to, Index b, Index h, Index t) {
        std::copy_n(shared.row(b, 0, t), shared_dim, std::copy_n(x.row(b, h, t), dim, to));
    });
}

template <class T>
View<T> Sources<T>::joined(const View<T>& past, const View<T>& x, const std::optional<std::size_t>& bias,
                           const HeadsOf& heads, Index dim) const {
    T* data = nullptr;
    const View<T> out = take(heads.count(), plan_.keys, dim, data);
    for (const Index b : items_)
        for (const Index h : heads.wanted()) {
            T* to = data + b * out.batch + h * out.head;
            for (Index t = 0; t < plan_.past; ++t) to = std::copy_n(past.row(b, h, t), dim, to);
            for (Index t = 0; t < plan_.new_keys; ++t) to = std::copy_n(x.row(b, h, t), dim, to);
            if (bias) to = std::copy_n(tensors_[*bias].data() + h * dim, dim, to);
            if (plan_.zero_key) std::fill_n(to, dim, T{0});
        }
    return out;
}

template class Sources<float>;
template class Sources<double>;
template class Turning<float>;
template class Turning<double>;
template class Norming<float>;
template class Norming<double>;

}  // namespace attn
