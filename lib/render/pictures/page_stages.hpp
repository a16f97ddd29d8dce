#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/render/pictures/picture.hpp"

namespace attn {

/// A stage as a page holds it: its numbers, or how they follow from those of another stage.
struct PageStage {
    std::string name, formula;
    std::vector<std::size_t> axes;  ///< of PageStages::axes()
    Shape shape;
    DType dtype = DType::float32;
    Scale scale;
    std::vector<Stage> reads;
    bool masked = false;
    std::string like;             ///< the numbers of this stage
    std::optional<double> times;  ///< times this, rounded once
    std::string minus;            ///< less the numbers of this one
    bool packed = false;          ///< without those that the mask hides
    std::string fill;             ///< what stands in their place: "zero", "minus" (-inf)
    std::shared_ptr<Picture> whole;
    std::string visible;  ///< packed: the bytes of those that are left

    bool has_block() const { return like.empty(); }
    /// In the order of bytes that the page reads (little endian).
    std::string_view bytes();
    Index byte_count() const;
};

/// The stages of a page. What is known from others is not kept twice: scaled scores, scores and weights that
/// differ from those before only where a mask hides them, the mask itself.
class PageStages {
  public:
    void begin(const Plan* plan) {
        *this = PageStages();
        plan_ = plan;
    }
    /// The next stage. Returns the bytes that it takes.
    Index add(Picture picture);
    /// The difference of two stages that are there: its numbers are not kept.
    void add_difference(const Picture& picture, const std::string& of, const std::string& less);

    std::vector<PageStage>& all() { return stages_; }
    const std::vector<PageStage>& all() const { return stages_; }
    /// Each as JSON: name, original numbers (null: 0, 1, ...), labels or null.
    const std::vector<std::string>& axes() const { return axes_; }
    /// The mask: a bit for each cell [batch or 1, head or 1, row, column], the lowest first; empty: nothing
    /// is hidden. For once, at the end.
    std::string take_mask();
    const Shape& mask_shape() const { return mask_shape_; }
    const PlannedStage* planned(const std::string& name) const;

  private:
    std::size_t axis(const std::string& name, const std::vector<Index>& numbers,
                     const std::vector<std::string>& labels);
    PageStage described(const Picture& p);
    void add_axes(PageStage& s, const Picture& p);
    template <class T>
    void keep(PageStage& s, const Picture& p);
    bool keep_mask(const PageStage& s, const Picture& p);
    double factor() const;
    void forget();

    const Plan* plan_ = nullptr;
    std::vector<std::string> axes_;
    std::vector<PageStage> stages_;
    std::map<std::string, std::shared_ptr<Picture>> before_;  ///< those that later ones may read
    Shape mask_shape_;
    std::vector<std::uint8_t> mask_;
    bool mask_is_next_ = false;  ///< the hidden cells of the stage that is being added
};

}  // namespace attn
