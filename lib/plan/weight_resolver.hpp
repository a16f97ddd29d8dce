#pragma once
#include <optional>
#include <string>

#include "lib/input/weight_names.hpp"
#include "lib/plan/builder.hpp"

namespace attn {

/// "query", "query, key, value", ...
std::string_view word(WeightRole role);

constexpr std::size_t slot(WeightRole r) { return static_cast<std::size_t>(r); }

/// The tensors of one set of names, by role. Null: not given.
struct Slots {
    NamedTensor* weight[weight_role_count] = {};
    NamedTensor* bias[weight_role_count] = {};
};

/// \throws Error where two names are for the same.
Slots sort_by_role(NamedWeights& set);
/// The weight for `role` in the style of the names that are there: k_proj.weight beside q_proj.weight or
/// k_proj.bias; the packed weight of the family where it has no other.
std::string sibling_name(const Slots& slots, WeightRole role);

/// Reads weights into the projections of a plan. Internal to the room.
class Resolver {
  public:
    explicit Resolver(Builder& b) : b_(b), plan_(b.plan) {
        plan_.projection(WeightRole::query).d_in = b.query_width;
        plan_.projection(WeightRole::key).d_in = b.key_width;
        plan_.projection(WeightRole::value).d_in = b.value_width;
    }
    void identity();
    void named();
    void given_output();
    void drawn();

  private:
    static void note_layout(Plan& plan, std::string name, std::string role, bool bias, bool out_in,
                            const Shape& shape);
    Projection& of(WeightRole r);
    const std::string& input_name(WeightRole r) const;
    /// Places a matrix as columns of a projection, or refuses a width that does not fit.
    void place_weight(NamedTensor& t, const NamedWeights& set, WeightRole role, Index d_in,
                      const std::string& input);
    static Index outputs_of_last(const Projection& p);
    void place_bias(NamedTensor& t, WeightRole role, Index outputs);
    void check_roles(const NamedWeights& set, WeightRoles allowed) const;
    void check_plain_widths() const;
    /// Queries and keys whose rows stand as neighbours within each head: as halves again.
    void put_rows_back(const NamedWeights& set, Slots& slots) const;
    void one_set(NamedWeights& set);
    void latent(NamedWeights& set);
    void latent_and_rope(NamedTensor& t, const NamedWeights& set, Index narrow);
    void keys_and_values(NamedTensor& t, const NamedWeights& set, Index narrow);
    void scoring(NamedWeights& set);
    void recurrence(NamedWeights& set);
    const Shape& input_shape(WeightRole r) const;
    /// Outputs of a packed matrix, and how many of each head's it holds for a column of keys, of values.
    struct PackedOutputs {
        Index outputs, key_parts, value_parts;
        const std::string& pointer;
    };
    Index value_width(const Slots& slots, const NamedWeights& set, Index values,
                      const PackedOutputs& of_matrix) const;
    void packed(NamedTensor& t, const NamedWeights& set, const Slots& slots);
    /// in_proj_ba: beta and decay of the heads of values that read each head of keys.
    void packed_rates(NamedTensor& t, const NamedWeights& set);
    void refuse_packing(const NamedWeights& set, const Slots& slots) const;
    void biases(Slots& slots);
    void split_heads();
    /// A vector that stands alone; its length is checked where its use is known.
    std::optional<std::size_t> place_vector(const Slots& slots, WeightRole role);
    /// The gate, appended keys and weights of norms.
    void extras(NamedWeights& set);
    /// Taps of queries, keys and values, each for itself or one below the other.
    void convolution(Slots& slots);
    void output(NamedWeights& set);
    /// One tensor that the generator will fill, in draw order.
    std::size_t place_drawn(const WeightsInit& init, Shape shape, std::string name);
    void place_drawn_linear(const WeightsInit& init, WeightRole role, Index d_out, bool out_in, bool bias);
    /// d_out is the width of the queries; keys and values that are shared between heads are narrower.
    Index drawn_width(WeightRole role, Index d_out) const;
    void drawn_heads(const WeightsInit& init);
    void drawn_multihead(const WeightsInit& init);
    /// nn.Linear keeps [d_out, d_in]; the two codes that say c_attn differ, and are told apart by its shape.
    bool is_out_in(const NamedTensor& t, const NamedWeights& set) const;
    /// [head, d_in, d_head], TransformerLens.
    void place_heads(NamedTensor& t, WeightRole role, Index d_in, const std::string& input);
    void count_heads(const NamedWeights& set);

    Builder& b_;
    Plan& plan_;
    bool c_attn_is_out_in_ = false;
    bool has_score_ = false;  ///< W_score is among the weights of embeddings
};

}  // namespace attn
