// Architectures of GGUF files: rows of the other table under llama.cpp's names.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <string_view>

#include "lib/error.hpp"
#include "lib/models/config.hpp"
#include "lib/models/layer_reader.hpp"
#include "lib/models/rows.hpp"
#include "lib/models/tree.hpp"

namespace attn {
namespace {

constexpr std::string_view apart = "q=attn_q k=attn_k v=attn_v output=attn_output",
                           with_norms_of_heads =
                               "q=attn_q k=attn_k v=attn_v output=attn_output q_norm k_norm",
                           apart_or_packed = "?qkv=attn_qkv ?q=attn_q ?k=attn_k ?v=attn_v output=attn_output";

void read_gguf_layer(LayerReader& reader) {
    const Config& config = reader.config();
    if (!config.given("num_attention_heads"))
        fail("", "does not say how many heads it has: no attention.head_count in its metadata");
    LayerReader::Sizes& sizes = reader.sizes();
    if (const auto width = config.integer("v_head_dim", 1)) sizes.value_dim = *width;
    if (const auto turned = config.integer("rotary_dim", 1);
        reader.row().interleaved_rows && turned && turned->value != sizes.dim.value)
        fail("", "turns " + std::to_string(turned->value) + " of " + std::to_string(sizes.dim.value) +
                     " columns of a head (" + turned->from +
                     "): how its rows were put into pairs is not known");
    if (const auto scale = config.number("attention_multiplier"); scale && scale->value != 0)
        reader.set("scale", tree_number(scale->value), scale->from);
}

/// What llama.cpp computes: the root of the heads' width, of the width by heads in the 27B, which its number
/// of layers tells.
void gemma_scale(LayerReader& reader, Index layers_of_27b) {
    read_gguf_layer(reader);
    const LayerReader::Sizes& sizes = reader.sizes();
    const bool largest = reader.layers() == layers_of_27b;
    const Index root = largest ? sizes.width / sizes.heads.value : sizes.dim.value;
    reader.set("scale", tree_number(1 / std::sqrt(static_cast<double>(root))),
               largest ? "1/sqrt(width / num_heads), the rule of the 27B" : "1/sqrt(" + sizes.dim.from + ")");
}

/// The norms' weights have the 1 added.
void gemma_norms(Architecture& a) { a.norm.plus_one = a.qk_norm.plus_one = false; }

constexpr std::array gguf_rows{
    GgufRow{"llama", "llama", apart, true},
    GgufRow{"gpt2", "gpt2", apart_or_packed},
    GgufRow{"qwen2", "qwen2", apart},
    GgufRow{"qwen2moe", "qwen2_moe", apart},
    GgufRow{"qwen3", "qwen3", with_norms_of_heads},
    GgufRow{"qwen3moe", "qwen3_moe", with_norms_of_heads},
    GgufRow{"gemma", "gemma", apart, false, gemma_norms},
    GgufRow{"gemma2", "gemma2", apart, false,
            [](Architecture& a) {
                gemma_norms(a);
                a.window = 4096;
                a.more = [](LayerReader& reader) { gemma_scale(reader, 46); };
            }},
    GgufRow{"gemma3", "gemma3_text", with_norms_of_heads, false,
            [](Architecture& a) {
                gemma_norms(a);
                a.more = [](LayerReader& reader) { gemma_scale(reader, 62); };
            }},
    GgufRow{"phi2", "phi", apart_or_packed},
    GgufRow{"phi3", "phi3", apart_or_packed},
    GgufRow{"granite", "granite", apart, true},
    GgufRow{"starcoder2", "starcoder2", apart},
};

}  // namespace

std::span<const GgufRow> all_gguf_rows() { return gguf_rows; }

Architecture architecture_of(const GgufRow& row) {
    const auto all = all_architectures();
    const auto base = std::find_if(all.begin(), all.end(), [&](const Architecture& a) {
        return a.type == row.type && a.kind.empty() && a.stack == "text";
    });
    if (base == all.end())
        throw Error(Exit::defect, {}, "the table of architectures has no " + std::string(row.type));
    return with(*base, [&](Architecture& a) {
        a.layer = "blk.{}";
        a.attention = "attn_";
        a.modules = row.modules;
        a.ignored = "rot_embd";
        a.norm.module = "attn_norm";
        a.interleaved_rows = row.interleaved_rows;
        // What a silent file means to llama.cpp, not to the class of the model.
        const Architecture silent;
        a.kv = silent.kv;
        a.kv_keys = silent.kv_keys;
        a.kv_heads = 0;
        a.dim_keys = silent.dim_keys;
        a.dim = 0;
        a.window = 0;
        a.rope.base = 10000;
        a.rope.share = 1;
        a.rope.original = 0;
        a.rope.scaling = {};
        a.more = read_gguf_layer;
        a.unread = {};
        if (row.change) row.change(a);
    });
}

}  // namespace attn
