// Stages as PyTorch prints a tensor.
#include "lib/render/bytes.hpp"
#include "lib/render/torch_print.hpp"
#include "lib/render/trace_sinks.hpp"

namespace attn {
namespace {

class TorchSink : public Sink {
  public:
    TorchSink(Output& output, const RenderOptions& options) : bytes_(output), squeeze_(options.squeeze) {}

    void begin(const Plan& plan) override {
        int shown = 0;
        for (const PlannedStage& s : plan.stages) shown += s.shown;
        named_ = shown > 1;
    }

    void begin_stage(const Plan& plan, const PlannedStage& stage) override {
        shape_.clear();
        for (const Index n : plan.shown_shape(stage))
            if (!squeeze_ || n != 1) shape_.push_back(n);
        singles_.clear();
        doubles_.clear();
    }

    void rows(const Rows& rows) override {
        for (Index i = 0; i < rows.row_count(); ++i) with_row(rows, i, [&](auto values) { append(values); });
    }

    void end_stage(const PlannedStage& stage) override {
        if (named_) bytes_.text += std::string(stage.name) + " = \n";
        bytes_.text += doubles_.empty() ? torch_text(std::span<const float>(singles_), shape_)
                                        : torch_text(std::span<const double>(doubles_), shape_);
        bytes_.text += '\n';
        bytes_.pass();
    }

    void end(const std::vector<std::string>&) override { bytes_.flush(); }

  private:
    void append(std::span<const float> v) { singles_.insert(singles_.end(), v.begin(), v.end()); }
    void append(std::span<const double> v) { doubles_.insert(doubles_.end(), v.begin(), v.end()); }

    Bytes bytes_;
    bool squeeze_, named_ = false;
    Shape shape_;
    std::vector<float> singles_;
    std::vector<double> doubles_;
};

}  // namespace

std::unique_ptr<Sink> make_torch(Output& output, const RenderOptions& options) {
    return std::make_unique<TorchSink>(output, options);
}

}  // namespace attn
