#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/render/pictures/ramp.hpp"
#include "lib/run/sink.hpp"

namespace attn {

struct RenderOptions;

/// An axis of the matrices of a picture.
struct PictureAxis {
    std::string
        name;         ///< "queries", "keys", "dim"; "rows", "columns" where nobody knows more; empty: one row
    std::string one;  ///< what one of it is called: "query", "key", "dim"
    std::vector<Index> numbers;  ///< original numbers of all cells, also where several are drawn as one
    std::vector<std::string>
        labels;      ///< as many tokens, as they came: their writer escapes them; empty: none
    Index each = 1;  ///< so many cells are drawn as one

    Index whole() const { return static_cast<Index>(numbers.size()); }
    Index count() const { return (whole() + each - 1) / each; }  ///< cells that are drawn
    /// The token of a cell (of all cells), or its number.
    std::string label(Index cell) const;
};

/// One matrix: a head of a batch item.
struct PicturePanel {
    Index batch = 0, head = 0;   ///< original numbers
    std::optional<Index> token;  ///< states: the key after which it stands
    std::string title;           ///< "batch 0, head 3, after journey"; empty: the picture has one matrix
};

/// Matrices that belong together, of one scale: a stage of a run, or somebody's array. Plain numbers; nothing
/// here knows how it is drawn.
struct Picture {
    std::string name;     ///< "weights"
    std::string formula;  ///< "softmax(masked_scores)"; empty: not known
    bool weights = false;
    /// What a mask leaves in a cell that it hides: 0, of scores -inf. A cell that holds something else is not
    /// hidden here (scores before their mask, rows of NaN).
    double masked_as = 0;
    Scale scale;    ///< of the numbers as they were, before any of them were drawn as one
    Extent extent;  ///< of the same: the finite ones that no mask hides
    PictureAxis rows, columns;
    std::vector<PicturePanel> panels;
    /// panels x rows.count() x columns.count() numbers, in one of both. A cell for several: their mean; in
    /// each row of cells the one with the largest number (magnitude, where the scale is diverging) is that.
    std::vector<float> single;
    std::vector<double> wide;
    std::vector<std::uint8_t> hidden;  ///< the same: 1 where the mask hides it (all of it); empty: nowhere
    Index not_finite = 0;              ///< numbers that no mask hides and that are not finite
    /// panels x rows.whole(), where they were asked for: what the numbers of a row sum to; its entropy
    /// -sum p ln p in nats, of weights.
    std::vector<double> sums, entropies;

    DType dtype() const { return wide.empty() ? DType::float32 : DType::float64; }
    std::size_t place(std::size_t panel, Index row, Index column) const {
        return (panel * static_cast<std::size_t>(rows.count()) + static_cast<std::size_t>(row)) *
                   static_cast<std::size_t>(columns.count()) +
               static_cast<std::size_t>(column);
    }
    double at(std::size_t place) const {
        return wide.empty() ? static_cast<double>(single[place]) : wide[place];
    }
    bool is_hidden(std::size_t place) const { return !hidden.empty() && hidden[place] != 0; }
    bool is_reduced() const { return rows.each > 1 || columns.each > 1; }
};

/// "4 x 2 cells are drawn as one: ..."; empty where each cell is drawn.
std::string reduction_note(const Picture& picture);

/// How large a matrix a writer takes: longer axes are averaged down to it.
struct PictureSize {
    Index rows = std::numeric_limits<Index>::max(), columns = std::numeric_limits<Index>::max();
};

/// Sets `each` of both axes.
void reduce_to(Picture& picture, const PictureSize& most);

/// Puts numbers into a picture whose name, axes (with `each`) and kind are known: rows in order, panel by
/// panel.
class PictureFiller {
  public:
    /// `with_sums`: picture.sums and entropies too.
    PictureFiller(Picture& picture, DType dtype, Index panels, bool with_sums);
    void begin_panel(PicturePanel panel);
    /// The next row of the panel: columns.whole() numbers. `hidden`: as many, 1 where the mask hides the
    /// cell, or null.
    void add_row(const float* numbers, const std::uint8_t* hidden);
    void add_row(const double* numbers, const std::uint8_t* hidden);
    /// After the last row: the scale is decided.
    void finish();

  private:
    /// Cells that become one.
    struct Bin {
        double sum = 0, largest = 0;
        double rank = -std::numeric_limits<double>::infinity();  ///< of the largest: itself, or its magnitude
        Index finite = 0, visible = 0;
        double other = 0;  ///< NaN where there is one, else an infinity
    };
    template <class T>
    void add(std::vector<T>& to, const T* numbers, const std::uint8_t* hidden);
    template <class T>
    void add_to_bins(const T* numbers, const std::uint8_t* hidden);
    template <class T>
    void close_bins(std::vector<T>& to);
    template <class T>
    void add_sums(const T* numbers, const std::uint8_t* hidden);

    template <class T>
    bool sees(T number, const std::uint8_t* hidden, std::size_t column) const {
        return !hidden || hidden[column] == 0 || static_cast<double>(number) != picture_.masked_as;
    }

    Picture& picture_;
    bool with_sums_;
    Index row_ = 0, rows_in_bins_ = 0;
    std::vector<Bin> bins_;  ///< of one row of cells
};

/// What a whole document says beside its pictures.
struct PictureHead {
    std::string source;                  ///< the file's name
    std::optional<Index> document;       ///< its number, where there are several
    std::vector<std::string> sentences;  ///< the plan, a line each; empty: somebody else's numbers
    const Plan* plan = nullptr;          ///< null: somebody else's numbers. Lives until end()
};

/// Draws pictures, one after another.
class PictureWriter {
  public:
    virtual ~PictureWriter() = default;
    virtual void begin(const PictureHead&) {}
    /// Asked before each picture, whose axes are known: the most that is drawn of each of `panels` matrices.
    virtual PictureSize most(const Picture& /*empty*/, Index /*panels*/) const { return {}; }
    virtual void draw(Picture picture) = 0;
    /// With the warnings of planning and of the run.
    virtual void end(const std::vector<std::string>& /*warnings*/) {}
};

/// A run as pictures: one of each shown stage, with all its heads and batch items.
/// Memory: one stage (as far as the writer takes it) in the run's type, and a byte for each cell under a
/// mask.
std::unique_ptr<Sink> make_picture_sink(std::unique_ptr<PictureWriter> writer, const RenderOptions& options);

/// A picture of a stage of a plan, without numbers: its name, axes and kind.
Picture picture_of(const Plan& plan, const PlannedStage& stage);

}  // namespace attn
