#pragma once
#include <string>
#include <utility>

#include "lib/plan/machine.hpp"
#include "lib/plan/plan.hpp"

namespace attn {

/// A tensor that is drawn and has no place in memory, before anything else of its size is made. \throws Error
void refuse_too_large(const TensorSource& tensor, const Request& request);

/// A plan in the making: the problem gives up its tensors to the plan as they are placed. Internal to the
/// room.
struct Builder {
    Problem problem;
    const Request& request;
    Plan plan;
    /// What the inputs are called in the document, for messages: "embeddings", "key_embeddings", ...
    std::string query_name, key_name, value_name;
    Index query_width = 0, key_width = 0, value_width = 0;  ///< last axes of the inputs

    std::size_t add_tensor(TensorSource&& tensor) {
        refuse_too_large(tensor, request);
        plan.tensors.push_back(std::move(tensor));
        return plan.tensors.size() - 1;
    }
};

void choose_variant(Builder&);
/// Options that have no meaning in the variant, by name.
void refuse_foreign_options(Builder&);
/// Heads of keys and values divide the heads of queries. `found`: "keys have"
void check_groups(Builder&, const std::string& pointer, std::string_view found);
void resolve_inputs(Builder&);
void resolve_weights(Builder&);
/// Caches, appended keys, norms and rotary positions: everything between the projections and the scores. The
/// gate, too: it may take half of the queries' projection.
void resolve_keys(Builder&);
/// Decay, beta, feature map and past of variants that keep a state.
void resolve_state(Builder&);
void resolve_masks(Builder&);
/// The factor of the scores.
void choose_scale(Builder&);
/// Soft cap, biases and sinks.
void resolve_scores(Builder&);
void resolve_tokens(Builder&);
void resolve_stages(Builder&);
void resolve_selection(Builder&);
void resolve_cost(Builder&);

}  // namespace attn
