#include "app/commands/our_side.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <utility>

#include "lib/diff/cut.hpp"
#include "lib/diff/explained.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/mistakes/causes.hpp"
#include "lib/mistakes/code/code_lines.hpp"
#include "lib/mistakes/gradient_mistakes.hpp"
#include "lib/mistakes/rounding_seen.hpp"
#include "lib/plan/selection.hpp"
#include "lib/replay/replayed.hpp"
#include "lib/text.hpp"
#include "lib/theirs/gradient_names.hpp"

namespace attn {
namespace {

namespace fs = std::filesystem;

bool is_picture(Format format) { return format == Format::svg || format == Format::html; }

bool draws(const Options& options) {
    const std::vector<Target> targets = targets_of(options);
    return std::any_of(targets.begin(), targets.end(), [](const Target& t) { return is_picture(*t.format); });
}

/// The flag and the request of each axis that may be cut.
struct CutFlag {
    std::string_view axis;
    AxisWords words;
    std::optional<std::string> Request::*text;
};
constexpr std::array<CutFlag, 4> cut_flags{
    {{"batch", {"--batch", "batch item", "batch items"}, &Request::batch},
     {"head", {"--heads", "head", "heads"}, &Request::heads},
     {"query", {"--rows", "row", "query rows"}, &Request::rows},
     {"key", {"--cols", "column", "keys"}, &Request::cols}}};

/// Stages, then gradients.
StageSet all_of(const Ours& ours) {
    StageSet out = ours.stages;
    out.insert(out.end(), ours.gradients.begin(), ours.gradients.end());
    return out;
}

}  // namespace

OurSide::OurSide(std::vector<ModelLayer> layers, const Options& options)
    : options_(options), draws_(draws(options)), models_(std::move(layers)) {
    side_.file = options.model->folder;
    side_.input = true;
    for (const ModelLayer& layer : models_) {
        std::vector<Document> documents = parse_documents(layer.source, parsing(options));
        side_.text.documents.push_back(std::move(documents.front()));
    }
}

OurSide::OurSide(const std::string& name, const Options& options)
    : options_(options), draws_(draws(options)) {
    open_side(side_, name, TextSide::ours, options);
    if (side_.input) return;
    if (!options.overrides.empty())
        fail_usage("--set has no use: " + visible(name) + " holds numbers, not a document");
    std::vector<Stage> all;
    for (const StageInfo& s : all_stages()) all.push_back(s.stage);
    std::vector<OwnGradient> gradients;  // a trace holds those of stages by their names
    for (const Stage s : all)
        gradients.push_back({"d_" + std::string(info_of(s).name), StageOf::gradient, s});
    layers_ = understand(side_.dumps, options.diff.map, all, gradients);
    for (Layer& layer : layers_) keep_own(layer);
    for (Layer& layer : layers_) place_lone(layer);
    numbers_.resize(layers_.size());
}

std::set<std::string> OurSide::files_used() const {
    std::set<std::string> out;
    const fs::path folder = fs::path(side_.file).parent_path();
    for (const Document& d : side_.text.documents)
        add_files_used(d.root, folder.empty() ? "." : folder.string(), out);
    for (const ModelLayer& layer : models_)
        for (const auto* file :
             {&layer.options.embeddings, &layer.options.block, &layer.options.key_embeddings})
            if (*file) out.insert(path_without_links(tensor_file_of(**file)));
    return out;
}

std::optional<Index> OurSide::number(std::size_t k) const {
    if (!models_.empty()) return models_[k].options.model->layer;
    if (side_.input) return size() > 1 ? std::optional<Index>(static_cast<Index>(k)) : std::nullopt;
    return layers_[k].number;
}

std::string OurSide::name(std::size_t k) const {
    if (!models_.empty()) return "layer " + std::to_string(models_[k].options.model->layer);
    if (side_.input) return "document " + std::to_string(k);
    return layers_[k].name.empty() ? "the only one" : layers_[k].name;
}

std::vector<Stage> OurSide::order(std::size_t k) const {
    if (side_.input) return order_of(plan(k, {}, {}));
    return order_of(layers_[k]);
}

std::vector<OwnGradient> OurSide::gradients(std::size_t k) const {
    if (side_.input) return own_gradients(plan(k, {}, {}));
    return gradients_of(layers_[k]);
}

DiffPart OurSide::compare_with(const Layer& theirs, std::size_t k, bool seeks_causes,
                               const Diagnostics& diagnostics) {
    DiffPart part;
    if (!side_.input) {
        const Ours& ours = numbers(k);
        part.our_type = ours.type;
        part.comparison = compare(theirs, ours, options_.diff.compare);
        judge_errors(part.comparison, ours, {});
        if (part.comparison.first)
            part.causes.findings =
                findings_of(part.comparison.theirs, ours.stages, part.comparison.tolerance);
        for (std::string& one :
             findings_of(part.comparison.their_gradients, ours.gradients, part.comparison.tolerance))
            part.causes.findings.push_back(std::move(one));
        if (draws_) part.ours = all_of(ours);
        return part;
    }
    const Plan whole = plan(k, {}, {});
    const Selection& said = theirs.dump->selection;
    const Plan planned =
        plan(k, wanted(theirs, whole), said.empty() ? selection_by_places(theirs, whole) : said);
    const CodeSystem* code = code_system_of(options_.diff.map, theirs, whole);
    std::vector<std::string> warnings;
    Ours ours = computed(planned, warnings);
    for (const std::string& warning : warnings) diagnostics.warning(side_.file, warning);
    part.our_type = ours.type;
    part.comparison = compare(theirs, ours, options_.diff.compare);
    if (ours.selection.empty()) note_rounding(part.comparison, whole);
    if (!ours.selection.empty()) {
        part.comparison.notes.push_back(part_note(ours.selection));
        judge_errors(part.comparison, ours, {});
    } else if (!part.comparison.first) {
        judge_errors(part.comparison, ours, {});
    } else {
        judge_errors(part.comparison, ours, replayers(whole));
    }
    if (ours.selection.empty() && part.comparison.first && seeks_causes) {
        part.causes = find_causes(whole, part.comparison.theirs, part.comparison.tolerance);
        say_where(part.causes, code, whole);
        if (!part.comparison.their_gradients.empty()) add_gradient_causes(part, whole);
        mark_explained(part.comparison, part.causes);
    }
    if (draws_) part.ours = all_of(ours);
    return part;
}

void OurSide::note_rounding(Comparison& comparison, const Plan& whole) {
    if (std::string seen = rounding_seen(whole, comparison.theirs); !seen.empty())
        comparison.notes.push_back(std::move(seen));
    if (whole.dtype != DType::float32) return;
    for (const DType half : {DType::bfloat16, DType::float16})
        if (std::any_of(comparison.stages.begin(), comparison.stages.end(), [&](const StageComparison& s) {
                return s.present && s.their_type == element_of(half);
            }))
            comparison.notes.push_back("theirs are numbers of " + std::string(name_of(half)) + ": " +
                                       (option::dtype + " ") + name_of(half) +
                                       " computes ours as a model in that type does");
}

void OurSide::keep_own(Layer& layer) {
    std::erase_if(layer.gradients, [&](const NamedGradient& g) {
        const bool own = g.among.size() == 1 && g.array->name.ends_with(g.among.front());
        if (!own) layer.left_out.push_back({g.array, split_name(g.array->name).stage, {}});
        return !own;
    });
}

void OurSide::place_lone(Layer& layer) const {
    for (NamedArray& a : layer.arrays) {
        if (!a.array->name.empty()) continue;
        a.stage = a.array->shape.size() > 3 ? Stage::context : Stage::output;
        if (!options_.diff.compare.only.empty())
            a.stage = stage_named(options_.diff.compare.only.back()).value_or(a.stage);
    }
}

const Ours& OurSide::numbers(std::size_t k) {
    if (numbers_[k]) return *numbers_[k];
    Ours& ours = numbers_[k].emplace(traced(layers_[k]));
    Selection asked;
    for (const CutFlag& flag : cut_flags) {
        const auto& text = options_.request.*flag.text;
        if (!text) continue;
        const AxisSelection indices = select_axis(text, length_of(ours, flag.axis), nullptr, flag.words);
        if (!indices.all) asked.push_back({std::string(flag.axis), indices.indices});
    }
    cut(ours, asked);
    return ours;
}

Index OurSide::length_of(const Ours& ours, std::string_view axis) {
    for (const WholeStage& s : ours.stages) {
        const StageShape family = s.family();
        const bool by_query = row_kind(family) == RowKind::queries || family == StageShape::per_query;
        if (axis == "batch") return s.shape[0];
        if (axis == "head" && has_heads(family) && by_query) return s.shape[1];
        if (axis == "query" && by_query) return s.shape[2];
        if (axis == "key" && family == StageShape::query_key) return s.shape[3];
        if (axis == "key" && family == StageShape::all_key_dim) return s.shape[2];
    }
    // A state has no stage of all keys.
    for (const WholeStage& s : ours.stages)
        if (axis == "key" && (row_kind(s.family()) == RowKind::new_keys || s.family() == StageShape::per_key))
            return ours.axes.cached_keys + s.shape[2];
    return 0;
}

std::string OurSide::part_note(const Selection& selection) {
    std::string axes;
    for (const AxisPart& part : selection)
        axes += (axes.empty() ? "" : ", ") + part.axis + " " + clip(ranges_of(part.indices), 40);
    return "compared with a part of ours (" + axes + "): causes are looked for in whole ones";
}

Value OurSide::settings(std::size_t k) const {
    if (!models_.empty()) return settings_of(models_[k].source, side_.text.documents[k], models_[k].options);
    return settings_of(side_.text.source, side_.text.documents[k], options_);
}

Plan OurSide::plan(std::size_t k, std::vector<std::string> stages, const Selection& selection) const {
    Request request = options_.request;
    request.stages = std::move(stages);
    for (const AxisPart& part : selection)
        for (const CutFlag& flag : cut_flags)
            if (flag.axis == part.axis && !(request.*flag.text))
                request.*flag.text = comma_list(part.indices);
    if (!models_.empty())
        return plan_document(models_[k].source, side_.text.documents[k], models_[k].options, request);
    return plan_document(side_.text.source, side_.text.documents[k], options_, request);
}

std::string OurSide::comma_list(const std::vector<Index>& indices) {
    std::string out;
    for (const Index n : indices) out += (out.empty() ? "" : ",") + std::to_string(n);
    return out;
}

std::vector<std::string> OurSide::wanted(const Layer& theirs, const Plan& plan) {
    const std::vector<Stage> order = order_of(plan);
    const auto are_weights = [](Stage s) { return has_heads(info_of(s).shape) && is_weights(s); };
    bool weights = std::any_of(theirs.left_out.begin(), theirs.left_out.end(),
                               [](const LeftOut& l) { return l.name == "mean_weights"; });
    for (const NamedArray& a : theirs.arrays) {
        if (a.array->name.empty()) return {};
        weights = weights || are_weights(a.stage);
    }
    std::vector<std::string> names;
    for (const Stage s : order) {
        const bool given = std::any_of(theirs.arrays.begin(), theirs.arrays.end(),
                                       [&](const NamedArray& a) { return a.stage == s; });
        if (given || (weights && are_weights(s))) names.emplace_back(info_of(s).name);
    }
    for (const PlannedStage& s : plan.gradients)
        if (std::any_of(theirs.gradients.begin(), theirs.gradients.end(), [&](const NamedGradient& g) {
                return std::find(g.among.begin(), g.among.end(), s.name) != g.among.end();
            }))
            names.push_back(s.name);
    return names;
}

/// Of gradients that do not follow from what is wrong before them.
void OurSide::add_gradient_causes(DiffPart& part, const Plan& whole) {
    const Comparison& c = part.comparison;
    const bool new_errors = std::any_of(c.stages.begin(), c.stages.end(), [](const StageComparison& s) {
        return s.is_gradient && s.fits && !s.equal && s.new_error.value_or(true);
    });
    if (!new_errors) return;
    CauseReport found = find_gradient_causes(whole, c.theirs, c.their_gradients, c.tolerance);
    part.causes.tried += found.tried;
    for (Cause& cause : found.causes) part.causes.causes.push_back(std::move(cause));
    for (std::string& one : found.findings) part.causes.findings.push_back(std::move(one));
}

Replayers OurSide::replayers(const Plan& whole) {
    auto replay = std::make_shared<Replay>(whole);
    Replayers out;
    out.stage = [replay](Stage stage, const StageSet& theirs) { return replayed(*replay, stage, theirs); };
    if (!whole.gradient || GradientReplay::is_too_large(whole)) return out;
    // Asked for one gradient after another, of the same stages of the forward pass.
    struct Backward {
        explicit Backward(const Replay& replay) : gradients(replay) {}
        GradientReplay gradients;
        HeldStages forward{};
    };
    auto backward = std::make_shared<std::optional<Backward>>();
    out.gradient = [replay, backward](const std::string& name, const StageSet& theirs,
                                      const StageSet& earlier) {
        if (!*backward) {
            backward->emplace(*replay);
            (*backward)->forward = (*backward)->gradients.forward(held_of(*replay, theirs));
        }
        return replayed((*backward)->gradients, name, (*backward)->forward, earlier);
    };
    return out;
}

}  // namespace attn
