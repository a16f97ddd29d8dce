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
        past_ = plan.past;
        for (const std::string& t : plan.query_tokens) query_tokens_.push_back(csv_cell(t));
        for (const std::string& t : plan.key_tokens) key_tokens_.push_back(csv_cell(t));
        bytes_.text += "stage,batch,head,row,column,row_token,column_token,value\r\n";
    }

    void rows(const Rows& rows) override {
        const bool key_rows = has_key_rows(rows.stage->family);
        const Index first_token = rows.stage->family == StageShape::key_dim ? past_ : 0;
        const bool key_columns = rows.stage->family == StageShape::query_key;
        const std::string before = std::string(rows.stage->name) + "," + std::to_string(rows.batch) + "," +
                                   (rows.has_head ? std::to_string(rows.head) : "") + ",";
        for (Index i = 0; i < rows.row_count(); ++i) {
            const Index row = rows.row_begin + i;
            const std::string& row_token =
                (key_rows ? key_tokens_ : query_tokens_)[static_cast<std::size_t>(row + first_token)];
            const std::string row_text = before + std::to_string(row) + ",";
            with_row(rows, i, [&](auto values) {
                for (std::size_t j = 0; j < values.size(); ++j) {
                    const Index column = rows.columns[j];
                    bytes_.text += row_text;
                    bytes_.text += std::to_string(column);
                    bytes_.text += ',';
                    bytes_.text += row_token;
                    bytes_.text += ',';
                    if (key_columns) bytes_.text += key_tokens_[static_cast<std::size_t>(column)];
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
    Bytes bytes_;
    std::vector<std::string> query_tokens_, key_tokens_;
    Index past_ = 0;
};

}  // namespace

std::unique_ptr<Sink> make_csv(Output& output) { return std::make_unique<CsvSink>(output); }

}  // namespace attn
