#include "lib/mistakes/attempt.hpp"

#include <algorithm>

namespace attn {
namespace {

/// A cause leaves less than this share of what differs.
constexpr double left_over = 0.1, left_over_rounding = 0.2;
/// Of numbers that are rounded, one in so many may be further off than rounding explains.
constexpr Index outliers = 50;

}  // namespace

Attempt::Attempt(const Trials& trials, const std::vector<Distance>& ours, bool rounding)
    : trials_(trials), ours_(ours), rounding_(rounding), seen_(ours.size()) {
    const auto first =
        std::find_if(ours.begin(), ours.end(), [](const Distance& d) { return d.count > 0 && !d.close(); });
    first_different_ = static_cast<std::size_t>(first - ours.begin());
}

bool Attempt::allows(std::size_t k, const Distance& now) const {
    const Distance& before = ours_[k];
    // A stage before what differs may not be what they went on with; one after it is made from it.
    if (before.close()) return k < first_different_ || rounding_ || now.reached();
    if (rounding_ ? now.strange != 0 || now.outside * outliers > now.count || !before.looks_rounded()
                  : !now.reached())
        return false;
    return before.strange != 0 || now.rms() <= (rounding_ ? left_over_rounding : left_over) * before.rms();
}

Watch Attempt::watch(const HeldStages& base) {
    return [this, &base](Stage stage, const HeldStages& held) {
        const std::optional<std::size_t> k = trials_.place(stage);
        if (!k || ours_[*k].count == 0) return true;
        seen_[*k] = held[stage] == base[stage] ? ours_[*k] : trials_.distance(*k, held);
        failed_ = !allows(*k, *seen_[*k]);
        return !failed_;
    };
}

std::optional<Left> Attempt::left(const HeldStages& held) const {
    if (failed_) return std::nullopt;
    std::vector<Distance> now(ours_.size());
    for (std::size_t k = 0; k < now.size(); ++k)
        if (ours_[k].count > 0) now[k] = seen_[k] ? *seen_[k] : trials_.distance(k, held);
    return left(now);
}

std::optional<Left> Attempt::left(const std::vector<Distance>& now) const {
    Left out;
    bool any = false;
    for (std::size_t k = 0; k < now.size(); ++k) {
        if (ours_[k].count == 0) continue;
        if (!allows(k, now[k])) return std::nullopt;
        if (ours_[k].close()) {
            out.all_stages = out.all_stages && now[k].reached();
            continue;
        }
        any = any || trials_.is_finite(k);
        out.rms = std::max(out.rms, now[k].rms());
    }
    return any ? std::optional(out) : std::nullopt;
}

}  // namespace attn
