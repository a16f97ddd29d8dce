#pragma once
#include <algorithm>
#include <span>

#include "lib/plan/blocking.hpp"
#include "lib/run/mask.hpp"

namespace attn {

/// What a row sees of a block of keys is rounded outward to so many keys.
constexpr Index seen_grain = 16;

/// Calls f(first row, rows, keys) for rows one after another that see the same of keys k0 ... k1 - 1, rounded
/// outward; no keys (from = to) where they see none. Which keys a row is given depends on that row alone.
template <class F>
void for_rows_alike(std::span<const Visible> rows, Index k0, Index k1, Index given_keys, const F& f) {
    const auto count = static_cast<Index>(rows.size());
    if (rows.back().from <= k0 && rows.front().to >= k1) return f(Index{0}, count, Visible{k0, k1});
    const bool appended = k1 > given_keys;
    const auto seen = [&](Index i) {
        const Visible& v = rows[idx(i)];
        if (v.from >= k1 || v.to <= k0) {
            if (!appended) return Visible{0, 0};
            return Visible{std::max(given_keys, k0) / seen_grain * seen_grain, k1};
        }
        const Index from = std::max(v.from, k0) / seen_grain * seen_grain,
                    to = appended ? k1 : std::min(v.to, k1);
        return Visible{from, std::min(blocking::parts(to, seen_grain) * seen_grain, k1)};
    };
    for (Index i = 0; i < count;) {
        const Visible keys = seen(i);
        Index end = i + 1;
        for (; end < count; ++end) {
            const Visible other = seen(end);
            if (other.from != keys.from || other.to != keys.to) break;
        }
        f(i, end - i, keys);
        i = end;
    }
}

}  // namespace attn
