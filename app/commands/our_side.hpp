#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/commands/common.hpp"
#include "app/commands/diff_side.hpp"
#include "app/model_source.hpp"
#include "lib/diff/ours.hpp"
#include "lib/render/comparisons/diff.hpp"

namespace attn {

/// Our side as layers: documents to compute, or layers of a trace.
class OurSide {
  public:
    /// The layers of a model's folder.
    OurSide(std::vector<ModelLayer> layers, const Options& options);

    OurSide(const std::string& name, const Options& options);

    const std::string& file() const { return side_.file; }
    /// The files that the documents name, links followed.
    std::set<std::string> files_used() const;
    const Side& side() const { return side_; }
    std::size_t size() const { return side_.input ? side_.text.documents.size() : layers_.size(); }
    std::optional<Index> number(std::size_t k) const;
    std::string name(std::size_t k) const;

    /// The stages of a layer, in order.
    std::vector<Stage> order(std::size_t k) const;

    /// The gradients of a layer, in order.
    std::vector<OwnGradient> gradients(std::size_t k) const;

    /// `seeks_causes`: the mistake that makes theirs is looked for.
    DiffPart compare_with(const Layer& theirs, std::size_t k, bool seeks_causes,
                          const Diagnostics& diagnostics);

    /// What document `k` says, its files put in.
    Value settings(std::size_t k) const;

  private:
    /// Which numbers are equal in half precision, and theirs in half precision beside ours that are not.
    static void note_rounding(Comparison& comparison, const Plan& whole);

    /// A trace calls gradients as we do: what is called otherwise is no gradient of it.
    static void keep_own(Layer& layer);

    /// One array without a name: what it is shows beside theirs.
    void place_lone(Layer& layer) const;

    /// The numbers of a layer, cut as the flags say.
    const Ours& numbers(std::size_t k);

    /// How long an axis is in a trace: as the first stage has it that has it.
    static Index length_of(const Ours& ours, std::string_view axis);

    static std::string part_note(const Selection& selection);

    Plan plan(std::size_t k, std::vector<std::string> stages, const Selection& selection) const;

    static std::string comma_list(const std::vector<Index>& indices);

    /// Those that theirs has; all but the ones on request where an array has no name. Weights may turn out to
    /// be a mean over heads: of the last ones.
    static std::vector<std::string> wanted(const Layer& theirs, const Plan& plan);

    static void add_gradient_causes(DiffPart& part, const Plan& whole);
    static Replayers replayers(const Plan& whole);

    const Options& options_;
    bool draws_;  ///< pictures are made of our numbers
    std::vector<ModelLayer> models_;
    Side side_;
    std::vector<Layer> layers_;
    std::vector<std::optional<Ours>> numbers_;
};

}  // namespace attn
