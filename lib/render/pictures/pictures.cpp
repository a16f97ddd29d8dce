#include "lib/render/pictures/pictures.hpp"

#include <array>

#include "lib/render/pictures/page.hpp"
#include "lib/render/pictures/screen.hpp"
#include "lib/render/pictures/svg.hpp"

namespace attn {
namespace {

struct PictureFormat {
    Format format;
    std::unique_ptr<PictureWriter> (*make)(Output& output, const RenderOptions& options);
};

/// THE TABLE of formats of pictures.
constexpr std::array picture_formats{PictureFormat{Format::text, make_screen_writer},
                                     PictureFormat{Format::svg, make_svg_writer},
                                     PictureFormat{Format::html, make_page_writer}};

}  // namespace

std::unique_ptr<PictureWriter> make_picture_writer(Format format, Output& output,
                                                   const RenderOptions& options) {
    for (const PictureFormat& f : picture_formats)
        if (f.format == format) return f.make(output, options);
    return nullptr;
}

}  // namespace attn
