#include "app/commands/common.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include "app/terminal.hpp"

namespace attn {
namespace {

std::string_view word_for(Format format) {
    switch (format) {
        case Format::text:
            return "text";
        case Format::json:
            return "json";
        case Format::ndjson:
            return "ndjson";
        case Format::csv:
            return "csv";
        case Format::torch:
            return "torch";
    }
    return {};
}

void refuse_many(Format format, std::size_t documents) {
    if (documents <= 1 || (format != Format::csv && format != Format::torch)) return;
    fail_usage("the format " + std::string(word_for(format)) + " holds one document, and there are " +
                   std::to_string(documents),
               "json, ndjson and text hold several");
}

void refuse_overwriting(const std::string& path, const std::vector<std::string>& inputs) {
    struct stat target {
    }, input{};
    if (stat(path.c_str(), &target) != 0 || !S_ISREG(target.st_mode)) return;
    for (const std::string& name : inputs)
        if (stat(name.c_str(), &input) == 0 && input.st_ino == target.st_ino && input.st_dev == target.st_dev)
            fail_usage("-o " + path + " would overwrite the input");
}

RenderOptions form_of(const Options& options, bool standard, bool several) {
    RenderOptions form;
    form.nonfinite = options.nonfinite;
    form.squeeze = options.squeeze;
    form.compact = options.compact;
    form.ascii = options.ascii;
    form.top = options.top;
    form.precision = options.precision;
    form.heading = several;
    form.width = options.width ? *options.width : columns_of(standard ? STDOUT_FILENO : -1);
    form.colour = standard ? use_colour(STDOUT_FILENO, options.colour) : options.colour == When::always;
    return form;
}

}  // namespace

std::vector<Destination> open_destinations(const Options& options,
                                           const std::vector<PlannedDocument>& documents) {
    std::vector<Target> targets = options.targets;
    bool standard_named = false;
    for (const Target& t : targets) standard_named = standard_named || t.path == "-";
    if (targets.empty() || (options.format && !standard_named)) targets.push_back({"-", options.format});
    for (const Target& t : targets)
        refuse_many(t.format.value_or(options.standard_format()), documents.size());
    for (const Target& t : targets) refuse_overwriting(t.path, options.words);

    std::vector<Destination> destinations;
    for (const Target& t : targets) {
        Destination d;
        d.standard = t.path == "-";
        d.format = t.format.value_or(options.standard_format());
        d.form = form_of(options, d.standard, documents.size() > 1);
        d.output = open_output(t.path);
        destinations.push_back(std::move(d));
    }
    return destinations;
}

}  // namespace attn
