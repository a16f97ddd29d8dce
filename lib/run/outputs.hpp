#pragma once
#include <memory>

#include "lib/run/emitter.hpp"
#include "lib/run/projections.hpp"

namespace attn {

/// What follows the contexts: the gate, heads side by side, the output projection.
template <class T>
class Outputs {
  public:
    Outputs(const Plan& plan, const Tensors<T>& tensors, Pool& pool);

    /// Before the first run of these needs: memory, and the packed weights of the output projection.
    void prepare(const Needs& needs, Projections<T>& projections, Findings& findings, Arena& arena);
    /// Normed and gated contexts, from the contexts of all computed heads.
    void apply_gate(const Needs& needs, const Contexts<T>& contexts, const View<T>& gate);
    /// The joined heads, normed.
    void norm_concat(const Contexts<T>& contexts);
    /// The stage of Phase::gated as apply_gate() left it.
    const Contexts<T>& of(Stage stage) const {
        return stage == Stage::normed_context ? *normed_contexts_ : *gated_contexts_;
    }
    /// normed_concat as norm_concat() left it.
    const Contexts<T>& normed_concats() const { return *normed_concats_; }
    /// concat, normed_concat, head_outputs or output of a batch item, some rows at a time.
    void merged(Sink& sink, const PlannedStage& stage, Index batch, const Contexts<T>& contexts,
                Emitter<T>& emitter);

  private:
    /// The rows of the output are pushed at once: its matrix is packed on the way, and not held.
    bool is_applied_once(const Needs& needs) const;
    /// What is put side by side.
    const Contexts<T>& joined(const Contexts<T>& contexts) const {
        return plan_.gate ? *gated_contexts_ : plan_.context_norm ? *normed_contexts_ : contexts;
    }

    const Plan& plan_;
    const Tensors<T>& tensors_;
    Pool& pool_;
    Projections<T>* projections_ = nullptr;
    std::optional<Linear<T>> output_;  ///< none where it is applied once
    std::unique_ptr<Contexts<T>> normed_contexts_, gated_contexts_, normed_concats_;
};

}  // namespace attn
