// A number that is asked for by its name.
#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <vector>

#include "lib/explain/explain.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn::explain {

StageId stage_in(const Plan& plan, std::string_view name, const std::string& what) {
    std::vector<std::string_view> names;
    for (const PlannedStage& s : plan.stages) {
        names.push_back(s.name);
        if (s.name == name) return {s.stage};
    }
    for (std::size_t k = 0; k < plan.gradients.size(); ++k) {
        const PlannedStage& s = plan.gradients[k];
        names.push_back(s.name);
        if (s.name == name) return {s.stage, static_cast<Index>(k)};
    }
    const bool known = stage_named(name.starts_with("d_") ? name.substr(2) : name).has_value();
    fail_usage(what + (known ? ": this input has no such stage" : ": there is no such stage"),
               known && name.starts_with("d_") && plan.gradients.empty()
                   ? "gradients are there with \"gradient\" in the document: docs/gradients.md"
                   : did_you_mean(name, names));
}

Cell cell_named(const Plan& plan, std::string_view text, Index batch, Index head) {
    const auto refuse = [&](const std::string& why, std::string hint = {}) {
        fail_usage(option::cell + " " + harmless(text) + ": " + why, std::move(hint));
    };
    const std::size_t open = std::min(text.find('['), text.size());
    const std::string_view name = text.substr(0, open);
    const StageId id = stage_in(plan, name, option::cell + " " + harmless(text));
    const PlannedStage* stage = &planned(plan, id);
    std::vector<Index> numbers;
    const char* at = text.data() + open;
    const char* end = text.data() + text.size();
    bool right = at != end && end[-1] == ']';
    while (right && at != end && *at != ']') {
        Index n = 0;
        const auto [stop, error] = std::from_chars(at + 1, end, n);
        right = error == std::errc{} && n >= 0 && stop != end && *stop == (stop + 1 == end ? ']' : ',');
        numbers.push_back(n);
        at = stop;
    }
    const auto axes = axes_of(stage->family);
    std::size_t free = 0;  // batch and head may be left out
    if (!is_of_parameter(stage->family))
        for (const Axis a : axes) free += a == Axis::batch || a == Axis::head;
    if (!right || (numbers.size() != axes.size() && numbers.size() != axes.size() - free)) {
        std::string own;
        for (std::size_t k = free; k < axes.size(); ++k)
            own += (k > free ? "," : "") + std::string(name_of(axes[k]));
        refuse("expected " + std::string(name) + "[" + own + "], numbers counted from 0",
               free ? "with batch" + std::string(free > 1 ? " and head" : "") +
                          " in front where there are several"
                    : "");
    }
    Cell cell{stage->stage, has_batch(stage->family) ? batch : 0, 0, 0, 0, 0, id.gradient};
    if (has_heads(stage->family) && !is_of_parameter(stage->family)) {
        cell.head = plan.head_in(stage->family, head);
        if (stage->shape[1] == 1) cell.head = 0;
    }
    const std::size_t skipped = axes.size() - numbers.size();
    for (std::size_t k = skipped; k < axes.size(); ++k) {
        const Index n = numbers[k - skipped];
        if (n >= stage->shape[k])
            refuse("there is no " + std::string(name_of(axes[k])) + " " + std::to_string(n),
                   std::string(name) + " is " + to_string(stage->shape));
        if (axes[k] == Axis::batch) {
            cell.batch = n;
        } else if (axes[k] == outer_axis(stage->family) && has_heads(stage->family)) {
            cell.head = n;
        } else if (k + 1 == axes.size()) {
            cell.column = n;
        } else if (stage->family == StageShape::states && axes[k] == Axis::key) {
            cell.token = n;
        } else {
            cell.row = n;
        }
    }
    return cell;
}

}  // namespace attn::explain
