#pragma once
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/plan/plan.hpp"
#include "lib/render/sheet/grid.hpp"
#include "lib/render/sheet/numbers.hpp"

namespace attn::sheet {

/// A part at the right of a stage's numbers, on the way to them: one column, or one for each key.
struct Beside {
    std::string title;
    bool each_key = false;
    std::function<std::string(const At&)> formula;
};

/// How a stage's numbers are made on its sheet. Formulas begin with "=", those of arrays with "{=" and end
/// with "}".
struct Rule {
    std::string because{};  ///< there are no formulas, and why; or the numbers are the document's own
    bool given = false;     ///< they are the document's own
    std::function<std::string(const At&)> cell{};       ///< a formula for each number, or ...
    std::function<std::string(const RowsAt&)> block{};  ///< one for some consecutive rows together
    std::vector<Beside> beside{};
    /// The numbers of `beside`, one after another, from the same row of the stage that `read` names.
    std::function<std::vector<double>(std::span<const double>, Index head)> numbers_beside{};
    std::optional<Stage> read{};
};

/// A sheet that formulas read and that is no stage: numbers of the document, what was drawn, or formulas that
/// several stages share.
struct Input {
    std::string words;    ///< what it is
    std::string because;  ///< why formulas could not make it; empty: the document's own, or formulas
    Grid grid;
    std::function<double(PlanNumbers&, const At&)> number;
    std::function<std::string(const At&)> formula{};  ///< empty, or returns "": a number that may be changed
    const std::vector<std::string>*row_tokens = nullptr, *column_tokens = nullptr;
    Index first_row_token = 0;  ///< the token of row 0
};

/// A number that formulas call by its name.
struct Parameter {
    std::string name, formula;  ///< no formula: a number that may be changed
    double number = 0;
    std::string words;
};

struct StageSheet {
    const PlannedStage* stage = nullptr;
    Grid grid;
    Rule rule;
};

/// What stands on which sheet, and each formula, from the plan alone: no number is looked at but those of
/// additive masks.
class Book {
  public:
    /// `plan` has to outlive it.
    explicit Book(const Plan& plan);
    Book(const Book&) = delete;
    Book& operator=(const Book&) = delete;

    const Plan& plan() const { return plan_; }
    const std::deque<StageSheet>& stages() const { return stages_; }
    const std::deque<Input>& inputs() const { return inputs_; }
    const std::vector<Parameter>& parameters() const { return parameters_; }
    /// Cells with a number or a formula.
    Index cells() const;

    /// The sheet of a stage that is shown. \throws std::out_of_range otherwise
    const Grid& grid(Stage stage) const;
    const Grid& grid(const PlannedStage& stage) const;
    /// Whether it has formulas. Of stages before the one whose rule is being made.
    bool is_live(Stage stage) const;

    // What rules ask for is there from then on.

    /// Embeddings: [batch, token, width].
    const Grid& embeddings(std::size_t tensor);
    /// Those that projections read: normed where the plan says so.
    const Grid& embedded(std::size_t tensor) {
        const auto stage = plan_.normed_input(tensor);
        return stage ? grid(*stage) : embeddings(tensor);
    }
    /// A tensor under a name of ours, its shape told as [item, head, row, column].
    const Grid& tensor(std::size_t tensor, const std::string& name, const std::string& words,
                       const std::array<Index, 4>& shape,
                       const std::vector<std::string>* row_tokens = nullptr);
    /// The same of a tensor that is broadcast to [batch, head, query, key].
    const Grid& cells_tensor(std::size_t tensor, const std::string& name, const std::string& words);
    const Grid& weight(WeightRole role);
    const Grid* bias(WeightRole role);  ///< null: none
    /// 1 where a query sees a key, else 0.
    const Grid& visible();
    /// 1 where dropout keeps a weight.
    const Grid& kept();
    /// What position_bias adds, cell by cell: as given, or from the table of its buckets.
    const Grid& position_bias();
    struct Turn {
        const Grid *cos, *sin;
    };
    /// Cosines and sines of the rotary embedding: [token, pair].
    Turn turn(bool of_keys);
    /// Factors of queries, as a column.
    const Grid& query_scale(const PlannedQueryScale& scale);
    /// One number per head, as a row.
    const Grid& per_head(const std::string& name, const std::string& words,
                         const std::vector<double>& numbers);

    /// Returns the name.
    std::string parameter(const std::string& name, double number, const std::string& words,
                          const std::string& formula = {});
    /// The number that is added to a query's own to get its place among the keys.
    std::string query_offset(Index item);

  private:
    const Grid* find(const std::string& name) const;
    const Grid& add(Input input);
    std::string why_values(const PlannedStage& stage);
    std::string why_no_gradient() const;
    std::string sheet_name(const PlannedStage& stage) const;

    const Plan& plan_;
    std::vector<Stage> unsound_;  ///< stages that may hold what no sheet calculates with
    std::deque<StageSheet> stages_;
    std::deque<Input> inputs_;
    std::vector<Parameter> parameters_;
};

/// THE TABLE: how each stage is made of those that it reads.
Rule rule_of(Book& book, const PlannedStage& stage, const Grid& own);

}  // namespace attn::sheet
