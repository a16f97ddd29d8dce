// The trace as events, one JSON object a line, flushed as row blocks are done.
#include "lib/render/bytes.hpp"
#include "lib/render/plans/plan_json.hpp"
#include "lib/render/traces/trace_sinks.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

class NdjsonSink : public Sink {
  public:
    NdjsonSink(Output& output, const RenderOptions& options)
        : bytes_(output, options.ascii), options_(options) {}

    bool stage_by_stage() const override { return false; }

    void begin(const Plan& plan) override {
        bytes_.use_threads(plan.threads);
        event("begin");
        for (const auto& [name, value] : trace_members(plan, 0))
            bytes_.text += ", " + json_string(name) + ": " + value;
        stages_ = static_cast<int>(plan.shown_stages().size());
        finish();
    }

    void rows(const Rows& rows) override {
        event("stage");
        std::string& text = bytes_.text;
        text += ", \"name\": " + json_string(rows.stage->name);
        if (has_batch(rows.stage->family)) text += ", \"batch\": " + std::to_string(rows.batch);
        if (rows.has_head) text += ", \"head\": " + std::to_string(rows.head);
        if (rows.stage->family == StageShape::states) text += ", \"key\": " + std::to_string(rows.token);
        text += ", \"rows\": " + to_string(Shape{rows.row_begin, rows.row_end});
        text += ", \"shape\": " + to_string(Shape{rows.row_count(), rows.column_count()}) + ", \"data\": [";
        bytes_.rows(rows.row_count(), rows.column_count(), [&](std::string& out, Index i) {
            out += i > 0 ? ", [" : "[";
            with_row(rows, i, [&](auto values) { append_numbers(out, values, ", ", options_.nonfinite); });
            out += ']';
        });
        text += ']';
        finish();
    }

    void end(const std::vector<std::string>& warnings) override {
        event("end");
        bytes_.text +=
            ", \"stages\": " + std::to_string(stages_) + ", \"warnings\": " + json_strings(warnings);
        finish();
    }

  private:
    void event(std::string_view name) {
        bytes_.text += "{\"event\": " + json_string(name);
        if (options_.document) bytes_.text += ", \"document\": " + std::to_string(*options_.document);
    }
    void finish() {
        bytes_.text += "}\n";
        bytes_.flush();
    }

    Bytes bytes_;
    RenderOptions options_;
    int stages_ = 0;
};

}  // namespace

std::unique_ptr<Sink> make_ndjson(Output& output, const RenderOptions& options) {
    return std::make_unique<NdjsonSink>(output, options);
}

}  // namespace attn
