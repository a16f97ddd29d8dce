#pragma once
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/models/architecture.hpp"
#include "lib/models/config.hpp"
#include "lib/models/folder.hpp"

namespace attn {

/// What a document calls a file of the folder.
using PathOf = std::function<std::string(const std::string& file)>;

/// The states that a layer is computed from: [items, tokens, width], row-major.
struct LayerStates {
    Index items = 1, tokens = 0, width = 0;
    std::vector<double> numbers;
};
/// Reads them; empty where there are none.
using StatesOf = std::function<LayerStates()>;

/// Which layer of a folder is asked for.
struct LayerAsk {
    Index layer = 0;
    std::string stack;  ///< empty: the text's, or the only one
    std::string as;     ///< the model type that it is read as; empty: its own
    StatesOf states{};  ///< what the layer is computed from, where it is known
    bool are_normed =
        false;  ///< these have the norm before the attention behind them: its weight is not needed
};

/// Reads one layer by its row of the table into a document. A member that is set twice keeps its first
/// value, so that `more` of a row goes before what fields say.
class LayerReader {
  public:
    LayerReader(const ModelFolder& folder, const Config& config, const Architecture& row, const LayerAsk& ask,
                std::string kind, PathOf path);

    /// The document. \throws Error (exit 3): a key or tensor that does not fit, that is missing, or that
    /// nothing here reads
    Value read();

    const ModelFolder& folder() const { return folder_; }
    const Config& config() const { return config_; }
    const Architecture& row() const { return row_; }
    Index layer() const { return layer_; }
    /// Of layer_types, or of the rule that stands for it.
    const std::string& kind() const { return kind_; }
    bool slides() const { return kind_ == "sliding_attention"; }
    /// Where a setting comes from that no key says.
    std::string of_class() const;

    struct Sizes {
        Said<Index> heads, kv_heads, dim, value_dim;
        Index width = 0;
    };
    Sizes& sizes() { return sizes_; }
    Index layers() const;

    bool is_set(std::string_view name) const { return document_.find(name) != nullptr; }
    /// A member of the document, and where it is from.
    void set(std::string_view name, Value value, std::string_view from);
    /// Pairs of the rotary embedding are halves, whatever the row says.
    void set_halves() { halves_ = true; }
    /// Leaves a member out, whatever fields say.
    void leave_out(std::string_view name) { left_out_.emplace(name); }
    /// A setting of the weights ("packed", "order"): they are written beside them.
    void set_of_weights(std::string_view name, Value value, std::string_view from);
    /// What enters the attention, for numbers that depend on the tokens' content. \throws Error (exit 3)
    /// where nothing does
    LayerStates states() const;
    /// The path of a module below the layer ("/x") or its attention ("x").
    std::string path_of(std::string_view module) const;
    /// Adds a tensor to the weights.
    void add_weight(const std::string& name, const std::string& tensor);
    /// A reference to a tensor, which counts as read.
    Value reference(const std::string& tensor);
    bool has(const std::string& tensor) const { return folder_.has(tensor); }

    /// What rope_parameters or rope_scaling of this layer's type say; null: neither is there.
    ConfigKey rope_dictionary() const;
    /// The same; where the configuration is silent, that of the class.
    ConfigKey rope_or_class();
    /// A number of it, or of the configuration.
    std::optional<Said<double>> rope_number(std::string_view name) const;

  private:
    void find_prefix();
    void read_sizes();
    void read_weights();
    void read_module(std::string_view spec);
    void check_shape(const std::string& name, const ModelTensor& tensor) const;
    void read_norm();
    void read_qk_norm();
    void read_positions();
    void read_rope();
    void read_scaling(Value& rope, const ConfigKey& dictionary);
    void read_mask();
    void read_scores();
    void read_variant();
    void refuse_unread() const;
    Value finished();

    const ModelFolder& folder_;
    const Config& config_;
    const Architecture& row_;
    Index layer_;
    bool are_normed_;
    std::string kind_;
    PathOf path_;
    StatesOf states_;
    std::string prefix_;   ///< of the layer, with its last dot
    Value class_scaling_;  ///< of a rotary embedding, where the configuration is silent
    Sizes sizes_;
    Value document_, weights_, from_;
    std::set<std::string, std::less<>> used_, left_out_;
    bool has_qk_norm_ = true, halves_ = false;
};

/// The path of a layer below the beginning of a name: "{}" of a row filled in.
std::string with_number(std::string_view path, Index layer);

}  // namespace attn
