// What enters the backward pass.
#include <array>
#include <string>
#include <string_view>

#include "lib/input/choices.hpp"
#include "lib/input/read_options.hpp"
#include "lib/input/read_tensor.hpp"

namespace attn {
namespace {

constexpr TensorRule result_rule{2, 3, Elements::finite,
                                 "as the result is: [batch, query, width], or without batch"};
constexpr TensorRule context_rule{2, 4, Elements::finite, "[batch, head, query, dim of values]"};
constexpr TensorRule state_rule{2, 4, Elements::finite, "[batch, head, dim of keys, dim of values]"};
constexpr const char* gradient_forms =
    "expected \"ones\", {\"output\": ...}, {\"context\": ...}, {\"state\": ...} or {\"loss\": ...}";

}  // namespace

GradientInput read_gradient(const Value& value, const std::string& pointer) {
    static constexpr std::array<std::string_view, 5> names{"output", "context", "state", "loss", "target"};
    GradientInput g;
    if (value.kind == Value::Kind::string) {
        static constexpr std::array<std::string_view, 1> words{"ones"};
        read_choice(value, pointer, words);
        g.loss = Loss::sum;
        return g;
    }
    need_object(value, pointer, gradient_forms + std::string_view("expected ").size());
    check_members(value, pointer, names);
    const auto tensor = [&](const char* name, const TensorRule& rule, std::optional<TensorSource>& to) {
        if (const Value* v = value.find(name)) to = read_tensor(*v, child(pointer, name), rule);
    };
    tensor("output", result_rule, g.output);
    tensor("context", context_rule, g.context);
    tensor("state", state_rule, g.state);
    tensor("target", result_rule, g.target);
    if (const Value* v = value.find("loss")) {
        static constexpr std::array<std::string_view, 2> losses{choice_name(Loss::sum),
                                                                choice_name(Loss::mean_squared_error)};
        g.loss = read_choice(*v, child(pointer, "loss"), losses) == 0 ? Loss::sum : Loss::mean_squared_error;
        for (const char* other : {"output", "context", "state"})
            if (value.find(other))
                fail_at_key(child(pointer, other), "\"" + std::string(other) +
                                                       "\" stands beside \"loss\": a gradient is given, or "
                                                       "follows from a loss");
    }
    if (g.target && g.loss != Loss::mean_squared_error)
        fail_at_key(child(pointer, "target"),
                    "\"target\" is what \"loss\": \"mean_squared_error\" compares the result with");
    if (g.loss == Loss::mean_squared_error)
        need(value, pointer, "target", "what the result is compared with");
    if (!g.output && !g.context && !g.state && g.loss == Loss::none)
        fail(pointer, std::string("is empty, ") + gradient_forms);
    return g;
}

}  // namespace attn
