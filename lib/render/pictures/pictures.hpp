#pragma once
#include <memory>

#include "lib/render/pictures/picture.hpp"
#include "lib/render/render.hpp"

namespace attn {

/// What draws pictures as a format, by THE TABLE of picture formats (pictures.cpp): `text` is a drawing of
/// characters. Null: not a format of pictures.
std::unique_ptr<PictureWriter> make_picture_writer(Format format, Output& output,
                                                   const RenderOptions& options);

}  // namespace attn
