#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/problem.hpp"

namespace attn {

/// The norm of one head among those of all ("q_layernorm.norms.3.weight", StableLM 2): the weight that they
/// make together, and which head it is.
struct HeadNorm {
    std::string_view whole;  ///< q_norm.weight, k_norm.weight
    Index head = 0;
};
/// Nothing where a name is none.
std::optional<HeadNorm> head_norm_named(std::string_view name);

/// Norms of single heads, stacked into weights [heads, dim].
class HeadNorms {
  public:
    void add(const HeadNorm& norm, TensorSource tensor);
    /// Adds the weights that they make. \throws Error (exit 3): a head that is missing, or of another width
    void finish(std::vector<NamedTensor>& out) const;

  private:
    std::map<std::string_view, std::map<Index, TensorSource>> heads_;
};

}  // namespace attn
