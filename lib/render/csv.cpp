// The trace as CSV, one cell of a stage a line.
#include "lib/render/bytes.hpp"
#include "lib/render/terminal.hpp"
#include "lib/render/trace_sinks.hpp"

namespace attn {
namespace {

class CsvSink : public Sink {
  public:
    explicit CsvSink(Output& output) : bytes_(output) {}

    void begin(const Plan& plan) override {
        plan_ = &plan;
        bytes_.text += "stage,batch,head,row,column,row_token,column_token,value\r\n";
    }

    void rows(const Rows& rows) override {
        const StageShape family = rows.stage->family;
        const std::string before = std::string(rows.stage->name) + "," + std::to_string(rows.batch) + "," +
                                   (rows.has_head ? std::to_string(rows.head) : "") + ",";
        // Rows of states are counted through all tokens.
        const Index first_row = rows.row_begin + rows.token * rows.row_count();
        for (Index i = 0; i < rows.row_count(); ++i) {
            const std::string row_number =
                family == StageShape::per_key ? std::string{} : std::to_string(first_row + i);
            const std::string row_text = before + row_number + ",";
            const std::string row_token =
                cell(family == StageShape::states ? plan_->row_token(StageShape::key_dim, rows.token)
                                                  : plan_->row_token(family, rows.row_begin + i));
            with_row(rows, i, [&](auto values) {
                for (std::size_t j = 0; j < values.size(); ++j) {
                    const Index column = rows.columns[j];
                    bytes_.text += row_text;
                    bytes_.text += std::to_string(column);
                    bytes_.text += ',';
                    bytes_.text += row_token;
                    bytes_.text += ',';
                    bytes_.text += cell(plan_->column_token(family, column));
                    bytes_.text += ',';
                    append_number(bytes_.text, values[j], NonFinite::bare);
                    bytes_.text += "\r\n";
                    bytes_.pass();
                }
            });
        }
    }

    void end(const std::vector<std::string>&) override { bytes_.flush(); }

  private:
    static std::string cell(const std::string* token) { return token ? csv_cell(*token) : std::string{}; }

    Bytes bytes_;
    const Plan* plan_ = nullptr;
};

}  // namespace

std::unique_ptr<Sink> make_csv(Output& output) { return std::make_unique<CsvSink>(output); }

}  // namespace attn
