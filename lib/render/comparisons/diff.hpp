#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/diff/compare.hpp"
#include "lib/diff/settings.hpp"
#include "lib/mistakes/causes.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// One comparison with what was found about it.
struct DiffPart {
    Comparison comparison;
    CauseReport causes;
    Element our_type = Element::float32;
    /// Where both sides are documents: what they say differently.
    std::optional<std::vector<SettingDifference>> settings{};
    StageSet ours;  ///< our numbers, where pictures are wanted of them
};

/// Two files.
struct DiffReport {
    std::string name;                  ///< of the pair in a folder; empty: the only one
    std::vector<DiffPart> parts;       ///< one, or a part for each layer
    std::vector<std::string> missing;  ///< layers that one side lacks, in words
    bool equal() const;
};

/// As text: the table and what is said about it. Folders and layers: a line for each, then the first that
/// differs.
std::string diff_text(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                      const RenderOptions& options);

/// As JSON: one comparison by itself; with several, {"equal", "first", "missing", "layers" or "files"}. In
/// one line where `options` say compact.
std::string diff_json(const std::vector<DiffReport>& reports, const std::vector<std::string>& missing,
                      const RenderOptions& options);

}  // namespace attn
