#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lib/explain/writer.hpp"

namespace attn::explain {

/// Writes the steps of an explanation, each with the rows that belong to it.
class Story {
  public:
    using Found = std::function<void(const Cell&)>;

    Story(Plan& plan, const Writer& writer, Explanation& out) : plan_(plan), w_(writer), out_(out) {}

    /// The rows of a stage that belong to a query row, each with all its columns; of a parameter the first
    /// one.
    void tell(StageId id, Index head, Index row);

    /// A step of rows that are asked for one by one: add() between begin() and end().
    void begin(StageId id);
    /// Some numbers of a row; calls f(cell) for every number of a stage that they are made of.
    void add(const RowOf& row, const std::vector<Index>& columns, const Found& f);
    void end(std::string rest = {});

  private:
    std::vector<RowOf> rows_of(StageId id, Index head, Index row, std::string& rest) const;
    std::vector<RowOf> rows_of_keys(StageId id, Index head, Index row, std::string& rest) const;
    std::vector<RowOf> rows_of_parameter(StageId id) const;
    std::vector<Index> halves_of(Index head) const;
    std::string scope_of(const RowOf& row) const;
    Index example_key(Index n, Index row, bool with_past, Index state_token) const;
    /// A number of a gradient is explained: rows of several queries and batch items have a part in it.
    bool of_gradient() const { return out_.cell && out_.cell->gradient >= 0; }
    Index token_of(Index row) const { return plan_.state ? state_token(plan_, out_.batch, row) : 0; }
    bool in_full() const { return w_.level == Level::full; }

    Plan& plan_;
    Writer w_;
    Explanation& out_;
    Step step_;
    std::vector<Index> heads_, items_;  ///< of the lines of the step
};

/// first, first + 1, ...: n of them.
std::vector<Index> counted_from(Index first, Index n);

}  // namespace attn::explain
