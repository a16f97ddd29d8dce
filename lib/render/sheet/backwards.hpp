#pragma once
// How the formulas of a gradient are made: what enters, and what each stage that reads another sends back.
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/render/sheet/rules.hpp"

namespace attn::sheet {

/// Formulas of more terms are too long.
inline constexpr Index most_terms = 64;
inline constexpr const char* too_long = "a sum of so many parts is too long a formula";
inline constexpr const char* carried = "what is carried from token to token is no formula of a cell";

std::string joined(const std::vector<std::string>& terms);

/// One thing that is added up: for rows together, or for one number.
struct Part {
    std::function<std::string(const RowsAt&)> rows;
    std::function<std::string(const At&)> cell;
    bool is_array = false;  ///< the formula of a number calculates with whole ranges
};

/// The parts of a gradient's formula. What it makes keeps the book and the plan, but not this; the first
/// reason against a formula stays.
class Backwards {
  public:
    Backwards(Book& book, const PlannedStage& of) : book_(book), plan_(book.plan()), of_(of) {}

    Rule rule();

  private:
    Rule made();
    void refuse(const std::string& because);
    void add(Part part) { parts_.push_back(std::move(part)); }
    /// Numbers that stand on a sheet as they are wanted.
    void add_copy(const Grid* from, Index rows_later = 0);
    void add_cell(std::function<std::string(const At&)> cell, bool is_array = false);
    void add_rows(std::function<std::string(const RowsAt&)> rows) { add({std::move(rows), {}}); }

    /// The sheet of a stage, or of its gradient; null: it is not in the file.
    const Grid* of_stage(Stage stage) { return there(plan_.find(stage)); }
    const Grid* gradient_of(Stage stage) { return there(plan_.find_gradient(stage)); }
    const Grid* there(const PlannedStage* stage);
    template <class... Grids>
    static bool have(const Grids*... grids) {
        return ((grids != nullptr) && ...);
    }

    Stage read_by(Stage stage, std::size_t k = 0) const { return plan_.find(stage)->reads.at(k); }

    void stage();

    // What enters.

    void entering();

    // What stages send back.

    void sent_back(const PlannedStage& by);
    void map(const PlannedStage& by);
    void norm(const PlannedStage& by);
    void rotation(const PlannedStage& by);

    // Queries x keys.

    void cells(const PlannedStage& by);
    void softmax(const Grid& d);
    void to_weights(const PlannedStage& by, const Grid& d);
    void to_values(const PlannedStage& by, const Grid& d);
    void products(const PlannedStage& by, const Grid& d);
    void additive(const PlannedStage& by, const Grid& d);

    // Projections: y = x W + b, or y = x.

    struct Layer {
        WeightRole role;
        Stage made;
        std::optional<Stage> stage;         ///< that it reads,
        std::optional<std::size_t> tensor;  ///< or a tensor
    };

    std::vector<Layer> all_layers() const;

    /// Whether what a layer has made has a gradient on a sheet that is that of its product.
    bool is_plain(const Layer& l);
    void layers(std::optional<Stage> stage, std::optional<std::size_t> tensor);
    void through(const Layer& l);
    void input();

    // Parameters.

    void parameter();
    const Grid* x_of(const Layer& l);

    /// Sums over tokens, and over batch items, of x times what came back.
    std::string products_of(const At& at) const;
    void position_bias();
    void sinks();
    void lambda();

    Book& book_;
    const Plan& plan_;
    const PlannedStage& of_;
    std::vector<Part> parts_;
    std::vector<Layer> layers_;  ///< that apply a parameter
    std::string because_;
};

}  // namespace attn::sheet
