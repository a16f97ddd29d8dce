#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/commands/diff_reports.hpp"
#include "app/commands/diff_side.hpp"
#include "app/commands/our_side.hpp"
#include "app/model_source.hpp"
#include "lib/text.hpp"

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
    OurSide ours =
        options.model ? OurSide(model_layers(options, diagnostics), options) : OurSide(our_name, options);
    if (side.input && !ours.side().input)
        refuse(side.file, "is an input, and OURS holds numbers: nothing of it is computed",
               "attn-calc diff THEIRS OURS: the input stands last; attn-calc run -o writes a trace");
    if (side.input) compute_side(side, options, diagnostics);
    if (is_folder(their_name)) open_folder(side, their_name, ours.files_used(), options);
    if (ours.size() == 0) refuse(ours.file(), "holds no numbers that have the name of a stage");
    if (options.model) leave_out_stacks(side, options.model->stack);
    std::vector<Layer> theirs = understand(side.dumps, options.diff.map, ours.order(0), ours.gradients(0));
    // A model's layer beside numbers that say no layer: they are of that one.
    const bool numbered =
        std::any_of(theirs.begin(), theirs.end(), [](const Layer& l) { return l.number.has_value(); });
    if (const auto& layer = options.diff.layer; layer && (numbered || !options.model)) {
        std::erase_if(theirs, [&](const Layer& l) {
            if (l.number == *layer) return false;
            if (l.number) side.aside.push_back("layer " + std::to_string(*l.number));
            for (const NamedArray& a : l.arrays)
                if (!l.number) side.aside.push_back(visible(a.array->name));
            for (const NamedGradient& g : l.gradients)
                if (!l.number) side.aside.push_back(visible(g.array->name));
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
            if (!l.arrays.empty() || !l.gradients.empty()) return false;
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
        DiffPart& part =
            report.parts.emplace_back(ours.compare_with(theirs[i], *pairs[i], !side.input, diagnostics));
        if (side.input)
            part.settings = compare_settings(side.settings[idx(theirs[i].dump - side.dumps.data())],
                                             ours.settings(*pairs[i]));
        Comparison& done = part.comparison;
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
