#include "lib/run/visibility.hpp"

#include <algorithm>

#include "lib/run/mask.hpp"

namespace attn {
namespace {

/// The plan with the numbers of its masks only, so that nothing else is drawn or converted.
Plan masks_only(const Plan& plan) {
    Plan out = plan;
    out.init.reset();
    out.draws.clear();
    for (std::size_t k = 0; k < out.tensors.size(); ++k) {
        const auto is_mask = [k](const MaskRule& m) { return m.tensor == k; };
        if (std::any_of(out.masks.begin(), out.masks.end(), is_mask)) continue;
        out.tensors[k] = {};
        out.tensors[k].shape = {0};
    }
    return out;
}

}  // namespace

std::vector<MaskPicture> mask_pictures(const Plan& plan, Index largest) {
    std::vector<MaskPicture> out;
    if (!plan.masked || plan.queries > largest || plan.keys > largest || plan.batch * plan.heads > 1024)
        return out;
    const Plan masks = masks_only(plan);
    Pool pool(1);
    const Tensors<double> tensors(masks, pool);
    const Mask<double> mask(masks, tensors);
    const auto keys = static_cast<std::size_t>(plan.keys);
    std::vector<std::uint8_t> hidden(keys);
    std::vector<double> added(keys);
    for (Index b = 0; b < plan.batch; ++b) {
        for (Index h = 0; h < plan.heads; ++h) {
            std::vector<std::vector<Masked>> rows;
            for (Index i = 0; i < plan.queries; ++i) {
                mask.hide(b, h, i, hidden.data());
                mask.add(b, h, i, added.data());
                std::vector<Masked>& row = rows.emplace_back(keys, Masked::visible);
                for (std::size_t j = 0; j < keys; ++j)
                    row[j] = hidden[j] != 0  ? Masked::hidden
                             : added[j] != 0 ? Masked::added
                                             : Masked::visible;
            }
            const auto same =
                std::find_if(out.begin(), out.end(), [&](const auto& p) { return p.rows == rows; });
            if (same == out.end()) {
                out.push_back({{{b, h}}, std::move(rows)});
            } else {
                same->where.emplace_back(b, h);
            }
        }
    }
    return out;
}

}  // namespace attn
