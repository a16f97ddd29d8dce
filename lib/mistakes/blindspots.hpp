#pragma once
#include <string>
#include <vector>

#include "lib/mistakes/mistakes.hpp"

namespace attn {

/// What an input shows of one known mistake.
enum class Sight {
    shown,
    weakly,    ///< by less than 1000 roundings to float32 of the largest number, or less than diff lets
               ///< pass, or by NaN alone
    unseen,    ///< not in the last stage
    no_place,  ///< it cannot be made here
};
std::string_view name_of(Sight sight);

struct Blindspot {
    std::string id;
    Sight sight = Sight::shown;
    double difference = 0;  ///< of the last stage, the largest; infinite: NaN, infinities, or another width
    double roundings = 0;   ///< the same in roundings to float32 of the last stage's largest number
    std::string why;        ///< why it is not, as this input's own numbers are
    std::string cure;       ///< the smallest change that shows it
    std::vector<std::string> stages;   ///< unseen: stages that show it all the same
    std::vector<std::string> same_as;  ///< mistakes before it that give the same numbers to float32
};

struct Blindspots {
    std::string stage;  ///< the last one, which is looked at
    std::vector<Blindspot> mistakes;
    double nearest = 0;  ///< the smallest difference of two mistakes that are shown and not the same
    std::string one, other;
};

/// Makes every known mistake of a backward pass with a plan that has a gradient, and looks at all gradients;
/// roundings are those of each gradient's largest number. Of plans with more numbers of queries x keys than
/// GradientReplay::most_cells nothing is said.
Blindspots gradient_blindspots_of(const Plan& plan);

/// Makes every known mistake with a plan and looks at what becomes of its last stage. Where there are many
/// rows only some of them are looked at.
Blindspots blindspots_of(const Plan& plan);

}  // namespace attn
