#pragma once
#include <vector>

namespace attn {

/// The columns of a matrix [n][m], n <= m, made orthogonal once for any number of right sides: the method of
/// Gram and Schmidt, modified (Golub and Van Loan, section 5.2.8). Internal to the room.
class LeastSquares {
  public:
    explicit LeastSquares(std::vector<std::vector<double>> columns);
    /// x [n] with the least |A x - y|, y [m]; empty where the columns are nearly dependent.
    std::vector<double> solved(std::vector<double> y) const;

  private:
    std::vector<std::vector<double>> q_, r_;
    bool independent_ = true;
};

}  // namespace attn
