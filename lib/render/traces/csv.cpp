// The trace as CSV, one cell of a stage a line.
#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/render/bytes.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/numbers/number.hpp"
#include "lib/render/traces/trace_sinks.hpp"

namespace attn {
namespace {

constexpr std::string_view line_end = "\r\n";
constexpr std::size_t cells_at_once = 64;

/// A text that is copied sixteen characters at a time: what is too much of it is written over by the next.
class Piece {
  public:
    explicit Piece(std::string_view text) : text_(text), size_(text.size()) { text_.append(at_once, ' '); }
    std::size_t size() const { return size_; }
    char* copy(char* to) const {
        for (std::size_t k = 0; k < size_; k += at_once) std::memcpy(to + k, text_.data() + k, at_once);
        return to + size_;
    }
    static constexpr std::size_t at_once = 16;

  private:
    std::string text_;
    std::size_t size_;
};

class CsvSink : public Sink {
  public:
    CsvSink(Output& output, const RenderOptions& options)
        : bytes_(output), nonfinite_(in_csv(options.nonfinite)), ascii_(options.ascii) {
        if (options.document) document_ = std::to_string(*options.document) + ",";
    }

    void begin(const Plan& plan) override {
        plan_ = &plan;
        bytes_.use_threads(plan.threads);
        if (document_.empty())
            bytes_.text += csv_header_of_several.substr(csv_header_of_several.find(',') + 1);
    }

    void rows(const Rows& rows) override {
        const StageShape family = rows.stage->family;
        const std::string before = document_ + rows.stage->name + "," +
                                   (has_batch(family) ? std::to_string(rows.batch) : "") + "," +
                                   (rows.has_head ? std::to_string(rows.head) : "") + ",";
        // Rows of states are counted through all tokens.
        const Index first_row = rows.row_begin + rows.token * rows.row_count();
        columns_.clear();
        longest_column_ = 0;
        for (const Index column : rows.columns) {
            const auto& [number, token] =
                columns_.emplace_back(Piece(std::to_string(column) + ","),
                                      Piece("," + cell(plan_->column_token(family, column)) + ","));
            longest_column_ = std::max(longest_column_, number.size() + token.size());
        }
        bytes_.rows(rows.row_count(), rows.column_count(), [&](std::string& text, Index i) {
            const std::string row_number =
                has_one_row(family) ? std::string{} : std::to_string(first_row + i);
            const Piece row_text(before + row_number + ",");
            const Piece row_token(cell(family == StageShape::states
                                           ? plan_->row_token(StageShape::key_dim, rows.token)
                                           : plan_->row_token(family, rows.row_begin + i)));
            const std::size_t most = row_text.size() + row_token.size() + longest_column_ + room_for_number +
                                     line_end.size() + Piece::at_once;
            with_row(rows, i, [&](auto values) {
                for (std::size_t from = 0; from < values.size(); from += cells_at_once) {
                    const std::size_t end = std::min(from + cells_at_once, values.size()),
                                      start = text.size();
                    text.resize(start + (end - from) * most);
                    char* to = text.data() + start;
                    for (std::size_t j = from; j < end; ++j) {
                        const auto& [column, column_token] = columns_[j];
                        to = column_token.copy(row_token.copy(column.copy(row_text.copy(to))));
                        to = copied(line_end, write_number(to, values[j], nonfinite_));
                    }
                    text.resize(static_cast<std::size_t>(to - text.data()));
                }
            });
        });
    }

    void end(const std::vector<std::string>&) override { bytes_.flush(); }

  private:
    std::string cell(const std::string* token) const {
        return token ? csv_cell(*token, ascii_) : std::string{};
    }

    Bytes bytes_;
    NonFinite nonfinite_;
    bool ascii_;
    std::string document_;  ///< the first cell of each line; empty: there is one alone
    const Plan* plan_ = nullptr;
    /// What stands on both sides of a cell's row token.
    std::vector<std::pair<Piece, Piece>> columns_;
    std::size_t longest_column_ = 0;  ///< characters of both sides
};

}  // namespace

std::unique_ptr<Sink> make_csv(Output& output, const RenderOptions& options) {
    return std::make_unique<CsvSink>(output, options);
}

}  // namespace attn
