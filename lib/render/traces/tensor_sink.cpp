// Traces as npz, npy and safetensors: the numbers as they are computed, in binary.
//
// Places follow from the plan, so in a file each block of rows is written where it belongs, in whatever order
// blocks are computed: the plan is run once and nothing is held. What a header says and only the end knows
// (CRC-32, warnings) is written last. A pipe takes bytes in order only, so the plan is run once for what the
// headers say and then once more, stage by stage. The other way, data descriptors behind the entries of a
// zip, would give a pipe other bytes than a file, and there is none for safetensors.
#include <algorithm>
#include <map>

#include "lib/error.hpp"
#include "lib/option_words.hpp"
#include "lib/render/bytes.hpp"
#include "lib/render/plans/plan_json.hpp"
#include "lib/render/traces/store.hpp"
#include "lib/render/traces/tensor_layout.hpp"
#include "lib/render/traces/trace_sinks.hpp"
#include "lib/trace/kept.hpp"

namespace attn {
namespace {

/// Bytes of a safetensors header for the warnings of a run: two short lines (lib/run/findings.cpp).
constexpr Index room_for_warnings = 1024;

class TensorSink : public Sink {
  public:
    TensorSink(Format format, Output& output, bool squeeze)
        : format_(format), bytes_(output), output_(output), squeeze_(squeeze) {
        if (!output.is_seekable()) pass_ = format == Format::npy ? Pass::in_order : Pass::rehearsal;
    }

    bool stage_by_stage() const override { return pass_ == Pass::in_order; }
    bool takes_any_order() const override { return pass_ != Pass::in_order; }
    bool wants_again() const override { return pass_ == Pass::in_order && !done_; }

    void begin(const Plan& plan) override {
        plan_ = &plan;
        if (!tensors_.empty()) return;
        for (const PlannedStage* s : plan.shown_stages()) {
            number_[s] = tensors_.size();
            Shape shape = plan.shown_shape(*s);
            if (squeeze_) std::erase(shape, 1);
            tensors_.push_back({s->name, std::move(shape), stored_as(plan)});
        }
        crcs_.resize(tensors_.size());
        lay_out(plan.warnings);
    }

    void begin_stage(const Plan&, const PlannedStage& stage) override {
        if (pass_ != Pass::in_order) return;
        bytes_.text += layout_.parts[number(stage)].before;
        bytes_.pass();
    }

    void rows(const Rows& rows) override {
        const std::size_t k = number(*rows.stage);
        const Index of_number = size_of(tensors_[k].element);
        const std::string_view data = bytes_of(rows, tensors_[k].element);
        if (pass_ == Pass::in_order) {
            bytes_.text += data;
            bytes_.pass();
            return;
        }
        const Index at = first_number_of(*plan_, rows) * of_number;
        if (format_ == Format::npz)
            crcs_[k].add(data, tensors_[k].bytes() - at - static_cast<Index>(data.size()));
        if (pass_ == Pass::in_place) output_.write_at(layout_.parts[k].data_begin + at, data);
    }

    void end(const std::vector<std::string>& warnings) override {
        if (pass_ != Pass::in_order) lay_out(warnings);
        if (pass_ == Pass::rehearsal) {
            pass_ = Pass::in_order;
            return;
        }
        if (pass_ == Pass::in_place) {
            for (const TensorLayout::Part& part : layout_.parts)
                output_.write_at(part.data_begin - static_cast<Index>(part.before.size()), part.before);
            output_.write_at(layout_.after_begin, layout_.after);
        } else {
            bytes_.text += layout_.after;
            bytes_.flush();
        }
        done_ = true;
    }

  private:
    enum class Pass { in_place, rehearsal, in_order };

    std::size_t number(const PlannedStage& stage) const { return number_.find(&stage)->second; }

    /// In the type of the stages; numpy has no bfloat16, and its numbers are numbers of float32 as well.
    Element stored_as(const Plan& plan) const {
        const bool widened = plan.dtype == DType::bfloat16 && format_ != Format::safetensors;
        return widened ? Element::float32 : element_of(plan.dtype);
    }

    /// Valid until the next call.
    std::string_view bytes_of(const Rows& rows, Element element) {
        const auto count = idx(rows.row_count() * rows.column_count());
        if (size_of(element) == size_of(rows.dtype))
            return {static_cast<const char*>(rows.data), count * idx(size_of(element))};
        narrowed_.clear();
        for (const float v : rows.values<float>())
            narrowed_.push_back(element == Element::float16 ? to_float16(static_cast<double>(v))
                                                            : to_bfloat16(static_cast<double>(v)));
        return {reinterpret_cast<const char*>(narrowed_.data()), count * sizeof(std::uint16_t)};
    }

    void lay_out(const std::vector<std::string>& warnings) {
        const auto trace = [&](const std::vector<std::string>& told) {
            return trace_without_data(*plan_, squeeze_, told);
        };
        if (format_ == Format::npy) {
            layout_ = npy_layout(tensors_.front());
        } else if (format_ == Format::npz) {
            std::vector<std::uint32_t> crcs;
            for (const Crc32& c : crcs_) crcs.push_back(c.value());
            layout_ = npz_layout(tensors_, crcs, "attn_calc.json", trace(warnings));
        } else {
            lay_out_safetensors(trace(warnings), trace(plan_->warnings));
        }
    }

    /// The header keeps its size, whatever the run has to tell: numbers may stand behind it already.
    void lay_out_safetensors(const std::string& told, const std::string& planned) {
        const auto data_begin = [&](std::string_view metadata) {
            layout_ = safetensors_layout(tensors_, metadata, least_header_);
            return layout_.parts[layout_.order.front()].data_begin;
        };
        if (least_header_ == 0) least_header_ = data_begin(planned) + room_for_warnings;
        const Index fixed = data_begin(planned);
        if (data_begin(told) != fixed) data_begin(planned);
    }

    Format format_;
    Bytes bytes_;
    Output& output_;
    bool squeeze_, done_ = false;
    Pass pass_ = Pass::in_place;
    const Plan* plan_ = nullptr;
    std::vector<TensorHeader> tensors_;
    std::vector<Crc32> crcs_;
    std::vector<std::uint16_t> narrowed_;
    std::map<const PlannedStage*, std::size_t> number_;
    TensorLayout layout_;
    Index least_header_ = 0;  ///< safetensors
};

}  // namespace

void refuse_many_stages(const Plan& plan) {
    const std::size_t shown = plan.shown_stages().size();
    if (shown != 1)
        fail_usage("the format npy holds one stage, and there are " + std::to_string(shown),
                   option::stages + " NAME chooses one; npz holds several");
}

std::unique_ptr<Sink> make_tensors(Format format, Output& output, bool squeeze) {
    return std::make_unique<TensorSink>(format, output, squeeze);
}

}  // namespace attn
