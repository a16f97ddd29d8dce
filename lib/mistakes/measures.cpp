#include "lib/mistakes/measures.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>

namespace attn {
namespace {

/// Measured numbers that differ by less, relative, are one number: float32 leaves more digits than this.
constexpr double same_share = 1e-4;
/// A weight below this has too few digits to take its logarithm.
constexpr double least_weight = 1e-6;

/// y = Σ c · x by least squares, from sums of products. At most four unknowns.
class Regression {
  public:
    explicit Regression(std::size_t n) : n_(n) {}

    void add(const std::array<double, 4>& x, double y) {
        for (std::size_t a = 0; a < n_; ++a) {
            for (std::size_t b = 0; b < n_; ++b) products_[a][b] += x[a] * x[b];
            with_y_[a] += x[a] * y;
        }
        y_squares_ += y * y;
        ++count_;
    }
    /// The coefficients; nothing where the unknowns cannot be told apart, or do not make up y.
    std::optional<std::array<double, 4>> solved() const {
        if (count_ < static_cast<Index>(n_) + 2) return std::nullopt;
        auto m = products_;
        std::array<double, 4> c = with_y_;
        for (std::size_t k = 0; k < n_; ++k) {
            // Positive definite where the unknowns are independent: no pivot is needed.
            if (!(m[k][k] > 1e-10 * products_[k][k])) return std::nullopt;
            for (std::size_t r = k + 1; r < n_; ++r) {
                const double by = m[r][k] / m[k][k];
                for (std::size_t j = k; j < n_; ++j) m[r][j] -= by * m[k][j];
                c[r] -= by * c[k];
            }
        }
        for (std::size_t k = n_; k-- > 0;) {
            for (std::size_t j = k + 1; j < n_; ++j) c[k] -= m[k][j] * c[j];
            c[k] /= m[k][k];
        }
        double left = y_squares_;
        for (std::size_t k = 0; k < n_; ++k) left -= c[k] * with_y_[k];
        if (!(std::sqrt(std::max(left, 0.0)) <= 1e-3 * std::sqrt(y_squares_))) return std::nullopt;
        return c;
    }

  private:
    std::size_t n_;
    std::array<std::array<double, 4>, 4> products_{};
    std::array<double, 4> with_y_{};
    double y_squares_ = 0;
    Index count_ = 0;
};

/// A row of theirs, and what may have made it, less the mean over the keys that count.
struct Centred {
    std::vector<std::array<double, 4>> x;
    std::vector<double> y;

    void centre() {
        if (y.empty()) return;
        const auto n = static_cast<double>(y.size());
        std::array<double, 4> mean{};
        double mean_y = 0;
        for (std::size_t k = 0; k < y.size(); ++k) {
            for (std::size_t a = 0; a < mean.size(); ++a) mean[a] += x[k][a] / n;
            mean_y += y[k] / n;
        }
        for (std::size_t k = 0; k < y.size(); ++k) {
            for (std::size_t a = 0; a < mean.size(); ++a) x[k][a] -= mean[a];
            y[k] -= mean_y;
        }
    }
};

}  // namespace

bool measured_same(double a, double b) {
    return std::abs(a - b) <= same_share * std::max(std::abs(a), std::abs(b)) + 1e-9;
}

std::optional<double> common(const std::vector<double>& numbers) {
    if (numbers.empty()) return std::nullopt;
    double sum = 0;
    for (const double x : numbers) sum += x;
    const double mean = sum / static_cast<double>(numbers.size());
    for (const double x : numbers)
        if (!(std::abs(x - mean) <= 1e-3 * std::abs(mean) + 1e-6)) return std::nullopt;
    return mean;
}

Measures::Measures(const Replay& replay, const StageSet& theirs, const HeldStages& ours)
    : replay_(replay), theirs_(theirs), ours_(ours) {
    if (!replay.plan().state) measure_scores();
    if (replay.plan().rope && !replay.plan().variant->is_latent()) measure_rope();
}

bool Measures::have(Stage s) const {
    const WholeStage* t = find(theirs_, s);
    const PlannedStage* planned = replay_.plan().find(s);
    if (!t || !planned) return false;
    const auto shape = replay_.shape_of(*planned);
    return static_cast<Index>(t->values.size()) == shape[0] * shape[1] * shape[2] * shape[3];
}

/// Pair by pair, as a complex number by which ours, before they turn, have to be multiplied to give theirs.
std::optional<RotaryRule> Measures::turning(Stage before, Stage after, Index first, const Places& positions,
                                            double& slack) const {
    const Plan& p = replay_.plan();
    const PlannedRope& rope = *p.rope;
    if (!have(after) || !ours_[before]) return std::nullopt;
    Numbers4 x = *ours_[before];
    if (have(before))
        x.values.assign(find(theirs_, before)->values.begin(),
                        find(theirs_, before)->values.begin() + static_cast<std::ptrdiff_t>(x.values.size()));
    const WholeStage& theirs = *find(theirs_, after);
    const auto shape = replay_.shape_of(*p.find(after));
    const auto their_row = [&](Index b, Index h, Index t) {
        return theirs.values.data() + ((b * shape[1] + h) * shape[2] + t) * shape[3];
    };
    RotaryRule out;
    double amplitudes = 0;
    Index count = 0;
    slack = 0;
    for (Index n = 0; n < rope.pairs(); ++n) {
        const Index i = first + rope.first_of(n), j = first + rope.second_of(n);
        std::vector<double> places, angles;
        for (Index b = 0; b < x.shape[0]; ++b)
            for (Index t = 0; t < shape[2]; ++t) {
                std::complex<double> product = 0;
                double squares = 0, others = 0;
                for (Index h = 0; h < shape[1]; ++h) {
                    const std::complex<double> z(x.row(b, h, t)[i], x.row(b, h, t)[j]),
                        y(their_row(b, h, t)[i], their_row(b, h, t)[j]);
                    product += y * std::conj(z);
                    squares += std::norm(z), others += std::norm(y);
                }
                if (!(squares > 0) || !std::isfinite(others)) return std::nullopt;
                const std::complex<double> by = product / squares;
                // What no turn explains.
                const double left = std::max(others - std::norm(by) * squares, 0.0);
                if (std::sqrt(left / squares) > 1e-3) return std::nullopt;
                double digit = 0;
                for (Index h = 0; h < shape[1] && !theirs.half_unit.empty(); ++h) {
                    const auto at = static_cast<std::size_t>(their_row(b, h, t) - theirs.values.data());
                    digit = std::max({digit, theirs.slack(at + idx(i)), theirs.slack(at + idx(j))});
                }
                slack = std::max(slack, 2e-6 + digit / std::sqrt(squares));
                places.push_back(positions.at(b, t));
                angles.push_back(std::arg(by));
                amplitudes += std::abs(by);
                ++count;
            }
        const std::optional<double> rate = rate_of(places, angles, std::max(1e-5, 2 * slack));
        if (!rate) return std::nullopt;
        out.rates.push_back(*rate);
    }
    out.amplitude = amplitudes / static_cast<double>(std::max(count, Index{1}));
    return out;
}

void Measures::measure_rope() {
    const Plan& p = replay_.plan();
    const std::optional<RotaryRule> ours = rule_of(replay_);
    if (!ours || p.norm_after_rope) return;
    const auto before = [&](Stage normed, Stage convolved, Stage plain) {
        return ours_[normed] ? normed : ours_[convolved] ? convolved : plain;
    };
    double of_queries = 0, of_keys = 0;
    const auto queries = turning(before(Stage::normed_queries, Stage::convolved_queries, Stage::queries),
                                 Stage::rotated_queries, p.rope->first_query, ours->queries, of_queries);
    const auto keys = turning(before(Stage::normed_keys, Stage::convolved_keys, Stage::keys),
                              Stage::rotated_keys, 0, ours->keys, of_keys);
    if (!queries && !keys) return;
    RotaryRule found = queries ? *queries : *keys;
    const auto longest = [](const Places& places) {
        double most = 0;
        for (const double x : places.numbers) most = std::max(most, std::abs(x));
        return most;
    };
    const double far = queries ? longest(ours->queries) : longest(ours->keys);
    if (!(far > 0)) return;
    rate_slack_ = (queries ? of_queries : of_keys) / far;
    if (queries && keys) {
        if (!(std::abs(queries->amplitude - keys->amplitude) < 1e-4)) return;
        const double apart = rate_slack_ + of_keys / std::max(longest(ours->keys), 1e-9);
        for (std::size_t n = 0; n < found.rates.size(); ++n)
            if (!(std::abs(queries->rates[n] - keys->rates[n]) <= apart + 1e-4 * std::abs(found.rates[n])))
                return;
    }
    if (std::abs(found.amplitude - 1) < 1e-5) found.amplitude = 1;
    found.queries = ours->queries;
    found.keys = ours->keys;
    found.base = base_of(found.rates, rate_slack_);
    rope_ = std::move(found);
}

void Measures::measure_scores() {
    const Plan& p = replay_.plan();
    if (p.softcap || p.normalize != Normalize::softmax || !ours_[Stage::scores]) return;
    // What comes after all that is added, or before it.
    Stage of = Stage::weights;
    bool sums = true;
    if (!have(of) || p.mask_at == MaskAt::weights) {
        of = p.find(Stage::masked_scores) && p.mask_at == MaskAt::scaled_scores ? Stage::masked_scores
                                                                                : Stage::biased_scores;
        if (!have(of)) of = Stage::biased_scores;
        if (!have(of)) {
            of = Stage::scaled_scores;
            sums = false;
        }
        if (!have(of)) return;
    }
    const Numbers4& ours = *ours_[Stage::scores];
    // Theirs, where they are given: what went wrong before them is no matter of the scale.
    const double* given_scores = have(Stage::scores) ? find(theirs_, Stage::scores)->values.data() : nullptr;
    const WholeStage& theirs = *find(theirs_, of);
    const Mask<double> mask(p, replay_.tensors());
    const bool slopes = sums && !p.alibi.empty(), bias = sums && p.position_bias.has_value(),
               added = sums && mask.adds() && p.mask_at == MaskAt::scaled_scores;
    std::size_t unknowns = 1;
    const std::size_t at_slope = slopes ? unknowns++ : 0, at_bias = bias ? unknowns++ : 0,
                      at_added = added ? unknowns++ : 0;
    const std::span<const double> table =
        bias ? replay_.tensor(p.position_bias->tensor) : std::span<const double>{};
    const Index given = p.given_keys();
    ScoreTerms out;
    std::vector<double> more(static_cast<std::size_t>(p.keys));
    for (Index h = 0; h < p.heads; ++h) {
        Regression regression(unknowns);
        for (Index b = 0; b < ours.shape[0]; ++b)
            for (Index i = 0; i < ours.shape[2]; ++i) {
                const Index query = ours_.rows[idx(i)];
                const Index begin = ((b * p.heads + h) * p.queries + query) * p.keys;
                const double* y = theirs.values.data() + begin;
                const double* x = given_scores ? given_scores + begin : ours.row(b, h, i);
                if (added) mask.add(b, h, query, more.data());
                Centred row;
                for (Index j = 0; j < given; ++j) {
                    double score = y[j];
                    if (of == Stage::weights) {
                        if (!(score > least_weight)) continue;
                        score = std::log(score);
                    }
                    // Large negative fills are no numbers of a score.
                    if (!std::isfinite(score) || std::abs(score) > 1e4) continue;
                    if (!std::isfinite(x[j])) continue;
                    std::array<double, 4> terms{x[j]};
                    if (slopes) terms[at_slope] = static_cast<double>(j - query - p.offsets[idx(b)]);
                    if (bias) terms[at_bias] = table[idx(p.bias_number(b, h, query, j))];
                    if (added) terms[at_added] = std::isfinite(more[idx(j)]) ? more[idx(j)] : 0;
                    if (added && !std::isfinite(more[idx(j)])) continue;
                    row.x.push_back(terms);
                    row.y.push_back(score);
                }
                row.centre();
                for (std::size_t k = 0; k < row.y.size() && row.y.size() > 1; ++k)
                    regression.add(row.x[k], row.y[k]);
            }
        const auto c = regression.solved();
        if (!c) return;
        out.scale.push_back((*c)[0]);
        if (slopes) out.slopes.push_back((*c)[at_slope]);
        if (bias) out.bias.push_back((*c)[at_bias]);
        if (added) out.added.push_back((*c)[at_added]);
    }
    scores_ = std::move(out);
}

}  // namespace attn
