#pragma once
#include <memory>
#include <vector>

#include "app/options.hpp"
#include "app/output.hpp"
#include "app/source.hpp"

namespace attn {

/// One place where results go, with the form they take there.
struct Destination {
    Format format = Format::text;
    bool standard = false;
    std::unique_ptr<DescriptorOutput> output;
    RenderOptions form;
    bool closed = false;  ///< its reader has gone
};

/// Opens what -o and -f ask for. \throws Error: exit 2 for a format that cannot hold `documents`, or for an
/// output that is one of the files read; exit 4.
std::vector<Destination> open_destinations(const Options& options,
                                           const std::vector<PlannedDocument>& documents);

/// Calls write(destination, document) for every pair, then commits all. A reader that leaves early ends its
/// own destination only.
template <class Write>
void write_all(std::vector<Destination>& destinations, const std::vector<PlannedDocument>& documents,
               Write write) {
    for (Destination& to : destinations) {
        try {
            for (std::size_t k = 0; k < documents.size(); ++k) {
                to.form.source_name = documents[k].file;
                if (documents.size() > 1) to.form.document = static_cast<Index>(k);
                write(to, documents[k]);
            }
            to.output->flush();
        } catch (const ClosedPipe&) {
            to.closed = true;
        }
    }
    for (Destination& to : destinations) {
        if (to.closed) continue;
        try {
            to.output->commit();
        } catch (const ClosedPipe&) {
            to.closed = true;
        }
    }
}

}  // namespace attn
