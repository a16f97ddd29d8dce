#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/replay/replay.hpp"

namespace attn {

/// One way in which a mistake can be made: a change of the plan, or of what the plan cannot say.
struct Form {
    std::string detail;  ///< which one, where there are several: "the causal mask alone"
    Stage first;         ///< the first stage that changes
    bool values_only =
        false;  ///< of the stages after it, only values and what comes after the weights change
    std::function<void(Deviation&)> make;
};

/// A row of the table of known mistakes.
struct MistakeRow {
    std::string_view id;     ///< those that exist for each weight get ":NAME"
    std::string_view did;    ///< what was done
    std::string_view sign;   ///< how it shows in the numbers
    std::string_view seen;   ///< where it was made
    std::string_view hint;   ///< the line to look at
    std::string_view blind;  ///< why an input to which it applies may not show it
    std::string_view cure;   ///< the smallest change of an input that shows it
};

/// THE TABLE. Where two mistakes cannot be told apart the first is named first.
std::span<const MistakeRow> all_mistakes();
const MistakeRow& mistake_row(std::string_view id);

/// A mistake that can be made with a plan.
struct Mistake {
    const MistakeRow* row;
    std::string id;  ///< "weight_transposed:W_query"
    std::vector<Form> forms;
};
struct Inapplicable {
    const MistakeRow* row;
    std::string why;  ///< "there is one head"
};
struct Catalogue {
    std::vector<Mistake> mistakes;  ///< in the order of the table
    std::vector<Inapplicable> others;
};
Catalogue catalogue_of(const Replay& replay);

/// What looks like a mistake and changes no number: for people who look for it.
std::span<const std::string_view> no_mistakes();

}  // namespace attn
