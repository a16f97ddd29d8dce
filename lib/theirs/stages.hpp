#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/input/numbers.hpp"
#include "lib/plan/stage.hpp"
#include "lib/shape.hpp"

namespace attn {

/// The numbers of a stage, whole, as doubles: those of a run, or somebody else's brought into the same order.
struct WholeStage {
    Stage stage = Stage::output;
    /// [batch, head, row, column]; head is 1 where the stage has no such axis. per_key and per_query:
    /// [batch, head, token, 1]; states: [batch, head, key x dim, value dim].
    Shape shape;
    std::vector<double> values;  ///< row-major
    /// How far a number may lie from the one it was printed from: half a unit of its last digit, 0 where it
    /// is written in full. Empty: all are.
    std::vector<float> half_unit;
    /// A stage that is per_key by the table has a number for each column here: decay, beta.
    bool by_column = false;
    /// Of a gradient, "d_scores": `stage` is the one that it is the gradient of, and says nothing where it is
    /// that of an input or a parameter. Empty: a stage of the forward pass.
    std::string gradient{};
    std::optional<StageShape> axes_of_gradient{};

    StageShape family() const {
        if (axes_of_gradient) return *axes_of_gradient;
        return by_column ? StageShape::key_dim : info_of(stage).shape;
    }
    std::string_view name() const { return gradient.empty() ? info_of(stage).name : gradient; }
    double slack(std::size_t k) const { return half_unit.empty() ? 0 : static_cast<double>(half_unit[k]); }
};

/// Stages in the order of the enumeration Stage, or gradients in the order of the backward pass: none twice.
using StageSet = std::vector<WholeStage>;

/// The stage of a set, or null.
const WholeStage* find(const StageSet& set, Stage stage);
/// The gradient of a set of gradients, or null.
const WholeStage* find_gradient(const StageSet& set, std::string_view name);

/// When two numbers count as equal.
struct Tolerance {
    double atol = 1e-5, rtol = 1.3e-6;
    std::optional<int> ulp;           ///< in place of both: steps between neighbours of `type`
    Element type = Element::float32;  ///< the coarser of both sides' types
    bool asked = false;               ///< by the command line
};

/// What PyTorch's assert_close takes for a type (torch.testing, default_tolerances); exact for integers.
Tolerance default_tolerance(Element type);
/// The same for a gradient, whose sums cancel: `atol` is of its largest number, or of the largest of all
/// gradients where this is below 1 (docs/gradients.md). Bounds that were asked for stay.
Tolerance gradient_tolerance(Tolerance t, double largest, double largest_of_all);
/// The largest finite size of an array's numbers.
double largest_of(const std::vector<double>& values);

/// Steps from one number to the other through the neighbours of `type` (a floating type; both are rounded to
/// it first); 0 for equal ones, +0 and -0 included. Infinite where either is NaN, or only one is infinite.
double ulp_distance(double a, double b, Element type);

/// |theirs - ours| <= atol + rtol |ours| (or within the ulp), or ours rounds to theirs: `slack` is half a
/// unit of their last digit. Infinities and NaN are equal only to themselves.
bool is_close(double theirs, double ours, double slack, const Tolerance& tolerance);

}  // namespace attn
