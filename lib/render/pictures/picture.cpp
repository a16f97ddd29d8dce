#include "lib/render/pictures/picture.hpp"

#include <algorithm>
#include <cmath>

#include "lib/render/plans/plan_text.hpp"
#include "lib/render/render.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

Index each_of(Index whole, Index most) { return whole <= most ? 1 : (whole + most - 1) / most; }

struct AxisName {
    std::string_view name, one;
};

AxisName row_name(StageShape family) {
    if (has_one_row(family)) return {"", "row"};
    if (is_of_parameter(family) || family == StageShape::past_taps) return {"rows", "row"};
    switch (row_kind(family)) {
        case RowKind::queries:
            return {"queries", "query"};
        case RowKind::new_keys:
        case RowKind::all_keys:
        case RowKind::past_keys:
            return {"keys", "key"};
        case RowKind::whole:
            break;
    }
    return {"dim of keys", "dim of keys"};
}

AxisName column_name(StageShape family) {
    if (has_key_columns(family)) return {"keys", "key"};
    if (family == StageShape::per_query) return {"queries", "query"};
    if (is_of_parameter(family) || family == StageShape::past_taps) return {"columns", "column"};
    if (row_kind(family) == RowKind::whole) return {"dim of values", "dim of values"};
    return {"dim", "dim"};
}

/// The numbers of an axis that is `length` long: those that are shown, where it is one of tokens.
PictureAxis axis(const AxisName& name, const AxisSelection* shown, Index length) {
    return {std::string(name.name), std::string(name.one), shown ? shown->indices : counted(length), {}, 1};
}

/// Tokens that somebody gave; keys that were appended have names in any case.
bool has_tokens(const Plan& plan, std::string_view axis_name) {
    return axis_name == "queries" ? plan.tokens_given
                                  : axis_name == "keys" && (plan.key_tokens_given || plan.has_appended());
}

class PictureSink : public Sink {
  public:
    PictureSink(std::unique_ptr<PictureWriter> writer, const RenderOptions& options)
        : writer_(std::move(writer)), options_(options) {}

    void begin(const Plan& plan) override {
        PictureHead head{options_.source_name, options_.document, {}, &plan};
        RenderOptions unbroken = options_;
        unbroken.width = 1 << 20;
        unbroken.ascii = false;
        const std::string text = plan_lines(plan, unbroken);
        for (std::size_t from = 0; from < text.size();) {
            const std::size_t end = std::min(text.find('\n', from), text.size());
            head.sentences.push_back(text.substr(from, end - from));
            from = end + 1;
        }
        plan_ = &plan;
        writer_->begin(head);
    }

    void begin_stage(const Plan& plan, const PlannedStage& stage) override {
        picture_ = picture_of(plan, stage);
        const Shape shape = plan.shown_shape(stage);
        const Index cells = picture_.rows.whole() * picture_.columns.whole();
        const Index panels = cells == 0 ? 0 : *element_count(shape) / cells;
        reduce_to(picture_, writer_->most(picture_, panels));
        filler_.emplace(picture_, plan.dtype, panels, options_.sums);
    }

    void rows(const Rows& rows) override {
        const auto token =
            rows.stage->family == StageShape::states ? std::optional<Index>(rows.token) : std::nullopt;
        if (picture_.panels.empty() || picture_.panels.back().batch != rows.batch ||
            picture_.panels.back().head != rows.head || picture_.panels.back().token != token)
            filler_->begin_panel({rows.batch, rows.head, token, title_of(rows)});
        for (Index i = 0; i < rows.row_count(); ++i) {
            const Index from = i * rows.column_count();
            const std::uint8_t* hidden = rows.hidden ? rows.hidden + from : nullptr;
            if (!is_wide(rows.dtype))
                filler_->add_row(rows.values<float>().data() + from, hidden);
            else
                filler_->add_row(rows.values<double>().data() + from, hidden);
        }
    }

    void end_stage(const PlannedStage&) override {
        filler_->finish();
        filler_.reset();
        writer_->draw(std::move(picture_));
    }

    void end(const std::vector<std::string>& warnings) override { writer_->end(warnings); }

  private:
    std::string title_of(const Rows& rows) const {
        std::string out;
        const auto add = [&](const std::string& part) { out += (out.empty() ? "" : ", ") + part; };
        const bool items = has_batch(rows.stage->family);
        if (plan_->batch > 1 && items) add("batch " + std::to_string(rows.batch));
        if (rows.has_head && rows.stage->shape[items ? 1 : 0] > 1)
            add(std::string(name_of(outer_axis(rows.stage->family))) + " " + std::to_string(rows.head));
        if (rows.stage->family == StageShape::states)
            add("after " + *plan_->row_token(StageShape::key_dim, rows.token));
        return out;
    }

    std::unique_ptr<PictureWriter> writer_;
    RenderOptions options_;
    const Plan* plan_ = nullptr;
    Picture picture_;
    std::optional<PictureFiller> filler_;
};

}  // namespace

std::string PictureAxis::label(Index cell) const {
    return labels.empty() ? std::to_string(numbers[idx(cell)]) : labels[idx(cell)];
}

std::string reduction_note(const Picture& picture) {
    if (!picture.is_reduced()) return {};
    const Index rows = picture.rows.each, columns = picture.columns.each;
    return std::to_string(rows) + " × " + std::to_string(columns) +
           " cells are drawn as one: their mean, but the largest" +
           (picture.scale.ramp == Ramp::diverging ? " magnitude" : "") +
           (rows > 1 ? " of each " + std::to_string(rows) + " rows" : " of each row") + " as it is";
}

void reduce_to(Picture& picture, const PictureSize& most) {
    picture.rows.each = each_of(picture.rows.whole(), most.rows);
    picture.columns.each = each_of(picture.columns.whole(), most.columns);
}

PictureFiller::PictureFiller(Picture& picture, DType dtype, Index panels, bool with_sums)
    : picture_(picture), with_sums_(with_sums) {
    if (picture.is_reduced()) bins_.resize(idx(picture.columns.count()));
    const std::size_t cells = idx(panels * picture.rows.count() * picture.columns.count());
    if (!is_wide(dtype))
        picture.single.reserve(cells);
    else
        picture.wide.reserve(cells);
}

void PictureFiller::begin_panel(PicturePanel panel) { picture_.panels.push_back(std::move(panel)); }

void PictureFiller::add_row(const float* numbers, const std::uint8_t* hidden) {
    add(picture_.single, numbers, hidden);
}
void PictureFiller::add_row(const double* numbers, const std::uint8_t* hidden) {
    add(picture_.wide, numbers, hidden);
}

template <class T>
void PictureFiller::add(std::vector<T>& to, const T* numbers, const std::uint8_t* hidden) {
    if (with_sums_) add_sums(numbers, hidden);
    if (!bins_.empty()) {
        add_to_bins(numbers, hidden);
        ++rows_in_bins_;
        row_ = (row_ + 1) % picture_.rows.whole();
        if (row_ == 0 || rows_in_bins_ == picture_.rows.each) close_bins(to);
        return;
    }
    const auto n = picture_.columns.numbers.size();
    to.insert(to.end(), numbers, numbers + n);
    if (hidden || !picture_.hidden.empty()) picture_.hidden.resize(to.size(), 0);
    Extent extent;
    for (std::size_t j = 0; j < n; ++j) {
        const auto x = static_cast<double>(numbers[j]);
        if (!sees(numbers[j], hidden, j))
            picture_.hidden[to.size() - n + j] = 1;
        else if (std::isfinite(x))
            extent.add(x, x);
        else
            ++picture_.not_finite;
    }
    picture_.extent.add(extent.least, extent.largest);
}

template <class T>
void PictureFiller::add_to_bins(const T* numbers, const std::uint8_t* hidden) {
    const auto n = picture_.columns.numbers.size(), each = idx(picture_.columns.each);
    const bool by_magnitude = !picture_.weights;
    Extent extent;
    Bin* bin = bins_.data();
    for (std::size_t from = 0; from < n; from += each, ++bin) {
        double sum = 0, largest = bin->largest, rank = bin->rank;
        Index finite = 0, visible = 0;
        for (std::size_t j = from; j < std::min(from + each, n); ++j) {
            if (!sees(numbers[j], hidden, j)) continue;
            const auto x = static_cast<double>(numbers[j]);
            ++visible;
            if (!std::isfinite(x)) {
                bin->other = std::isnan(bin->other) ? bin->other : x;
                continue;
            }
            ++finite;
            sum += x;
            extent.add(x, x);
            const double own = by_magnitude ? std::abs(x) : x;
            largest = own > rank ? x : largest;  // no branch: nobody foresees it
            rank = std::max(rank, own);
        }
        bin->sum += sum;
        bin->largest = largest;
        bin->rank = rank;
        bin->finite += finite;
        bin->visible += visible;
        picture_.not_finite += visible - finite;
    }
    picture_.extent.add(extent.least, extent.largest);
}

template <class T>
void PictureFiller::close_bins(std::vector<T>& to) {
    const auto peak = std::max_element(bins_.begin(), bins_.end(),
                                       [](const Bin& a, const Bin& b) { return a.rank < b.rank; });
    for (auto bin = bins_.begin(); bin != bins_.end(); ++bin) {
        const double mean = bin->sum / static_cast<double>(std::max<Index>(bin->finite, 1));
        const double value = std::isnan(bin->other) || bin->finite == 0 ? bin->other
                             : bin == peak                              ? bin->largest
                                                                        : mean;
        const bool is_hidden = bin->visible == 0;
        if (is_hidden && picture_.hidden.size() < to.size()) picture_.hidden.resize(to.size(), 0);
        if (is_hidden || !picture_.hidden.empty()) picture_.hidden.push_back(is_hidden ? 1 : 0);
        to.push_back(static_cast<T>(value));
    }
    std::fill(bins_.begin(), bins_.end(), Bin{});
    rows_in_bins_ = 0;
}

template <class T>
void PictureFiller::add_sums(const T* numbers, const std::uint8_t* hidden) {
    double sum = 0, entropy = 0;
    for (std::size_t j = 0; j < picture_.columns.numbers.size(); ++j) {
        if (!sees(numbers[j], hidden, j)) continue;
        const auto x = static_cast<double>(numbers[j]);
        sum += x;
        if (x != 0) entropy -= x * std::log(x);
    }
    picture_.sums.push_back(sum);
    if (picture_.weights) picture_.entropies.push_back(entropy);
}

void PictureFiller::finish() {
    if (std::find(picture_.hidden.begin(), picture_.hidden.end(), 1) == picture_.hidden.end())
        picture_.hidden.clear();
    picture_.scale = scale_of(picture_.weights, picture_.extent);
}

Picture picture_of(const Plan& plan, const PlannedStage& stage) {
    Picture picture;
    picture.name = stage.name;
    picture.formula = stage.formula;
    picture.weights = stage.holds_weights();
    if (stage.holds_scores()) picture.masked_as = -std::numeric_limits<double>::infinity();
    const StageShape family = stage.family;
    const Shape shape = plan.shown_shape(stage);
    const bool tokens = row_kind(family) != RowKind::whole;
    picture.rows = axis(row_name(family), tokens ? &plan.rows_of(family) : nullptr,
                        has_one_row(family) ? 1 : shape[shape.size() - 2]);
    picture.columns = axis(column_name(family),
                           has_token_columns(family) ? &plan.columns_of(family) : nullptr, shape.back());
    if (has_tokens(plan, picture.rows.name))
        for (const Index n : picture.rows.numbers) picture.rows.labels.push_back(*plan.row_token(family, n));
    if (has_tokens(plan, picture.columns.name))
        for (const Index n : picture.columns.numbers)
            picture.columns.labels.push_back(*plan.column_token(family, n));
    return picture;
}

std::unique_ptr<Sink> make_picture_sink(std::unique_ptr<PictureWriter> writer, const RenderOptions& options) {
    return std::make_unique<PictureSink>(std::move(writer), options);
}

}  // namespace attn
