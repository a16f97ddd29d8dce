#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/commands/diff_reports.hpp"
#include "app/commands/diff_side.hpp"
#include "app/model_source.hpp"
#include "lib/diff/cut.hpp"
#include "lib/diff/explained.hpp"
#include "lib/diff/ours.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/mistakes/causes.hpp"
#include "lib/mistakes/code/code_lines.hpp"
#include "lib/plan/selection.hpp"
#include "lib/replay/replayed.hpp"
#include "lib/text.hpp"
#include "lib/theirs/dump.hpp"

namespace attn {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& file, std::string message, std::string hint = {}) {
    Error error(Exit::input, {}, std::move(message), std::move(hint));
    error.place.file = file;
    throw error;
}

/// Tensors that are left out since their type is not read: told, unless others were asked for. \return names
std::vector<std::string> left_unread(const Side& side, const Options& options,
                                     const Diagnostics& diagnostics) {
    std::vector<std::string> names;
    if (!options.diff.compare.only.empty()) return names;
    for (const Dump& dump : side.dumps)
        for (const UnreadTensor& u : dump.unread) {
            names.push_back(visible(u.name));
            diagnostics.warning(side.file, "left out: it " + u.why.message);
        }
    return names;
}

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

/// Our side as layers: documents to compute, or layers of a trace.
class OurSide {
  public:
    /// The layers of a model's folder.
    OurSide(std::vector<ModelLayer> layers, const Options& options)
        : options_(options), draws_(draws(options)), models_(std::move(layers)) {
        side_.file = options.model->folder;
        side_.input = true;
        for (const ModelLayer& layer : models_) {
            std::vector<Document> documents = parse_documents(layer.source, {options.request.dtype, false});
            side_.text.documents.push_back(std::move(documents.front()));
        }
    }

    OurSide(const std::string& name, const Options& options) : options_(options), draws_(draws(options)) {
        open_side(side_, name, TextSide::ours, options);
        if (side_.input) return;
        std::vector<Stage> all;
        for (const StageInfo& s : all_stages()) all.push_back(s.stage);
        layers_ = understand(side_.dumps, options.diff.map, all);
        for (Layer& layer : layers_) place_lone(layer);
        numbers_.resize(layers_.size());
    }

    const std::string& file() const { return side_.file; }
    /// The files that the documents name, links followed.
    std::set<std::string> files_used() const {
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
    const Side& side() const { return side_; }
    std::size_t size() const { return side_.input ? side_.text.documents.size() : layers_.size(); }
    std::optional<Index> number(std::size_t k) const {
        if (!models_.empty()) return models_[k].options.model->layer;
        if (side_.input) return size() > 1 ? std::optional<Index>(static_cast<Index>(k)) : std::nullopt;
        return layers_[k].number;
    }
    std::string name(std::size_t k) const {
        if (!models_.empty()) return "layer " + std::to_string(models_[k].options.model->layer);
        if (side_.input) return "document " + std::to_string(k);
        return layers_[k].name.empty() ? "the only one" : layers_[k].name;
    }

    /// The stages of a layer, in order.
    std::vector<Stage> order(std::size_t k) const {
        if (side_.input) return order_of(plan(k, {}, {}));
        return order_of(layers_[k]);
    }

    DiffPart compare_with(const Layer& theirs, std::size_t k, const Diagnostics& diagnostics) {
        DiffPart part;
        if (!side_.input) {
            const Ours& ours = numbers(k);
            part.our_type = ours.type;
            part.comparison = compare(theirs, ours, options_.diff.compare);
            judge_errors(part.comparison, ours, {});
            if (part.comparison.first)
                part.causes.findings =
                    findings_of(part.comparison.theirs, ours.stages, part.comparison.tolerance);
            if (draws_) part.ours = ours.stages;
            return part;
        }
        const Plan whole = plan(k, {}, {});
        const Selection& said = theirs.dump->selection;
        const Plan planned = plan(k, wanted(theirs, order_of(whole)),
                                  said.empty() ? selection_by_places(theirs, whole) : said);
        const CodeSystem* code = code_system_of(options_.diff.map, theirs, whole);
        std::vector<std::string> warnings;
        Ours ours = computed(planned, warnings);
        for (const std::string& warning : warnings) diagnostics.warning(side_.file, warning);
        part.our_type = ours.type;
        part.comparison = compare(theirs, ours, options_.diff.compare);
        if (!ours.selection.empty()) {
            part.comparison.notes.push_back(part_note(ours.selection));
            judge_errors(part.comparison, ours, {});
        } else if (!part.comparison.first) {
            judge_errors(part.comparison, ours, {});
        } else {
            judge_errors(part.comparison, ours, replayer(whole));
            part.causes = find_causes(whole, part.comparison.theirs, part.comparison.tolerance);
            say_where(part.causes, code, whole);
            mark_explained(part.comparison, part.causes);
        }
        if (draws_) part.ours = std::move(ours.stages);
        return part;
    }

  private:
    /// One array without a name: what it is shows beside theirs.
    void place_lone(Layer& layer) const {
        for (NamedArray& a : layer.arrays) {
            if (!a.array->name.empty()) continue;
            a.stage = a.array->shape.size() > 3 ? Stage::context : Stage::output;
            if (!options_.diff.compare.only.empty())
                a.stage = *stage_named(options_.diff.compare.only.back());
        }
    }

    /// The numbers of a layer, cut as the flags say.
    const Ours& numbers(std::size_t k) {
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

    /// How long an axis is in a trace: as the first stage has it that has it.
    static Index length_of(const Ours& ours, std::string_view axis) {
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
            if (axis == "key" &&
                (row_kind(s.family()) == RowKind::new_keys || s.family() == StageShape::per_key))
                return ours.axes.cached_keys + s.shape[2];
        return 0;
    }

    static std::string part_note(const Selection& selection) {
        std::string axes;
        for (const AxisPart& part : selection)
            axes += (axes.empty() ? "" : ", ") + part.axis + " " + clip(ranges_of(part.indices), 40);
        return "compared with a part of ours (" + axes + "): causes are looked for in whole ones";
    }

    Plan plan(std::size_t k, std::vector<std::string> stages, const Selection& selection) const {
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

    static std::string comma_list(const std::vector<Index>& indices) {
        std::string out;
        for (const Index n : indices) out += (out.empty() ? "" : ",") + std::to_string(n);
        return out;
    }

    /// Those that theirs has; all but the ones on request where an array has no name. Weights may turn out to
    /// be a mean over heads: of the last ones.
    static std::vector<std::string> wanted(const Layer& theirs, const std::vector<Stage>& order) {
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
        return names;
    }

    static Replayer replayer(const Plan& whole) {
        auto replay = std::make_shared<Replay>(whole);
        return [replay](Stage stage, const StageSet& theirs) { return replayed(*replay, stage, theirs); };
    }

    const Options& options_;
    bool draws_;  ///< pictures are made of our numbers
    std::vector<ModelLayer> models_;
    Side side_;
    std::vector<Layer> layers_;
    std::vector<std::optional<Ours>> numbers_;
};

/// Which of ours stands beside each of theirs; none: it is missing.
std::vector<std::optional<std::size_t>> pair_layers(const std::vector<Layer>& theirs, const OurSide& ours,
                                                    const std::string& their_file) {
    std::vector<std::optional<std::size_t>> pairs(theirs.size());
    if (theirs.size() == 1 && ours.size() == 1) {
        pairs[0] = 0;
        return pairs;
    }
    bool numbered = true, any = false;
    for (std::size_t i = 0; i < theirs.size(); ++i) {
        numbered = numbered && theirs[i].number;
        for (std::size_t k = 0; k < ours.size(); ++k) {
            if (!theirs[i].number || theirs[i].number != ours.number(k)) continue;
            pairs[i] = k;
            any = true;
        }
    }
    if (numbered && any) return pairs;
    if (theirs.size() != ours.size())
        refuse(their_file,
               "has " + std::to_string(theirs.size()) + (theirs.size() == 1 ? " layer" : " layers") +
                   ", and " + ours.file() + " has " + std::to_string(ours.size()),
               "--layer N compares one of them");
    for (std::size_t i = 0; i < theirs.size(); ++i) pairs[i] = i;
    return pairs;
}

/// Arrays that say another stack of the model: left out, and said.
void leave_out_stacks(Side& side, const std::string& stack) {
    for (Dump& dump : side.dumps)
        std::erase_if(dump.arrays, [&](const GivenArray& a) {
            const bool other = !is_of_stack(a.name, stack);
            if (other) side.aside.push_back(visible(a.name) + " (of another stack)");
            return other;
        });
}

DiffReport compare_files(const std::string& their_name, const std::string& our_name, const std::string& name,
                         const Options& options, const Diagnostics& diagnostics) {
    Side side;
    if (!is_folder(their_name)) open_side(side, their_name, TextSide::theirs, options);
    if (side.input)
        refuse(side.file, "is an input, and nothing in it is computed: THEIRS are somebody's numbers",
               "attn-calc diff THEIRS OURS: the input stands last; attn-calc run -o writes a trace");
    OurSide ours =
        options.model ? OurSide(model_layers(options, diagnostics), options) : OurSide(our_name, options);
    if (is_folder(their_name)) open_folder(side, their_name, ours.files_used(), options);
    if (ours.size() == 0) refuse(ours.file(), "holds no numbers that have the name of a stage");
    if (options.model) leave_out_stacks(side, options.model->stack);
    std::vector<Layer> theirs = understand(side.dumps, options.diff.map, ours.order(0));
    // A model's layer beside numbers that say no layer: they are of that one.
    const bool numbered =
        std::any_of(theirs.begin(), theirs.end(), [](const Layer& l) { return l.number.has_value(); });
    if (const auto& layer = options.diff.layer; layer && (numbered || !options.model)) {
        std::erase_if(theirs, [&](const Layer& l) {
            if (l.number == *layer) return false;
            if (l.number) side.aside.push_back("layer " + std::to_string(*l.number));
            for (const NamedArray& a : l.arrays)
                if (!l.number) side.aside.push_back(visible(a.array->name));
            for (const LeftOut& left : l.left_out)
                if (!l.number) side.aside.push_back(visible(left.array->name));
            return true;
        });
        if (theirs.empty()) refuse(side.file, "has no layer " + std::to_string(*layer));
    }
    // What stands beside the layers: what is not read, and an array of the whole model.
    std::vector<std::string> beside = left_unread(side, options, diagnostics);
    left_unread(ours.side(), options, diagnostics);
    if (theirs.size() > 1)
        std::erase_if(theirs, [&](const Layer& l) {
            if (!l.arrays.empty()) return false;
            for (const LeftOut& left : l.left_out) beside.push_back(visible(left.array->name));
            return true;
        });
    if (theirs.empty()) refuse(side.file, "holds no numbers");

    DiffReport report;
    report.name = name;
    const auto pairs = pair_layers(theirs, ours, side.file);
    std::vector<bool> met(ours.size(), false);
    for (std::size_t i = 0; i < theirs.size(); ++i) {
        if (!pairs[i]) {
            report.missing.push_back(theirs[i].name + " is not in ours");
            continue;
        }
        met[*pairs[i]] = true;
        report.parts.push_back(ours.compare_with(theirs[i], *pairs[i], diagnostics));
        Comparison& done = report.parts.back().comparison;
        done.layer = options.model ? ours.number(*pairs[i]) : theirs[i].number;
    }
    const CompareOptions& how = options.diff.compare;
    if (!report.parts.empty() && !how.ignore_unknown && how.only.empty()) {
        auto& list = report.parts.front().comparison.not_compared;
        list.insert(list.end(), beside.begin(), beside.end());
    }
    if (!report.parts.empty() && !side.aside.empty()) {
        side.aside.erase(std::unique(side.aside.begin(), side.aside.end()), side.aside.end());
        std::string names;
        for (const std::string& one : side.aside) names += (names.empty() ? "" : ", ") + one;
        report.parts.front().comparison.notes.push_back("not compared: " + clip(names, 200));
    }
    for (std::size_t k = 0; k < ours.size() && !options.diff.layer; ++k)
        if (!met[k]) report.missing.push_back(ours.name(k) + " of ours is not in theirs");
    return report;
}

/// Files of the same name; else of the same name up to the suffix.
Reports compare_folders(const Options& options, const Diagnostics& diagnostics) {
    auto theirs = files_of_folder(options.words[0]), ours = files_of_folder(options.words[1]);
    // Files of tensors that documents use are nobody's layers, whichever side has a copy of them.
    std::set<std::string> used;
    for (const auto& [name, path] : ours) {
        if (!name.ends_with(".json")) continue;
        const TextFile text = read_text(read_source(path, most_source_bytes(options.request)));
        if (form_of(text, TextSide::ours) != TextForm::input) continue;
        for (const Document& d : text.documents) add_files_used(d.root, options.words[1], used);
    }
    std::erase_if(ours, [&](const auto& file) {
        if (!used.contains(path_without_links(file.second))) return false;
        theirs.erase(file.first);
        return true;
    });
    if (theirs.empty()) refuse(options.words[0], "holds no files");
    Reports out;
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const auto& [name, path] : theirs) {
        auto found = ours.find(name);
        const auto same_stem = [stem = fs::path(name).stem()](const auto& f) {
            return fs::path(f.first).stem() == stem;
        };
        if (found == ours.end() && std::count_if(ours.begin(), ours.end(), same_stem) == 1)
            found = std::find_if(ours.begin(), ours.end(), same_stem);
        if (found == ours.end()) {
            out.missing.push_back(name + " is not in " + options.words[1]);
            continue;
        }
        out.reports.push_back(compare_files(path, found->second, name, options, diagnostics));
        ours.erase(found);
    }
    for (const auto& [name, path] : ours) out.missing.push_back(name + " is not in " + options.words[0]);
    return out;
}

}  // namespace

Exit diff_command(const Options& options, const Diagnostics& diagnostics) {
    if (options.model && options.words.size() != 1)
        fail_usage("attn-calc diff --model compares one file, or a folder of layers, with a model's layers",
                   "attn-calc diff theirs.npz --model DIR --layer 3 --embeddings hidden.npy");
    if (!options.model && options.words.size() != 2)
        fail_usage("attn-calc diff compares two: found " + std::to_string(options.words.size()),
                   "attn-calc diff theirs.json my.json");
    if (!options.model && options.words[0] == "-" && options.words[1] == "-")
        fail_usage("standard input (-) can be read only once");
    Reports out;
    if (options.model) {
        out.reports.push_back(compare_files(options.words[0], {}, {}, options, diagnostics));
    } else if (is_folder(options.words[0]) && is_folder(options.words[1])) {
        out = compare_folders(options, diagnostics);
    } else {
        out.reports.push_back(compare_files(options.words[0], options.words[1], {}, options, diagnostics));
    }
    if (options.quiet) tell_not_compared(options, out, diagnostics);
    // A reader that leaves early has no say in what was found.
    try {
        write_reports(options, out);
    } catch (const ClosedPipe&) {
    }
    return out.equal() ? Exit::ok : Exit::difference;
}

}  // namespace attn
