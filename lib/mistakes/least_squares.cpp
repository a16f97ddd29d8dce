#include "lib/mistakes/least_squares.hpp"

#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

namespace attn {

LeastSquares::LeastSquares(std::vector<std::vector<double>> columns)
    : q_(std::move(columns)), r_(q_.size(), std::vector<double>(q_.size())) {
    for (std::size_t j = 0; j < q_.size() && independent_; ++j) {
        double before = 0, after = 0;
        for (const double v : q_[j]) before += v * v;
        for (std::size_t i = 0; i < j; ++i) {
            r_[i][j] = std::inner_product(q_[i].begin(), q_[i].end(), q_[j].begin(), 0.0);
            for (std::size_t k = 0; k < q_[j].size(); ++k) q_[j][k] -= r_[i][j] * q_[i][k];
        }
        for (const double v : q_[j]) after += v * v;
        independent_ = after > 1e-6 * before;
        r_[j][j] = std::sqrt(after);
        for (double& v : q_[j]) v /= r_[j][j];
    }
}

std::vector<double> LeastSquares::solved(std::vector<double> y) const {
    if (!independent_) return {};
    std::vector<double> x(q_.size());
    for (std::size_t j = 0; j < q_.size(); ++j) {
        x[j] = std::inner_product(y.begin(), y.end(), q_[j].begin(), 0.0);
        for (std::size_t k = 0; k < y.size(); ++k) y[k] -= x[j] * q_[j][k];
    }
    for (std::size_t j = x.size(); j-- > 0;) {
        for (std::size_t k = j + 1; k < x.size(); ++k) x[j] -= r_[j][k] * x[k];
        x[j] /= r_[j][j];
    }
    return x;
}

}  // namespace attn
