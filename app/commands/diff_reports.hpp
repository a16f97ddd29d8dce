#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "app/diagnostics.hpp"
#include "app/options.hpp"
#include "lib/render/comparisons/diff.hpp"

namespace attn {

/// What was compared.
struct Reports {
    std::vector<DiffReport> reports;
    std::vector<std::string> missing;
    bool equal() const {
        return missing.empty() &&
               std::all_of(reports.begin(), reports.end(), [](const DiffReport& r) { return r.equal(); });
    }
};

/// Where nothing else is printed: a difference that is one of names is told all the same.
void tell_not_compared(const Options& options, const Reports& out, const Diagnostics& diagnostics);
/// Writes them to every target. \throws Error (exit 4), ClosedPipe
void write_reports(const Options& options, const Reports& out);

}  // namespace attn
