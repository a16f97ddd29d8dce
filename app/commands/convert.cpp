#include <unistd.h>

#include <algorithm>

#include "app/commands/commands.hpp"
#include "app/commands/common.hpp"
#include "app/terminal.hpp"
#include "lib/input/tensor_file.hpp"
#include "lib/render/traces/write_tensors.hpp"
#include "lib/text.hpp"
#include "lib/theirs/dump.hpp"

namespace attn {
namespace {

/// "w" of "folder/w.npy": an npy file has no name for its array.
std::string stem_of(const std::string& file) {
    const std::string name = file.substr(file.rfind('/') + 1);
    return name.substr(0, name.rfind('.'));
}

FileTensors read_tensors(const std::string& file, const std::vector<std::string>& asked) {
    if (names_tensor_file(file)) {
        FileTensors out = of_file(file, [&] {
            FileTensors all = take_all(*open_tensor_file(file));
            for (const UnreadTensor& u : all.unread)
                if (std::find(asked.begin(), asked.end(), u.name) != asked.end()) throw Error(u.why);
            if (!asked.empty()) all.unread.clear();  // nobody asked for them
            return all;
        });
        if (file.ends_with(".npy")) out.tensors.front().name = stem_of(file);
        return out;
    }
    Source source = read_source(file, SIZE_MAX / 2);
    if (!file.ends_with(".csv")) {
        JsonText text = read_json_text(std::move(source), {DType::float32, false});
        if (!is_events(text)) return json_tensors_of(text);
        return tensors_of(read_text(std::move(text.source)));
    }
    FileTensors out = read_csv_tensors(source);
    for (const FileTensor& t : out.tensors)
        if (t.document != out.tensors.front().document) {
            Error error(Exit::input, {}, "holds several documents, expected one");
            error.place.file = file;
            throw error;
        }
    return out;
}

/// Those that are asked for, in that order.
void choose(const std::vector<std::string>& names, std::vector<FileTensor>& tensors) {
    if (names.empty()) return;
    std::vector<std::string_view> all;
    for (const FileTensor& t : tensors) all.emplace_back(t.name);
    std::vector<FileTensor> chosen;
    for (const std::string& name : names) {
        const auto found = std::find(all.begin(), all.end(), name);
        if (found == all.end()) fail_usage("--stages: there is no " + name, did_you_mean(name, all));
        chosen.push_back(tensors[idx(found - all.begin())]);
    }
    tensors = std::move(chosen);
}

void tell(const std::string& file, const FileTensors& in, const Written& written, const Options& options,
          const Diagnostics& diagnostics) {
    const Losses& lost = written.losses;
    if (lost.changed > 0)
        diagnostics.warning(
            file,
            std::to_string(lost.changed) + " of " + std::to_string(lost.numbers) +
                " numbers are not the same in " + std::string(name_of(*options.element)) +
                (lost.infinite > 0 ? ", " + std::to_string(lost.infinite) + " of them became infinite" : ""));
    for (const std::string& note : written.notes) diagnostics.warning(file, note);
    for (const UnreadTensor& u : in.unread) diagnostics.warning(file, "left out: it " + u.why.message);
    for (const std::string& what : in.besides) diagnostics.warning(file, "not kept: " + what);
}

}  // namespace

void convert_command(const Options& options, const Diagnostics& diagnostics) {
    if (options.words.size() > 1) fail_usage("attn-calc convert reads one file");
    if (options.targets.empty() && !options.format)
        fail_usage("attn-calc convert needs one place to write to",
                   "attn-calc convert IN -o OUT.npz, or -f FORMAT for standard output");
    const Target target = options.targets.empty() ? Target{"-", options.format} : options.targets.front();
    if (!target.format) fail_usage("-o " + target.path + ": the format is not known", "-f FORMAT says it");
    const std::string file = options.words.empty() ? "-" : options.words.front();
    if (target.path == "-") refuse_terminal(*target.format);
    refuse_overwriting(target.path, {file});
    FileTensors in = read_tensors(file, options.request.stages);
    choose(options.request.stages, in.tensors);
    check_tensors(*target.format, in.tensors);
    const auto output = open_output(target.path);
    const Written written = write_tensors(*target.format, in.tensors, options.element, *output);
    output->finish();
    tell(file == "-" ? "<stdin>" : file, in, written, options, diagnostics);
    output->publish();  // last: what fails before leaves an old file as it was
}

}  // namespace attn
