// The trace as one JSON object, streamed: only a row block is ever held.
#include "lib/render/bytes.hpp"
#include "lib/render/plans/plan_json.hpp"
#include "lib/render/traces/trace_sinks.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

class JsonSink : public Sink {
  public:
    JsonSink(Output& output, const RenderOptions& options)
        : bytes_(output, options.ascii), options_(options) {}

    void begin(const Plan& plan) override {
        bytes_.use_threads(plan.threads);
        const bool lines = !options_.compact;
        bytes_.text += "{";
        for (const auto& [name, value] : trace_members(plan, lines ? 4 : 0))
            bytes_.text += (lines ? "\n  " : "") + json_string(name) + ": " + value + (lines ? "," : ", ");
        bytes_.text += std::string(lines ? "\n  " : "") + "\"stages\": {";
    }

    void begin_stage(const Plan& plan, const PlannedStage& stage) override {
        bytes_.text += first_ ? "" : ",";
        bytes_.text += options_.compact ? (first_ ? "" : " ") : "\n    ";
        bytes_.text += json_string(stage.name) + ": {";
        first_ = false;
        for (const auto& [name, value] : stage_members(plan, stage, options_.squeeze))
            bytes_.text += json_string(name) + ": " + value + ", ";
        bytes_.text += "\"data\": ";
        const Shape shape = plan.shown_shape(stage);
        if (*element_count(shape) == 0) return without_numbers(shape, 0);
        column_axis_ = !(options_.squeeze && shape.back() == 1);
        // Rows after which an axis closes, from the outermost axis to the innermost.
        periods_.clear();
        Index rows = 1;
        for (std::size_t k = shape.size() - 1; k-- > 0;) {
            rows *= shape[k];
            if (!(options_.squeeze && shape[k] == 1)) periods_.insert(periods_.begin(), rows);
        }
        row_ = 0;
    }

    void rows(const Rows& rows) override {
        bytes_.rows(rows.row_count(), rows.column_count(),
                    [&](std::string& text, Index i) { write_row(text, rows, i, row_ + i); });
        row_ += rows.row_count();
    }

    void end_stage(const PlannedStage&) override { bytes_.text += '}'; }

    void end(const std::vector<std::string>& warnings) override {
        const bool lines = !options_.compact;
        bytes_.text += std::string(lines ? "\n  }" : "}") + (lines ? ",\n  " : ", ") +
                       "\"warnings\": " + json_strings(warnings) + (lines ? "\n}\n" : "}\n");
        bytes_.flush();
    }

  private:
    /// The nested arrays of a shape with an axis of length 0: no row will come.
    void without_numbers(const Shape& shape, std::size_t axis) {
        if (options_.squeeze && shape[axis] == 1) return without_numbers(shape, axis + 1);
        bytes_.text += '[';
        for (Index k = 0; k < shape[axis]; ++k) {
            if (k > 0) bytes_.text += ", ";
            without_numbers(shape, axis + 1);
        }
        bytes_.text += ']';
    }

    /// Row i of `rows`, which is the stage's row `number`.
    void write_row(std::string& text, const Rows& rows, Index i, Index number) const {
        std::size_t opened = 0;
        for (const Index p : periods_) opened += number % p == 0;
        if (number > 0) text += options_.compact ? ", " : ",";
        text.append(opened, '[');
        if (!options_.compact && !periods_.empty()) text += "\n      ";
        with_row(rows, i, [&](auto values) {
            if (column_axis_) text += '[';
            append_numbers(text, values, ", ", options_.nonfinite);
            if (column_axis_) text += ']';
        });
        for (const Index p : periods_)
            if ((number + 1) % p == 0) text += ']';
    }

    Bytes bytes_;
    RenderOptions options_;
    bool first_ = true, column_axis_ = true;
    std::vector<Index> periods_;
    Index row_ = 0;
};

}  // namespace

std::unique_ptr<Sink> make_json(Output& output, const RenderOptions& options) {
    return std::make_unique<JsonSink>(output, options);
}

}  // namespace attn
