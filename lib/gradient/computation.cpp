#include "lib/gradient/computation.hpp"

#include "lib/gradient/gradients.hpp"
#include "lib/plan/backward_cost.hpp"
#include "lib/run/executor.hpp"

namespace attn {

/// One of the first two is there where forward stages are shown: the one in which the plan's type is
/// computed.
struct Computation::Executors {
    std::optional<Executor<float>> singles;
    std::optional<Executor<double>> doubles;
    std::optional<gradient::Gradients> gradients;  ///< where some are shown
};

Computation::Computation(const Plan& plan) : plan_(&plan), executors_(std::make_unique<Executors>()) {
    if (!shows_forward(plan) && plan.shows_gradients())
        return;  // the backward pass has a forward pass of its own
    if (is_wide(plan.dtype)) {
        executors_->doubles.emplace(plan);
    } else {
        executors_->singles.emplace(plan);
    }
}

Computation::~Computation() = default;
Computation::Computation(Computation&&) noexcept = default;
Computation& Computation::operator=(Computation&&) noexcept = default;

std::vector<std::string> Computation::run(Sink& sink) {
    sink.begin(*plan_);
    std::vector<std::string> warnings = plan_->warnings;
    std::vector<std::string> of_stages;
    if (executors_->singles) of_stages = executors_->singles->run(sink);
    if (executors_->doubles) of_stages = executors_->doubles->run(sink);
    warnings.insert(warnings.end(), of_stages.begin(), of_stages.end());
    if (plan_->shows_gradients()) {
        if (!executors_->gradients) executors_->gradients.emplace(*plan_);
        const std::vector<std::string> of_gradients = executors_->gradients->run(sink);
        // A number that is not finite has been told of where it first stood.
        if (warnings.size() == plan_->warnings.size())
            warnings.insert(warnings.end(), of_gradients.begin(), of_gradients.end());
    }
    sink.end(warnings);
    return warnings;
}

std::vector<std::string> run(const Plan& plan, Sink& sink) {
    Computation computation(plan);
    std::vector<std::string> warnings = computation.run(sink);
    while (sink.wants_again()) computation.run(sink);
    return warnings;
}

}  // namespace attn
