#include "lib/run/sources.hpp"

#include <algorithm>
#include <cmath>

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
void rms_norm(const T* x, T* out, Index n, double eps, std::span<const T> weight) {
    Moments m;
    m.add(x, n);
    const double by = 1 / std::sqrt(m.squares / static_cast<double>(n) + eps);
    for (Index k = 0; k < n; ++k)
        out[k] = static_cast<T>(static_cast<double>(x[k]) * by *
                                (weight.empty() ? 1 : static_cast<double>(weight[idx(k)])));
}

template <class T>
View<T> Sources<T>::take(Index heads, Index tokens, Index dim, T*& data) const {
    data = arena_.take<T>(plan_.batch * heads * tokens * dim);
    return {data, heads * tokens * dim, tokens * dim, dim};
}

template <class T>
View<T> Sources<T>::normed(const View<T>& x, Index heads, Index tokens, Index dim,
                           const std::optional<std::size_t>& weight) const {
    const QkNorm& norm = *plan_.qk_norm;
    const Index group = norm.over_width ? heads : 1;
    const std::span<const T> gain = weight ? tensors_[*weight] : std::span<const T>{};
    T* data = nullptr;
    const View<T> out = take(heads, tokens, dim, data);
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index first = 0; first < heads; first += group)
            for (Index t = 0; t < tokens; ++t) {
                Moments m;
                for (Index h = first; h < first + group; ++h) m.add(x.row(b, h, t), dim);
                const auto n = static_cast<double>(m.count);
                const double mean = norm.type == NormType::layer ? m.sum / n : 0;
                double size = m.squares;
                if (norm.type == NormType::layer) {
                    size = 0;
                    for (Index h = first; h < first + group; ++h) size += spread(x.row(b, h, t), dim, mean);
                }
                const double by = 1 / std::sqrt((norm.type == NormType::l2 ? size : size / n) + norm.eps);
                for (Index h = first; h < first + group; ++h) {
                    T* to = data + b * out.batch + h * out.head + t * out.token;
                    for (Index k = 0; k < dim; ++k) {
                        double v = (static_cast<double>(x.row(b, h, t)[k]) - mean) * by;
                        if (!gain.empty())
                            v *= static_cast<double>(gain[idx((h - first) * dim + k)]) +
                                 (norm.plus_one ? 1 : 0);
                        to[k] = static_cast<T>(v);
                    }
                }
            }
    return out;
}

template <class T>
View<T> Sources<T>::rotated(const View<T>& x, Index heads, Index dim, Index first,
                            const std::vector<Index>& tokens, const std::vector<double>& positions) const {
    const PlannedRope& rope = *plan_.rope;
    const Index pairs = rope.dims / 2, rows = static_cast<Index>(tokens.size());
    T* data = nullptr;
    const View<T> out = take(heads, rows, dim, data);
    std::vector<double> cos(static_cast<std::size_t>(pairs)), sin(cos);
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index t = 0; t < rows; ++t) {
            const Index token = tokens[idx(t)];
            for (Index n = 0; n < pairs; ++n) {
                const auto at = static_cast<std::size_t>(n);
                if (rope.cos) {
                    const Shape& s = plan_.tensors[*rope.cos].shape;
                    const Index item = s.size() == 3 && s[0] > 1 ? b : 0;
                    const auto cell = static_cast<std::size_t>((item * s[s.size() - 2] + token) * pairs + n);
                    cos[at] = static_cast<double>(tensors_[*rope.cos][cell]);
                    sin[at] = static_cast<double>(tensors_[*rope.sin][cell]);
                    continue;
                }
                const double angle =
                    positions[idx(token)] *
                    std::pow(rope.base, -2.0 * static_cast<double>(n) / static_cast<double>(rope.dims));
                cos[at] = std::cos(angle);
                sin[at] = std::sin(angle);
            }
            for (Index h = 0; h < heads; ++h) {
                const T* from = x.row(b, h, t);
                T* to = data + b * out.batch + h * out.head + t * out.token;
                std::copy_n(from, dim, to);
                for (Index n = 0; n < pairs; ++n) {
                    const Index i = first + (rope.interleaved ? 2 * n : n),
                                j = i + (rope.interleaved ? 1 : pairs);
                    const auto at = static_cast<std::size_t>(n);
                    const auto u = static_cast<double>(from[i]), v = static_cast<double>(from[j]);
                    to[i] = static_cast<T>(u * cos[at] - v * sin[at]);
                    to[j] = static_cast<T>(u * sin[at] + v * cos[at]);
                }
            }
        }
    return out;
}

template <class T>
View<T> Sources<T>::mapped(const View<T>& x, Index heads, Index tokens, FeatureMap map) const {
    T* data = nullptr;
    const View<T> out = take(heads, tokens, plan_.dim, data);
    const auto of = [map](T v) {
        switch (map) {
            case FeatureMap::elu1:
                return v > 0 ? v + 1 : static_cast<T>(std::exp(static_cast<double>(v)));
            case FeatureMap::relu:
                return v < 0 ? T{0} : v;
            case FeatureMap::identity:
                break;
        }
        return v;
    };
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index h = 0; h < heads; ++h)
            for (Index t = 0; t < tokens; ++t)
                data = std::transform(x.row(b, h, t), x.row(b, h, t) + plan_.dim, data, of);
    return out;
}

template <class T>
View<T> Sources<T>::widened(const View<T>& x, Index dim, const View<T>& shared, Index shared_dim,
                            Index tokens) const {
    T* data = nullptr;
    const View<T> out = take(plan_.kv_heads, tokens, dim + shared_dim, data);
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index h = 0; h < plan_.kv_heads; ++h)
            for (Index t = 0; t < tokens; ++t) {
                data = std::copy_n(x.row(b, h, t), dim, data);
                data = std::copy_n(shared.row(b, 0, t), shared_dim, data);
            }
    return out;
}

template <class T>
View<T> Sources<T>::joined(const View<T>& past, const View<T>& x, const std::optional<std::size_t>& bias,
                           Index dim) const {
    T* data = nullptr;
    const View<T> out = take(plan_.kv_heads, plan_.keys, dim, data);
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index h = 0; h < plan_.kv_heads; ++h) {
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
template void rms_norm(const float*, float*, Index, double, std::span<const float>);
template void rms_norm(const double*, double*, Index, double, std::span<const double>);

}  // namespace attn
