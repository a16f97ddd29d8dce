#pragma once
#include <memory>

#include "lib/render/render.hpp"

namespace attn {

std::unique_ptr<Sink> make_json(Output& output, const RenderOptions& options);
std::unique_ptr<Sink> make_ndjson(Output& output, const RenderOptions& options);
/// With a first column that tells documents apart; of one alone the sink writes it without.
constexpr std::string_view csv_header_of_several =
    "document,stage,batch,head,row,column,row_token,column_token,value\r\n";
std::unique_ptr<Sink> make_csv(Output& output, const RenderOptions& options);
std::unique_ptr<Sink> make_torch(Output& output, const RenderOptions& options);
std::unique_ptr<Sink> make_markdown(Output& output, const RenderOptions& options);
std::unique_ptr<Sink> make_latex(Output& output, const RenderOptions& options);
std::unique_ptr<Sink> make_text(Output& output, const RenderOptions& options);
/// npz, npy (one stage), safetensors.
std::unique_ptr<Sink> make_tensors(Format format, Output& output, bool squeeze);
/// npy holds one. \throws Error (exit 2)
void refuse_many_stages(const Plan& plan);

}  // namespace attn
