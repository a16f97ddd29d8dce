#include "app/commands/common.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "app/option_values.hpp"
#include "app/terminal.hpp"

namespace attn {

void refuse_many(Format format, std::size_t documents) {
    if (documents <= 1 || row_of(format).several) return;
    std::string others;
    for (const FormatRow& f : all_formats())
        if (f.several) others += (others.empty() ? "" : ", ") + std::string(f.name);
    fail_usage("the format " + std::string(name_of(format)) + " holds one document, and there are more",
               "-o {n}." + std::string(name_of(format)) +
                   " writes a file for each; formats that hold several: " + others);
}

RenderOptions render_form(const Options& options, bool standard) {
    RenderOptions form;
    form.nonfinite = options.nonfinite;
    form.squeeze = options.squeeze;
    form.compact = options.compact;
    form.ascii = options.ascii;
    form.top = options.top;
    form.precision = options.precision;
    form.precision_asked = options.precision_asked;
    form.width = options.width ? *options.width : columns_of(standard ? STDOUT_FILENO : -1);
    form.colour = standard ? use_colour(STDOUT_FILENO, options.colour) : options.colour == When::always;
    form.colours = form.colour ? terminal_colours() : Colours::none;
    form.dark = options.background ? *options.background == Background::dark : is_terminal_dark();
    form.lines = lines_of(standard ? STDOUT_FILENO : -1);
    form.sums = options.sums;
    return form;
}

void refuse_terminal(Format format) {
    if (is_binary(format) && isatty(STDOUT_FILENO) == 1)
        fail_usage("the format " + std::string(name_of(format)) + " is not for a terminal",
                   "-o FILE." + std::string(name_of(format)) + " writes it to a file");
}

void refuse_overwriting(const std::string& path, const std::vector<std::string>& inputs) {
    struct stat target {
    }, input{};
    if (stat(path.c_str(), &target) != 0 || !S_ISREG(target.st_mode)) return;
    for (const std::string& name : inputs)
        if (stat(name.c_str(), &input) == 0 && input.st_ino == target.st_ino && input.st_dev == target.st_dev)
            fail_usage("-o " + path + " would overwrite the input");
}

std::vector<Destination> destinations_of(const Options& options, const std::vector<Target>& targets) {
    for (const Target& t : targets) {
        if (t.path == "-") refuse_terminal(*t.format);
        refuse_overwriting(t.path, options.words);
    }
    std::vector<Destination> destinations;
    for (const Target& t : targets) {
        Destination d;
        d.path = t.path;
        d.standard = t.path == "-";
        d.format = *t.format;
        d.form = render_form(options, d.standard);
        destinations.push_back(std::move(d));
    }
    return destinations;
}

std::vector<Destination> open_targets(const Options& options, const std::vector<Target>& targets) {
    std::vector<Destination> destinations = destinations_of(options, targets);
    for (Destination& d : destinations) d.output = open_output(d.path);
    return destinations;
}

std::vector<Destination> open_destinations(const Options& options,
                                           const std::vector<PlannedDocument>& documents) {
    const std::vector<Target> targets = targets_of(options);
    for (const Target& t : targets) {
        refuse_many(*t.format, documents.size());
        const auto refuse = row_of(*t.format).refuse;
        if (refuse && !documents.empty()) refuse(documents.front().plan);
    }
    std::vector<Destination> destinations = open_targets(options, targets);
    for (Destination& d : destinations) d.form.heading = documents.size() > 1;
    return destinations;
}

void turn_to(std::vector<Destination>& destinations, const std::vector<PlannedDocument>& documents,
             std::size_t k) {
    for (Destination& to : destinations) {
        to.form.source_name = documents[k].file;
        if (documents.size() > 1) to.form.document = static_cast<Index>(k);
    }
}

void write_targets(const std::vector<Target>& targets,
                   const std::function<void(const Target&, Output&)>& write) {
    std::vector<Destination> destinations(targets.size());
    for (std::size_t k = 0; k < targets.size(); ++k) destinations[k].output = open_output(targets[k].path);
    std::size_t k = 0;
    for_open(destinations, [&](Destination& to) { write(targets[k++], *to.output); });
    commit_all(destinations);
}

std::vector<std::string_view> names_of(std::span<const NamedText> texts) {
    std::vector<std::string_view> names;
    for (const NamedText& t : texts) names.push_back(t.name);
    return names;
}

void write_named(const Options& options, std::span<const NamedText> texts) {
    const std::vector<std::string_view> names = names_of(texts);
    const std::string command = "attn-calc " + std::string(name_of(options.command));
    if (options.words.size() != 1) fail_usage(command + " takes one name: " + listed(names));
    const std::string text = texts[choice_value(command, options.words.front(), names)].make();
    const auto output = open_output(options.targets.empty() ? "-" : options.targets.front().path);
    output->write(text);
    output->commit();
}

void commit_all(std::vector<Destination>& destinations) {
    for_open(destinations, [](Destination& to) { to.output->finish(); });
    for_open(destinations, [](Destination& to) { to.output->publish(); });
}

}  // namespace attn
