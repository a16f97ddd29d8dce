#pragma once
#include <array>
#include <optional>
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
    /// Weights that are vectors, where the document has them: tensors of the plan.
    std::array<std::optional<std::size_t>, weight_role_count> vectors;
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
/// Heads of values beyond those of keys, after both are counted: all of them are kv heads from here on.
void group_value_heads(Builder&, Index value_heads, const std::string& pointer);
void resolve_inputs(Builder&);
/// The norm of embeddings before they are projected. After the inputs.
void resolve_embeddings_norm(Builder&);
void resolve_weights(Builder&);
/// What lambda is made of, which half heads belong together. After the weights.
void resolve_differential(Builder&);
/// Norms of queries, keys and values, the bound of what is projected.
void resolve_norms(Builder&);
/// The norms after the context: before a gate, of the joined heads.
void resolve_output_norms(Builder&);
/// A factor for each query, after positions are known.
void resolve_query_scale(Builder&);
/// Which columns turn, at which positions, by which angles. After caches: positions count from their end.
void resolve_rope(Builder&);
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
/// What enters the backward pass. After heads and widths are known.
void place_gradient(Builder&);
/// The order in which manual_seed draws.
void resolve_draws(Builder&);
void resolve_tokens(Builder&);
void resolve_stages(Builder&);
/// The stages of the backward pass. After those of the forward pass.
void resolve_gradients(Builder&);
void resolve_selection(Builder&);
void resolve_cost(Builder&);

}  // namespace attn
