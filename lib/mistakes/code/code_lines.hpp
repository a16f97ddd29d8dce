#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/mistakes/causes.hpp"
#include "lib/mistakes/code/code_words.hpp"
#include "lib/plan/plan.hpp"
#include "lib/theirs/names.hpp"

namespace attn {

/// Where a mistake is made: a template of the words of lib/mistakes/code.
struct CodeLine {
    std::string_view id;  ///< of a row of the table of mistakes, or of one of its names: "no_mask:causal"
    std::string_view text;
};
/// THE TABLE of lines: at least one for each row of the table of mistakes.
std::span<const CodeLine> all_code_lines();

/// What plans say: WordOfPlan knows no other words.
std::span<const std::string_view> words_of_plans();

/// Whose code the names come from: that of `map`, of what `theirs` are called, of the weights of `plan`, in
/// this order. Null: nobody's that is known.
const CodeSystem* code_system_of(NameMap map, const Layer& theirs, const Plan& plan);

/// The line of code, as `system` writes it, where the mistake `id` ("no_mask:causal") is made with `plan`; ""
/// where that system has none. It is the line as it should be.
std::string code_line(std::string_view id, const CodeSystem& system, const Plan& plan);

/// Fills in Cause::look_at of each cause, where there is a line.
void say_where(CauseReport& report, const CodeSystem* system, const Plan& plan);

}  // namespace attn
