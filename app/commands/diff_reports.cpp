#include "app/commands/diff_reports.hpp"

#include "app/commands/common.hpp"
#include "lib/render/comparisons/diff_pictures.hpp"
#include "lib/text.hpp"

namespace attn {

void tell_not_compared(const Options& options, const Reports& out, const Diagnostics& diagnostics) {
    for (const DiffReport& report : out.reports)
        for (const DiffPart& part : report.parts) {
            std::string names;
            for (const std::string& name : part.comparison.not_compared)
                names += (names.empty() ? "" : ", ") + name;
            if (names.empty()) continue;
            Error error(
                Exit::difference, {}, "has names that are not compared: " + clip(names, 200),
                "--stages NAMES compares these only; --ignore-unknown does not count it as a difference");
            error.place.file = report.name.empty() ? options.words[0] : report.name;
            diagnostics.error(error);
        }
}

void write_reports(const Options& options, const Reports& out) {
    write_targets(targets_of(options), [&](const Target& t, Output& output) {
        const RenderOptions form = render_form(options, t.path == "-");
        if (*t.format == Format::svg) return write_diff_svg(out.reports, out.missing, output, form);
        if (*t.format == Format::html) return write_diff_html(out.reports, out.missing, output, form);
        output.write(*t.format == Format::json ? diff_json(out.reports, out.missing, form)
                                               : diff_text(out.reports, out.missing, form));
    });
}

}  // namespace attn
