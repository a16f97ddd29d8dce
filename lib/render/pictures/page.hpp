#pragma once
#include <memory>

#include "lib/render/pictures/picture.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// One page of HTML with every stage, its numbers and how they come about: page/page.js shows them, offline.
/// All stages are held until end(). \throws Error (exit 3) where the page would be larger than 64 MB: nothing
/// has been written then.
std::unique_ptr<PictureWriter> make_page_writer(Output& output, const RenderOptions& options);
/// Before anything is calculated: the least that a page of what the plan shows can have (what PageStages may
/// find to be known is not counted). Above most_page_bytes it is refused.
double least_page_bytes(const Plan& plan);
std::unique_ptr<Sink> make_page(Output& output, const RenderOptions& options);

}  // namespace attn
