#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/replay/replay.hpp"

namespace attn {

/// A number of theirs that was measured, or one for each head.
struct Measurement {
    std::string what;                  ///< "scale", "base", "slopes"
    std::vector<double> theirs, ours;  ///< `ours` empty: the plan has no such number
    std::string origin =
        {};  ///< where theirs is likely to come from: "1/√12, d_model / heads"; empty: unknown
};
/// "theirs 0.2887 = 1/√12, ours 0.3536".
std::string words_of(const Measurement& measured);

/// One way in which a mistake can be made: a change of the plan, or of what the plan cannot say.
struct Form {
    std::string detail;  ///< which one, where there are several: "at the top left"
    /// The first stage that changes. The plan need not have it: it is a place in the order of all stages,
    /// and what stands before it there stays as it is.
    Stage first;
    bool values_only = false;  ///< the mistake leaves scores and weights alone
    std::function<void(Deviation&)> make;
    std::string of = {};       ///< ":W_query": forms of a row with different names are different mistakes
    std::string hint = {};     ///< in place of the row's
    bool mixes_items = false;  ///< no batch item can be computed without the others
    std::optional<Measurement> measured = {};
};
using Forms = std::vector<Form>;

/// A number above 0 that can be wrong: what it has to be to give theirs is sought where no other mistake
/// does.
struct Tunable {
    double ours;  ///< where the search begins
    Stage first;
    std::function<void(Deviation&, double)> make;
    /// Nothing: a number that other mistakes have.
    std::function<std::optional<Measurement>(double)> measured;
    /// The numbers that it can be, where they are few; else any above 0.
    std::vector<double> among = {};
};

class Seen;
class Measures;
struct Mistake;

/// A reason why an input does not show a mistake.
struct Blind {
    std::string_view why;
    /// Whether it is so; null: it is, wherever the mistake changes no stage at all.
    bool (*holds)(const Seen& seen, const Mistake& mistake) = nullptr;
    std::string_view cure = {};  ///< what would show it then; empty: what the row says
};

/// Whether a mistake is tried together with each other one: pairs grow with the square of those that are.
enum class Pairs { with_others, never };

/// A row of the table of known mistakes, with all that is known of it.
struct MistakeRow {
    std::string_view id;
    std::string_view names;  ///< the ids that it stands for, as documents write them; empty: `id` alone
    std::string_view did;    ///< what was done
    std::string_view sign;   ///< how it shows in the numbers
    std::string_view seen;   ///< where it was made
    std::string_view hint;   ///< the line to look at
    std::span<const Blind>
        blind;              ///< why an input to which it applies may change no stage: the first that holds
    std::string_view cure;  ///< the smallest change of an input that shows it
    /// Why it cannot be made with a plan; empty: it can.
    std::string (*applies)(const Replay& replay);
    /// The ways in which it can be made with a plan to which it applies.
    Forms (*make)(const Replay& replay);
    Pairs pairs = Pairs::with_others;
    /// Rows that are not named beside this one where both give the same numbers: it is what happens.
    std::string_view in_place_of = {};
    /// The same with what their numbers say: only what can be so. Nothing: they do not say it, and `make`
    /// does.
    std::optional<Forms> (*measure)(const Replay& replay, const Measures& measures) = nullptr;
    /// What is sought where no single mistake fits.
    std::vector<Tunable> (*tune)(const Replay& replay) = nullptr;

    bool is_in_place_of(std::string_view other) const;
};

/// THE TABLE. Where two mistakes cannot be told apart the first is named first.
std::span<const MistakeRow> all_mistakes();
const MistakeRow& mistake_row(std::string_view id);

/// A mistake that can be made with a plan.
struct Mistake {
    const MistakeRow* row;
    std::string id;  ///< "weight_transposed:W_query"
    Forms forms;
    bool measured = false;  ///< the forms are what their numbers say

    /// Whether it is tried beside another one.
    bool in_pairs() const { return !is_rounding() && (measured || row->pairs != Pairs::never); }
    /// Numbers come near theirs only: it is judged by the size of what is left.
    bool is_rounding() const;
};
struct Inapplicable {
    const MistakeRow* row;
    std::string why;  ///< "there is one head"
};
struct Catalogue {
    std::vector<Mistake> mistakes;  ///< in the order of the table
    std::vector<Inapplicable> others;
};
/// `measures`: of theirs, where there are such numbers.
Catalogue catalogue_of(const Replay& replay, const Measures* measures = nullptr);

/// What looks like a mistake and changes no weight: for people who look for it.
std::span<const std::string_view> no_mistakes();

/// docs/mistakes.md.
std::string mistakes_page();

}  // namespace attn
