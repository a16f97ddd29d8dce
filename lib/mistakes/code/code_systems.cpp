// What systems call things in their code, and what they write in a way of their own.
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error.hpp"
#include "lib/mistakes/code/code_words.hpp"

namespace attn {
namespace {

using enum CodeLanguage;

constexpr std::array<std::string_view, 19> own_names{
    "x",     "memory",   "q",   "k",     "v",   "scores", "weights", "context", "output", "mask",
    "heads", "kv_heads", "dim", "scale", "W_q", "W_k",    "W_v",     "W_qkv",   "W_o"};

// clang-format off
const std::array systems{
    // LLMs-from-scratch, chapter 3.
    CodeSystem{"the tutorial", torch, {
        {"x", "x"}, {"memory", "memory"}, {"q", "queries"}, {"k", "keys"}, {"v", "values"}, {"scores", "attn_scores"}, {"weights", "attn_weights"}, {"context", "context_vec"},
        {"output", "context_vec"}, {"mask", "mask_bool"}, {"heads", "self.num_heads"}, {"kv_heads", "self.num_heads"}, {"dim", "self.head_dim"}, {"scale", "keys.shape[-1]**-0.5"},
        {"W_q", "self.W_query"}, {"W_k", "self.W_key"}, {"W_v", "self.W_value"}, {"W_qkv", "self.qkv"}, {"W_o", "self.out_proj"}, {"gain", "self.scale"},
        {"scaled", "{weights} = torch.softmax({scores} / {k}.shape[-1]**0.5, dim=-1)"}, {"scale_set", "{scaled}"}, {"softmax", "{scaled}"},
        {"masked", "{scores}.masked_fill_({mask}, -torch.inf)"}, {"dropped", "{weights} = self.dropout({weights})"}}},
    CodeSystem{"Transformers", torch, {
        {"x", "hidden_states"}, {"memory", "encoder_hidden_states"}, {"q", "query_states"}, {"k", "key_states"}, {"v", "value_states"}, {"scores", "attn_weights"}, {"weights", "attn_weights"},
        {"context", "attn_output"}, {"output", "attn_output"}, {"mask", "attention_mask"}, {"heads", "num_attention_heads"}, {"kv_heads", "num_key_value_heads"}, {"dim", "self.head_dim"},
        {"scale", "self.scaling"}, {"W_q", "self.q_proj"}, {"W_k", "self.k_proj"}, {"W_v", "self.v_proj"}, {"W_qkv", "self.qkv_proj"}, {"W_o", "self.o_proj"}, {"gain", "self.weight"},
        {"product", "{scores} = torch.matmul({q}, {k}.transpose(2, 3))"}, {"scaled", "{product} * {scale}"}, {"masked", "{scores} = {scores} + {mask}"},
        {"causal", "{mask} = torch.triu(torch.full((queries, keys), torch.finfo(dtype).min), diagonal={diagonal})"},
        {"window", "{mask} = create_sliding_window_causal_mask(config, ...), with config.sliding_window = {window_width}"},
        {"padding", "{mask} of the tokenizer: 1 for a token, 0 for padding; {scores} = {scores} + {mask}"},
        {"softmax", "{weights} = nn.functional.softmax({scores}, dim=-1)"}, {"dropped", "{weights} = nn.functional.dropout({weights}, p=self.attention_dropout, training=self.training)"},
        {"average", "{context} = torch.matmul({weights}, {v})"}, {"repeat", "{k} = repeat_kv({k}, self.num_key_value_groups)"},
        {"cached", "{k}, {v} = past_key_values.update({k}, {v}, self.layer_idx)"}, {"rope_scaling", "inv_freq, self.attention_scaling = self.rope_init_fn(self.config)"},
        {"rope_factor", "cos, sin = emb.cos() * self.attention_scaling, emb.sin() * self.attention_scaling"},
        {"sinks", "probs = F.softmax(torch.cat([{scores}, sinks], dim=-1), dim=-1), {weights} = probs[..., :-1]"}}},
    CodeSystem{"GPT-2", torch, {
        {"x", "hidden_states"}, {"memory", "encoder_hidden_states"}, {"q", "query"}, {"k", "key"}, {"v", "value"}, {"scores", "attn_weights"}, {"weights", "attn_weights"}, {"context", "attn_output"},
        {"output", "attn_output"}, {"mask", "attention_mask"}, {"heads", "self.num_heads"}, {"kv_heads", "self.num_heads"}, {"dim", "self.head_dim"}, {"scale", "self.head_dim**-0.5"},
        {"W_q", "self.q_attn"}, {"W_k", "self.c_attn"}, {"W_v", "self.c_attn"}, {"W_qkv", "self.c_attn"}, {"W_o", "self.c_proj"}, {"gain", "self.weight"},
        {"unpack", "{q}, {k}, {v} = {W_qkv}({x}).split(self.split_size, dim=2)"}, {"scaled", "{product} / ({dim} ** 0.5)"}, {"product", "{scores} = torch.matmul({q}, {k}.transpose(-1, -2))"}, {"scale_set", "{scaled}"},
        {"masked", "{scores} = {scores} + {mask}"}, {"causal", "{mask} = torch.triu(torch.full((queries, keys), torch.finfo(dtype).min), diagonal={diagonal})"},
        {"padding", "{mask} of the tokenizer: 1 for a token, 0 for padding; {scores} = {scores} + {mask}"}, {"softmax", "{weights} = nn.functional.softmax({scores}, dim=-1)"}, {"dropped", "{weights} = self.attn_dropout({weights})"}}},
    CodeSystem{"nanoGPT", torch, {
        {"x", "x"}, {"memory", "memory"}, {"q", "q"}, {"k", "k"}, {"v", "v"}, {"scores", "att"}, {"weights", "att"}, {"context", "y"}, {"output", "y"}, {"mask", "mask"},
        {"heads", "self.n_head"}, {"kv_heads", "self.n_head"}, {"dim", "C // self.n_head"}, {"scale", "1.0 / math.sqrt(k.size(-1))"}, {"W_q", "self.c_attn"}, {"W_k", "self.c_attn"}, {"W_v", "self.c_attn"},
        {"W_qkv", "self.c_attn"}, {"W_o", "self.c_proj"}, {"gain", "self.weight"},
        {"unpack", "{q}, {k}, {v} = {W_qkv}({x}).split(self.n_embd, dim=2)"}, {"scaled", "{scores} = ({q} @ {k}.transpose(-2, -1)) * ({scale})"}, {"scale_set", "{scaled}"},
        {"masked", R"({scores} = {scores}.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf")))"}, {"causal", "self.bias = torch.tril(torch.ones(block_size, block_size)).view(1, 1, block_size, block_size)"}, {"softmax", "{weights} = F.softmax({scores}, dim=-1)"},
        {"dropped", "{weights} = self.attn_dropout({weights})"}, {"merged", "{context} = {context}.transpose(1, 2).contiguous().view(B, T, C)"}}},
    CodeSystem{"nn.MultiheadAttention", torch, {
        {"x", "query"}, {"memory", "key"}, {"q", "q"}, {"k", "k"}, {"v", "v"}, {"scores", "attn"}, {"weights", "attn"}, {"context", "attn_output"}, {"output", "attn_output"}, {"mask", "attn_mask"},
        {"heads", "num_heads"}, {"kv_heads", "num_heads"}, {"dim", "head_dim"}, {"scale", "head_dim**-0.5"}, {"W_q", "q_proj_weight"}, {"W_k", "k_proj_weight"}, {"W_v", "v_proj_weight"},
        {"W_qkv", "in_proj_weight"}, {"W_o", "self.out_proj"}, {"gain", "weight"},
        {"query", "{q} = F.linear(query, {W_q}, b_q){split_q}"}, {"key", "{k} = F.linear(key, {W_k}, b_k){split_k}"}, {"value", "{v} = F.linear(value, {W_v}, b_v){split_k}"},
        {"key_of_other", "nn.MultiheadAttention.forward(query, key, value): key from the encoder"}, {"value_of_other", "nn.MultiheadAttention.forward(query, key, value): value from the encoder"},
        {"unpack", "{q}, {k}, {v} = F.linear({x}, {W_qkv}, in_proj_bias).chunk(3, dim=-1)"}, {"unpack_heads", "{unpack}"}, {"scale_set", "{scaled}"},
        {"masked", "attention(query, key, value, attn_mask={mask}, key_padding_mask=key_padding_mask): True hides"},
        {"causal", "{mask} = torch.triu(torch.ones(queries, keys, dtype=torch.bool), diagonal={diagonal})"},
        {"padding", "attention(query, key, value, key_padding_mask=torch.arange(keys) >= lengths[:, None]): True hides"},
        {"mask_of_items", "attn_mask={mask}.repeat_interleave({heads}, dim=0): [batch * num_heads, queries, keys]"}, {"batch", "nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)"}}},
    CodeSystem{"flash-attention", torch, {
        {"x", "hidden_states"}, {"memory", "x_kv"}, {"q", "q"}, {"k", "k"}, {"v", "v"}, {"scores", "scores"}, {"weights", "attention"}, {"context", "context"}, {"output", "out"}, {"mask", "key_padding_mask"},
        {"heads", "num_heads"}, {"kv_heads", "num_heads_kv"}, {"dim", "head_dim"}, {"scale", "softmax_scale"}, {"W_q", "self.Wq"}, {"W_k", "self.Wkv"}, {"W_v", "self.Wkv"}, {"W_qkv", "self.Wqkv"},
        {"W_o", "self.out_proj"}, {"gain", "weight"},
        {"unpack", "{q}, {k}, {v} = {W_qkv}({x}).view(batch, tokens, 3, {heads}, {dim}).unbind(2)"}, {"scaled", "flash_attn_func({q}, {k}, {v}, softmax_scale={scale})"},
        {"scale_set", "flash_attn_func({q}, {k}, {v}, softmax_scale={scale_is})"}, {"capped", "flash_attn_func({q}, {k}, {v}, softcap=softcap)"}, {"alibi", "flash_attn_func({q}, {k}, {v}, alibi_slopes=slopes)"},
        {"causal", "flash_attn_func({q}, {k}, {v}, causal=True)"}, {"window", "flash_attn_func({q}, {k}, {v}, causal=True, window_size=({left}, 0))"},
        {"padding", "flash_attn_varlen_func({q}, {k}, {v}, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k)"},
        {"merged", "{context} = {context}.reshape(batch, tokens, -1), from [batch, token, head, dim]"}}},
    CodeSystem{"timm", torch, {
        {"x", "x"}, {"memory", "context"}, {"q", "q"}, {"k", "k"}, {"v", "v"}, {"scores", "attn"}, {"weights", "attn"}, {"context", "x"}, {"output", "x"}, {"mask", "attn_mask"}, {"heads", "self.num_heads"},
        {"kv_heads", "self.num_heads"}, {"dim", "self.head_dim"}, {"scale", "self.scale"}, {"W_q", "self.q"}, {"W_k", "self.k"}, {"W_v", "self.v"}, {"W_qkv", "self.qkv"}, {"W_o", "self.proj"}, {"gain", "self.weight"},
        {"unpack", "{q}, {k}, {v} = {W_qkv}({x}).reshape(batch, tokens, 3, {heads}, {dim}).permute(2, 0, 3, 1, 4).unbind(0)"}, {"scaled", "{scores} = ({q} * {scale}) @ {k}.transpose(-2, -1)"},
        {"softmax", "{weights} = {scores}.softmax(dim=-1)"}, {"dropped", "{weights} = self.attn_drop({weights})"}}},
    CodeSystem{"TransformerLens", torch, {
        {"x", "resid"}, {"memory", "key_input"}, {"q", "q"}, {"k", "k"}, {"v", "v"}, {"scores", "attn_scores"}, {"weights", "pattern"}, {"context", "z"}, {"output", "attn_out"}, {"mask", "causal_mask"},
        {"heads", "cfg.n_heads"}, {"kv_heads", "cfg.n_key_value_heads"}, {"dim", "cfg.d_head"}, {"scale", "self.attn_scale"}, {"W_q", "W_Q"}, {"W_k", "W_K"}, {"W_v", "W_V"}, {"W_qkv", "W_Q"}, {"W_o", "W_O"}, {"gain", "self.w"},
        {"query", R"({q} = einsum("btd,hde->bthe", {x}, {W_q}) + b_Q)"}, {"key", R"({k} = einsum("btd,hde->bthe", {x}, {W_k}) + b_K)"}, {"value", R"({v} = einsum("btd,hde->bthe", {x}, {W_v}) + b_V)"},
        {"key_of_other", R"({k} = einsum("btd,hde->bthe", {memory}, {W_k}) + b_K)"}, {"value_of_other", R"({v} = einsum("btd,hde->bthe", value_input, {W_v}) + b_V)"},
        {"product", R"({scores} = einsum("bqhe,bkhe->bhqk", {q}, {k}))"}, {"scaled", "{product} / {scale}"}, {"scale_set", "{scale} = math.sqrt({dim})"}, {"capped", "{scores} = attn_scores_soft_cap * F.tanh({scores} / attn_scores_soft_cap)"},
        {"masked", "{scores} = torch.where({mask}, {scores}, -torch.inf)"}, {"causal", "{mask} = torch.tril(torch.ones(n_ctx, n_ctx, dtype=torch.bool))"},
        {"window", "{mask} = torch.triu(torch.tril(torch.ones(n_ctx, n_ctx, dtype=torch.bool)), 1 - window_size), with window_size = {window_width}"}, {"padding", "{mask} & attention_mask[:, None, None, :], 1 for a token, 0 for padding"},
        {"softmax", "{weights} = F.softmax({scores}, dim=-1)"}, {"average", R"({context} = einsum("bhqk,bkhe->bqhe", {weights}, {v}))"},
        {"merged", R"({output} = einsum("bqhe,hed->bqd", {context}, {W_o}) + b_O)"}, {"project_out", "{merged}"}, {"angles", "self.rotary_sin, self.rotary_cos = calculate_sin_cos_rotary(rotary_dim, n_ctx, base=cfg.rotary_base)"},
        {"rotate", "{q}, {k} = apply_rotary({q}, past_kv_pos_offset), apply_rotary({k})"}}},
    CodeSystem{"ONNX", onnx, {
        {"x", "X"}, {"memory", "encoder_hidden_states"}, {"q", "Q"}, {"k", "K"}, {"v", "V"}, {"scores", "qk_matmul_output"}, {"weights", "QKSoftmax"}, {"context", "Y"}, {"output", "output"}, {"mask", "attn_mask"},
        {"heads", "q_num_heads"}, {"kv_heads", "kv_num_heads"}, {"dim", "head_size"}, {"scale", "scale"}, {"W_q", "W_q"}, {"W_k", "W_k"}, {"W_v", "W_v"}, {"W_qkv", "W_qkv"}, {"W_o", "W_o"}, {"b_o", "b_o"}, {"gain", "scale"}}},
    CodeSystem{"llama.cpp", ggml, {
        {"x", "cur"}, {"memory", "embd_enc"}, {"q", "Qcur"}, {"k", "Kcur"}, {"v", "Vcur"}, {"scores", "kq"}, {"weights", "kq"}, {"context", "kqv"}, {"output", "cur"}, {"mask", "kq_mask"},
        {"heads", "n_head"}, {"kv_heads", "n_head_kv"}, {"dim", "n_embd_head"}, {"scale", "kq_scale"}, {"W_q", "layer.wq"}, {"W_k", "layer.wk"}, {"W_v", "layer.wv"}, {"W_qkv", "layer.wqkv"}, {"W_o", "layer.wo"}, {"gain", "weight"}}},
    CodeSystem{"Flax", arrays, {
        {"np", "jnp"}, {"nn", "jax.nn"}, {"x", "inputs_q"}, {"memory", "inputs_kv"}, {"q", "query"}, {"k", "key"}, {"v", "value"}, {"scores", "attn_weights"}, {"weights", "attn_weights"}, {"context", "x"}, {"output", "out"},
        {"mask", "mask"}, {"heads", "num_heads"}, {"kv_heads", "num_key_value_heads"}, {"dim", "head_dim"}, {"scale", "head_dim**-0.5"}, {"W_q", "query_kernel"}, {"W_k", "key_kernel"}, {"W_v", "value_kernel"},
        {"W_qkv", "qkv_kernel"}, {"W_o", "out_kernel"}, {"b_q", "query_bias"}, {"b_k", "key_bias"}, {"b_v", "value_bias"}, {"b_o", "out_bias"}, {"gain", "scale"}, {"scale_set", "{scaled}"},
        {"masked", "{scores} = jnp.where({mask}, {scores}, jnp.finfo({scores}.dtype).min)"}, {"causal", "{mask} = nn.make_causal_mask(tokens): True keeps"},
        {"window", "{mask} = (j <= i) & (i - j <= {left}): True keeps"}, {"padding", "{mask} = jnp.arange(keys) < lengths[:, None, None, None]: True keeps"}}},
    CodeSystem{"Keras", arrays, {
        {"np", "ops"}, {"nn", "ops"}, {"x", "query"}, {"memory", "value"}, {"q", "query"}, {"k", "key"}, {"v", "value"}, {"scores", "attention_scores"}, {"weights", "attention_scores"}, {"context", "attention_output"},
        {"output", "attention_output"}, {"mask", "attention_mask"}, {"heads", "num_heads"}, {"kv_heads", "num_key_value_heads"}, {"dim", "key_dim"}, {"scale", "key_dim**-0.5"}, {"W_q", "query_kernel"}, {"W_k", "key_kernel"},
        {"W_v", "value_kernel"}, {"W_qkv", "qkv_kernel"}, {"W_o", "attention_output_kernel"}, {"b_q", "query_bias"}, {"b_k", "key_bias"}, {"b_v", "value_bias"}, {"b_o", "attention_output_bias"}, {"gain", "scale"}, {"scale_set", "{scaled}"},
        {"masked", "{weights} = ops.softmax({scores}, mask={mask}): 1 keeps"}, {"causal", "MultiHeadAttention(num_heads, key_dim)(query, value, use_causal_mask=True)"},
        {"window", "{mask} = (j <= i) & (i - j <= {left}): 1 keeps"}, {"padding", "{mask} = ops.arange(keys) < lengths[:, None, None]: 1 keeps"}}},
};
// clang-format on

}  // namespace

std::span<const CodeSystem> all_code_systems() { return systems; }

std::span<const std::string_view> names_of_code() { return own_names; }

const CodeSystem& code_system(std::string_view name) {
    for (const CodeSystem& s : systems)
        if (s.name == name) return s;
    throw Error(Exit::defect, {}, "the table of systems has no " + std::string(name));
}

}  // namespace attn
