// Stages as PyTorch prints a tensor.
#include <array>
#include <map>

#include "lib/render/bytes.hpp"
#include "lib/render/numbers/torch_print.hpp"
#include "lib/render/traces/trace_sinks.hpp"

namespace attn {
namespace {

TorchType torch_type_of(DType t) {
    constexpr std::array types{TorchType::float32, TorchType::float64, TorchType::bfloat16,
                               TorchType::float16};
    return types[idx(t)];
}

class TorchSink : public Sink {
  public:
    TorchSink(Output& output, const RenderOptions& options) : bytes_(output), squeeze_(options.squeeze) {}

    void begin(const Plan& plan) override { named_ = plan.shown_stages().size() > 1; }

    void begin_stage(const Plan& plan, const PlannedStage& stage) override {
        shape_.clear();
        for (const Index n : plan.shown_shape(stage))
            if (!squeeze_ || n != 1) shape_.push_back(n);
        type_ = torch_type_of(plan.dtype);
        shown_.clear();
        next_ = 0;
    }

    void rows(const Rows& rows) override {
        for (Index i = 0; i < rows.row_count(); ++i, next_ += rows.column_count()) {
            if (!torch_shows(shape_, next_)) continue;  // a row that is shown shows its first number
            for (Index j = 0; j < rows.column_count(); ++j)
                if (torch_shows(shape_, next_ + j)) shown_[next_ + j] = rows.at(i, j);
        }
    }

    void end_stage(const PlannedStage& stage) override {
        if (named_) bytes_.text += std::string(stage.name) + " = \n";
        bytes_.text += torch_text(type_, shape_, [this](Index k) { return shown_.at(k); });
        bytes_.text += '\n';
        bytes_.pass();
    }

    void end(const std::vector<std::string>&) override { bytes_.flush(); }

  private:
    Bytes bytes_;
    bool squeeze_, named_ = false;
    Shape shape_;
    TorchType type_ = TorchType::float32;
    std::map<Index, double> shown_;  ///< by place in the stage
    Index next_ = 0;                 ///< the place of the next row
};

}  // namespace

std::unique_ptr<Sink> make_torch(Output& output, const RenderOptions& options) {
    return std::make_unique<TorchSink>(output, options);
}

}  // namespace attn
