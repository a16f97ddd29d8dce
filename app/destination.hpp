#pragma once
#include <memory>
#include <vector>

#include "app/output.hpp"

namespace attn {

/// One place where results go, with the form they take there.
struct Destination {
    Format format = Format::text;
    std::string path;
    bool standard = false;
    bool by_document = false;                ///< `path` stands for a file of each document
    std::unique_ptr<FinishedOutput> output;  ///< null: not opened yet
    RenderOptions form;
    bool closed = false;  ///< its reader has gone
};

/// Calls write(destination) for every destination that is still open. A reader that leaves early
/// ends its own destination only.
template <class Write>
void for_open(std::vector<Destination>& destinations, Write write) {
    for (Destination& to : destinations) {
        if (to.closed) continue;
        try {
            write(to);
        } catch (const ClosedPipe&) {
            to.closed = true;
        }
    }
}

}  // namespace attn
