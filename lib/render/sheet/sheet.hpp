#pragma once
#include <memory>

#include "lib/render/render.hpp"
#include "lib/run/sink.hpp"

namespace attn {

/// A workbook with a sheet for each stage and formulas in its cells; obeys precision.
std::unique_ptr<Sink> make_sheet(Output& output, const RenderOptions& options);

/// What such a workbook cannot hold. \throws Error (exit 3) for more cells than spreadsheets take
void refuse_sheet(const Plan& plan);

}  // namespace attn
