// Which heads theirs read, and what is hidden from theirs: what is chosen, not how large it is.
#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/mistakes/least_squares.hpp"
#include "lib/mistakes/measures.hpp"

namespace attn {
namespace {

/// A choice is theirs where it leaves less than this share of their numbers.
constexpr double share_left = 1e-3;
/// More choices than this are not told apart by what their sum makes of the output.
constexpr std::size_t most_choices = 256;
/// Scores from here down are fills.
constexpr double fill = -9999;

/// How far a head of theirs is from each choice.
class Nearest {
  public:
    explicit Nearest(std::size_t choices) : left_(choices) {}

    void add(std::size_t choice, const double* theirs, const double* ours, Index n) {
        for (Index k = 0; k < n; ++k) {
            const double d = theirs[k] == ours[k] ? 0 : theirs[k] - ours[k];
            left_[choice] =
                std::isfinite(d) ? left_[choice] + d * d : std::numeric_limits<double>::infinity();
            if (choice == 0 && std::isfinite(theirs[k])) squares_ += theirs[k] * theirs[k];
        }
    }
    /// Nothing: none is near.
    std::optional<Index> choice() const {
        const auto least = std::min_element(left_.begin(), left_.end());
        if (!(*least <= share_left * share_left * squares_)) return std::nullopt;
        return least - left_.begin();
    }

  private:
    std::vector<double> left_;
    double squares_ = 0;
};

}  // namespace

/// The first of their stages from `first` on that shows which choice stands at each place. choices[c]: stages
/// of a run in which every place has choice c.
std::optional<std::vector<Index>> Measures::chosen_heads(const std::vector<HeldStages>& choices,
                                                         Stage first) const {
    const Plan& p = replay_.plan();
    // Half heads make scores and weights, heads contexts.
    const Index places = stands_before(first, Stage::context) ? p.heads : p.context_heads();
    for (const PlannedStage& s : p.stages) {
        if (info_of(s.stage).on_request || stands_before(s.stage, first)) continue;
        if (!have(s.stage) || !choices[0][s.stage]) continue;
        const bool merged = info_of(s.stage).phase == Phase::merged;
        const bool is_concat =
            s.stage == Stage::concat ||
            (s.stage == Stage::output && !p.projects(WeightRole::output) && !p.concat_norm);
        if (!merged ? replay_.shape_of(s)[1] == places : is_concat && places == p.context_heads())
            return nearest_heads(choices, s, places);
        if (s.stage == Stage::output && !p.concat_norm && choices[0][Stage::concat])
            return places == p.context_heads() ? heads_in_output(choices) : std::nullopt;
    }
    return std::nullopt;
}

/// From a stage in which each place stands for itself: along an axis, or, where heads are joined, as columns.
std::optional<std::vector<Index>> Measures::nearest_heads(const std::vector<HeldStages>& choices,
                                                          const PlannedStage& stage, Index places) const {
    const bool merged = info_of(stage.stage).phase == Phase::merged;
    const auto shape = replay_.shape_of(stage);
    const double* theirs = find(theirs_, stage.stage)->values.data();
    const std::vector<Index>& rows = merged ? ours_.merged_rows : ours_.rows;
    const Index width = merged ? replay_.plan().value_dim : shape[3];
    std::vector<Index> out;
    for (Index place = 0; place < places; ++place) {
        const Index head = merged ? 0 : place, column = merged ? place * width : 0;
        Nearest nearest(choices.size());
        for (std::size_t c = 0; c < choices.size(); ++c) {
            const Numbers4& ours = *choices[c][stage.stage];
            for (Index b = 0; b < ours.shape[0]; ++b)
                for (std::size_t i = 0; i < rows.size(); ++i)
                    nearest.add(c, theirs + ((b * shape[1] + head) * shape[2] + rows[i]) * shape[3] + column,
                                ours.row(b, head, static_cast<Index>(i)) + column, width);
        }
        const std::optional<Index> choice = nearest.choice();
        if (!choice) return std::nullopt;
        out.push_back(*choice);
    }
    return out;
}

/// From the output, a sum over the heads: which of what each could add stand in it?
std::optional<std::vector<Index>> Measures::heads_in_output(const std::vector<HeldStages>& choices) const {
    const Plan& p = replay_.plan();
    const auto heads = static_cast<std::size_t>(p.context_heads()), count = choices.size();
    const std::size_t unknowns = heads * count;
    const std::vector<Index>& rows = ours_.merged_rows;
    const Index items = choices[0][Stage::output]->shape[0];
    // Of the last rows, which see the most keys, as many as give four times as many numbers.
    const auto a_row = static_cast<std::size_t>(items * p.output_dim);
    const std::size_t used = std::min(rows.size(), 4 * unknowns / a_row + 1), skipped = rows.size() - used;
    const std::size_t equations = a_row * used;
    if (unknowns > most_choices || equations < unknowns) return std::nullopt;
    const double* theirs = find(theirs_, Stage::output)->values.data();
    const std::vector<double> map = replay_.weight(WeightRole::output),
                              bias = replay_.bias(WeightRole::output);
    std::vector<std::vector<double>> columns(unknowns, std::vector<double>(equations));
    std::vector<double> y;
    for (Index b = 0; b < items; ++b)
        for (std::size_t i = skipped; i < rows.size(); ++i) {
            const std::size_t at = y.size();
            for (Index o = 0; o < p.output_dim; ++o)
                y.push_back(theirs[(b * p.queries + rows[i]) * p.output_dim + o] - bias[idx(o)]);
            for (std::size_t n = 0; n < unknowns; ++n) {
                const Index begin = static_cast<Index>(n / count) * p.value_dim;
                const double* x = choices[n % count][Stage::concat]->row(b, 0, static_cast<Index>(i)) + begin;
                for (Index k = 0; k < p.value_dim; ++k)
                    for (Index o = 0; o < p.output_dim; ++o)
                        columns[n][at + idx(o)] += x[k] * map[idx((begin + k) * p.output_dim + o)];
            }
        }
    const std::vector<double> shares = LeastSquares(std::move(columns)).solved(std::move(y));
    // One choice stands at each place, and stands there whole.
    constexpr double slack = 0.05;
    std::vector<Index> out;
    for (std::size_t n = 0; n < shares.size(); ++n) {
        if (std::abs(shares[n] - 1) < slack && out.size() == n / count)
            out.push_back(static_cast<Index>(n % count));
        else if (!(std::abs(shares[n]) < slack))
            return std::nullopt;
    }
    return out.size() == heads ? std::optional(out) : std::nullopt;
}

/// Stages of a run with each choice, which changes `first` and what comes after it.
std::vector<HeldStages> Measures::each_choice(Index count, Stage first,
                                              const std::function<void(Deviation&, Index)>& choose) const {
    std::vector<HeldStages> out;
    const Slice slice{ours_[Stage::queries]->shape[0], ours_.merged_rows};
    const HeldStages given = replay_.before(ours_, first);
    for (Index c = 0; c < count; ++c) {
        Deviation d = replay_.none();
        d.plan.batch = slice.items;
        choose(d, c);
        out.push_back(replay_.run(d, given, slice));
    }
    return out;
}

std::optional<std::vector<Index>> Measures::kv_heads() const {
    const Index heads = replay_.plan().heads;
    return chosen_heads(each_choice(replay_.plan().kv_heads, Stage::scores,
                                    [&](Deviation& d, Index c) {
                                        d.quirks.kv_heads.assign(static_cast<std::size_t>(heads), c);
                                    }),
                        Stage::scores);
}

std::optional<std::vector<Index>> Measures::contexts_of() const {
    const Index heads = replay_.plan().context_heads();
    return chosen_heads(each_choice(heads, Stage::concat,
                                    [&](Deviation& d, Index c) {
                                        d.quirks.contexts_of.assign(static_cast<std::size_t>(heads), c);
                                    }),
                        Stage::concat);
}

std::optional<Window> Measures::window() const {
    const Plan& p = replay_.plan();
    // What prefixes and blocks show says nothing of the window.
    if (!p.window || p.state || !p.prefix.empty() || !p.token_blocks.empty()) return std::nullopt;
    const bool weights = have(Stage::weights) && p.mask_at != MaskAt::weights;
    const Stage of = weights ? Stage::weights : Stage::masked_scores;
    if (!have(of)) return std::nullopt;
    const WholeStage& theirs = *find(theirs_, of);
    Plan rest = p;
    drop(rest, {MaskPart::Kind::window});
    const Mask<double> mask(rest, replay_.tensors());
    std::vector<std::uint8_t> hidden(static_cast<std::size_t>(p.keys));
    constexpr Index far = std::numeric_limits<Index>::max();
    // The farthest that is seen and the nearest that is not, to the left and to the right.
    Index seen_left = 0, seen_right = 0, hidden_left = far, hidden_right = far;
    for (Index b = 0; b < p.batch; ++b)
        for (Index h = 0; h < p.heads; ++h)
            for (Index i = 0; i < p.queries; ++i) {
                const double* row = theirs.values.data() + ((b * p.heads + h) * p.queries + i) * p.keys;
                if (rest.masked) mask.hide(b, h, i, hidden.data());
                const auto shows = [&](Index j) { return weights ? row[j] > 0 : row[j] > fill; };
                // Rows without a key are filled in some way, with no regard to windows.
                bool any = false, filled = false;
                for (Index j = 0; j < p.given_keys(); ++j) {
                    any = any || shows(j);
                    filled = filled || (shows(j) && hidden[idx(j)] != 0) || std::isnan(row[j]);
                }
                if (!any || filled) continue;
                for (Index j = 0; j < p.given_keys(); ++j) {
                    if (hidden[idx(j)] != 0) continue;
                    const Index back = i + p.offsets[idx(b)] - j;
                    const bool sees = shows(j);
                    if (back >= 0) {
                        (sees ? seen_left : hidden_left) =
                            sees ? std::max(seen_left, back) : std::min(hidden_left, back);
                    } else {
                        (sees ? seen_right : hidden_right) =
                            sees ? std::max(seen_right, -back) : std::min(hidden_right, -back);
                    }
                }
            }
    const auto side = [&](Index seen, Index not_seen, std::optional<Index>& out) {
        if (not_seen != far) out = seen;
        return not_seen == far || not_seen == seen + 1;
    };
    Window out;
    return side(seen_left, hidden_left, out.left) && side(seen_right, hidden_right, out.right)
               ? std::optional(out)
               : std::nullopt;
}

}  // namespace attn
