// Places in the code of attention, as each language writes them.
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error.hpp"
#include "lib/mistakes/code/code_words.hpp"
#include "lib/shape.hpp"

namespace attn {
namespace {

// clang-format off
constexpr std::array places{
    CodePlace{"query", {"{q} = {W_q}({x}){split_q}", R"({q} = {np}.einsum("btd,dhk->bthk", {x}, {W_q}) + {b_q})",
        "{q} = Transpose(Reshape(MatMul({x}, {W_q}), [0, 0, {heads}, {dim}]), perm=[0, 2, 1, 3])", "{q} = ggml_reshape_3d(ctx0, ggml_mul_mat(ctx0, {W_q}, {x}), {dim}, {heads}, n_tokens)"}},
    CodePlace{"key", {"{k} = {W_k}({x}){split_k}", R"({k} = {np}.einsum("btd,dhk->bthk", {x}, {W_k}) + {b_k})",
        "{k} = Transpose(Reshape(MatMul({x}, {W_k}), [0, 0, {kv_heads}, {dim}]), perm=[0, 2, 1, 3])", "{k} = ggml_reshape_3d(ctx0, ggml_mul_mat(ctx0, {W_k}, {x}), {dim}, {kv_heads}, n_tokens)"}},
    CodePlace{"value", {"{v} = {W_v}({x}){split_k}", R"({v} = {np}.einsum("btd,dhk->bthk", {x}, {W_v}) + {b_v})",
        "{v} = Transpose(Reshape(MatMul({x}, {W_v}), [0, 0, {kv_heads}, {dim}]), perm=[0, 2, 1, 3])", "{v} = ggml_reshape_3d(ctx0, ggml_mul_mat(ctx0, {W_v}, {x}), {dim}, {kv_heads}, n_tokens)"}},
    CodePlace{"key_of_other", {"{k} = {W_k}({memory}){split_k}", R"({k} = {np}.einsum("btd,dhk->bthk", {memory}, {W_k}) + {b_k})",
        "{k} = Transpose(Reshape(MatMul({memory}, {W_k}), [0, 0, {kv_heads}, {dim}]), perm=[0, 2, 1, 3])", "{k} = ggml_mul_mat(ctx0, {W_k}, {memory})"}},
    CodePlace{"value_of_other", {"{v} = {W_v}({memory}){split_k}", R"({v} = {np}.einsum("btd,dhk->bthk", {memory}, {W_v}) + {b_v})",
        "{v} = Transpose(Reshape(MatMul({memory}, {W_v}), [0, 0, {kv_heads}, {dim}]), perm=[0, 2, 1, 3])", "{v} = ggml_mul_mat(ctx0, {W_v}, {memory})"}},
    CodePlace{"unpack", {"{q}, {k}, {v} = {W_qkv}({x}).split([{heads} * {dim}, {kv_heads} * {dim}, {kv_heads} * {dim}], dim=-1)",
        "{q}, {k}, {v} = {np}.split({x} @ {W_qkv}, [{heads} * {dim}, ({heads} + {kv_heads}) * {dim}], axis=-1)",
        "{q}, {k}, {v} = Split(MatMul({x}, {W_qkv}), axis=-1)", "{q} = ggml_view_3d(ctx0, qkv, {dim}, {heads}, n_tokens, n_embd_head * sizeof(float), qkv->nb[1], 0)"}},
    CodePlace{"unpack_heads", {"{q}, {k}, {v} = {W_qkv}({x}).view(batch, tokens, {heads}, 3 * {dim}).transpose(1, 2).chunk(3, dim=-1)",
        "{q}, {k}, {v} = {np}.split(({x} @ {W_qkv}).reshape(batch, tokens, {heads}, 3 * {dim}), 3, axis=-1)",
        "{q}, {k}, {v} = Split(Reshape(MatMul({x}, {W_qkv}), [0, 0, {heads}, 3 * {dim}]), axis=-1)", "{q} = ggml_view_3d(ctx0, qkv, {dim}, {heads}, n_tokens, 3 * n_embd_head * sizeof(float), qkv->nb[1], 0)"}},
    CodePlace{"split", {".view(batch, tokens, {heads}, {dim}).transpose(1, 2)", "", "", ""}},
    CodePlace{"split_kv", {".view(batch, tokens, {kv_heads}, {dim}).transpose(1, 2)", "", "", ""}},
    CodePlace{"layers", {"{W_q} = nn.Linear(d_in, d_out), then {W_k}, then {W_v}", "", "", ""}},
    CodePlace{"normed", {"{q}, {k} = self.q_norm({q}), self.k_norm({k})", "{q}, {k} = query_norm({q}), key_norm({k})",
        "{q}, {k} = RMSNormalization({q}, q_norm), RMSNormalization({k}, k_norm)", "{q} = build_norm({q}, attn_q_norm, NULL, LLM_NORM_RMS, il)"}},
    CodePlace{"norm_body", {"x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * {gain}", "x / {np}.sqrt({np}.mean(x**2, axis=-1, keepdims=True) + eps) * {gain}",
        "RMSNormalization(x, {gain}, axis=-1)", "ggml_mul(ctx0, ggml_rms_norm(ctx0, x, eps), {gain})"}},
    CodePlace{"normed_value", {"{v} = self.v_norm({v})", "{v} = value_norm({v})", "{v} = RMSNormalization({v}, v_norm)", "{v} = ggml_rms_norm(ctx0, {v}, eps)"}},
    CodePlace{"positions", {"position_ids = torch.arange(cached, cached + tokens)", "positions = {np}.arange(cached, cached + tokens)",
        "position_ids = Range(cached, cached + tokens, 1)", "inp_pos = build_inp_pos()"}},
    CodePlace{"frequencies", {"inv_freq = 1.0 / (rope_theta ** (torch.arange(0, rotary_dim, 2) / rotary_dim))", "inv_freq = 1.0 / (rope_theta ** ({np}.arange(0, rotary_dim, 2) / rotary_dim))",
        "cos_cache = Cos(position * rope_theta^(-2n / rotary_dim))", "{rope_ext}"}},
    CodePlace{"rope_scaling", {"inv_freq, attention_scaling = rope_init_fn(config)", "inv_freq = scaled(inv_freq, config.rope_scaling)",
        "cos_cache, sin_cache of RotaryEmbedding: made with the scaling of the model's configuration", "{rope_ext}"}},
    CodePlace{"rope_factor", {"cos, sin = emb.cos() * attention_scaling, emb.sin() * attention_scaling", "cos, sin = {np}.cos(angles) * attention_scaling, {np}.sin(angles) * attention_scaling",
        "cos_cache, sin_cache of RotaryEmbedding: times the scaling's own factor", "{rope_ext}"}},
    CodePlace{"angles", {"freqs = torch.outer(position_ids, inv_freq)", R"(angles = {np}.einsum("t,f->tf", positions, inv_freq))",
        "RotaryEmbedding({q}, cos_cache, sin_cache, position_ids)", "{rope_ext}"}},
    CodePlace{"rope_table", {"emb = {table}", "angles = {table}", "{rope_node}", "{rope_type}"}},
    CodePlace{"table_half", {"torch.cat((freqs, freqs), dim=-1)", "{np}.concatenate((angles, angles), axis=-1)", "0", "GGML_ROPE_TYPE_NEOX"}},
    CodePlace{"table_pairs", {"freqs.repeat_interleave(2, dim=-1)", "{np}.repeat(angles, 2, axis=-1)", "1", "GGML_ROPE_TYPE_NORMAL"}},
    CodePlace{"turn_half", {"{q} * cos + rotate_half({q}) * sin", "{q} * cos + rotate_half({q}) * sin", "{rope_node}", "{rope_type}"}},
    CodePlace{"turn_pairs", {"{q} * cos + rotate_every_two({q}) * sin", "{q} * cos + rotate_every_two({q}) * sin", "{rope_node}", "{rope_type}"}},
    CodePlace{"rope_node", {"", "", "RotaryEmbedding({q}, cos_cache, sin_cache, interleaved={table})", ""}},
    CodePlace{"rope_type", {"", "", "", "rope_type = {table} of {rope_ext}"}},
    CodePlace{"rope_ext", {"", "", "", "{q} = ggml_rope_ext(ctx0, {q}, inp_pos, rope_factors, n_rot, rope_type, n_ctx_orig, freq_base, freq_scale, ext_factor, attn_factor, beta_fast, beta_slow)"}},
    CodePlace{"rotate", {"{q}, {k} = apply_rotary_pos_emb({q}, {k}, cos, sin)", "{q}, {k} = rotate({q}, cos, sin), rotate({k}, cos, sin)",
        "{q}, {k} = RotaryEmbedding({q}, cos_cache, sin_cache), RotaryEmbedding({k}, cos_cache, sin_cache)", "{rope_ext}, and the same of {k}"}},
    CodePlace{"partial", {"{q}_rot, {q}_pass = {q}[..., :rotary_dim], {q}[..., rotary_dim:]", "{q}_rot, {q}_pass = {q}[..., :rotary_dim], {q}[..., rotary_dim:]",
        "RotaryEmbedding({q}, cos_cache, sin_cache, rotary_embedding_dim=rotary_dim)", "n_rot of {rope_ext}"}},
    CodePlace{"permuted", {"weight.view({kv_heads}, {dim} // 2, 2, -1).transpose(1, 2).reshape(weight.shape)", "weight.reshape({kv_heads}, {dim} // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)",
        "", "permute(weights, n_head, n_head_kv) of the converter"}},
    CodePlace{"tempered", {"{q} = {q} * (1 + beta * torch.log(1 + torch.floor((position_ids + 1) / every)))[:, None]", "{q} = {q} * (1 + beta * {np}.log(1 + {np}.floor((positions + 1) / every)))[:, None, None]",
        "{q} = Mul({q}, factors)", "{q} = ggml_mul(ctx0, {q}, inp_attn_scale)"}},
    CodePlace{"cached", {"{k} = torch.cat((past_key, {k}), dim=-2)", "{k} = {np}.concatenate((cached_key, {k}), axis=1)",
        "present_key = Concat(past_key, {k}, axis=2)", "ggml_build_forward_expand(gf, mctx_cur->cpy_k(ctx0, {k}, k_idxs, il))"}},
    CodePlace{"repeat", {"{k} = {repeated}", "{k} = {repeated}", "Attention({q}, {k}, {v}, q_num_heads={heads}, kv_num_heads={kv_heads})", "kq = ggml_mul_mat(ctx0, k, q): query head h reads head h / (n_head / n_head_kv)"}},
    CodePlace{"repeat_each", {"{k}.repeat_interleave({heads} // {kv_heads}, dim=1)", "{np}.repeat({k}, {heads} // {kv_heads}, axis=2)", "", ""}},
    CodePlace{"repeat_all", {"{k}.repeat(1, {heads} // {kv_heads}, 1, 1)", "{np}.tile({k}, (1, 1, {heads} // {kv_heads}, 1))", "", ""}},
    CodePlace{"product", {"{scores} = {q} @ {k}.transpose(-2, -1)", R"({scores} = {np}.einsum("bqhd,bkhd->bhqk", {q}, {k}))",
        "{scores} = MatMul({q}, Transpose({k}, perm=[0, 1, 3, 2]))", "{scores} = ggml_mul_mat(ctx0, k, q)"}},
    CodePlace{"scaled", {"{scores} = {q} @ {k}.transpose(-2, -1) * {scale}", R"({scores} = {np}.einsum("bqhd,bkhd->bhqk", {q} * {scale}, {k}))",
        "{scores} = MatMul(Mul({q}, Sqrt({scale})), Mul(Transpose({k}, perm=[0, 1, 3, 2]), Sqrt({scale})))", "{soft_max_ext}"}},
    CodePlace{"scale_set", {"{scale} = {scale_is}", "{scale} = {scale_is}", "Attention({q}, {k}, {v}, scale={scale_is})", "{scale} = {scale_is}"}},
    CodePlace{"capped", {"{scores} = softcap * torch.tanh({scores} / softcap)", "{scores} = softcap * {np}.tanh({scores} / softcap)",
        "Attention({q}, {k}, {v}, softcap=softcap)", "kq = ggml_scale(ctx0, ggml_tanh(ctx0, ggml_scale(ctx0, kq, kq_scale / softcap)), softcap), before the mask"}},
    CodePlace{"biased", {"{scores} = {scores} + position_bias", "{scores} = {scores} + position_bias", "{scores} = Add({scores}, position_bias)", "kq = ggml_add(ctx0, kq, kq_b)"}},
    CodePlace{"alibi", {"{scores} = {scores} - slopes[:, None, None] * (i - j)", "{scores} = {scores} - slopes[:, None, None] * (i - j)",
        "attn_mask = -slopes * (i - j)", "max_bias of {soft_max_ext}"}},
    CodePlace{"masked", {R"({scores} = {scores}.masked_fill({mask}, float("-inf")))", "{scores} = {np}.where({mask}, {np}.finfo({scores}.dtype).min, {scores})",
        "{scores} = Add({scores}, {mask})", "{mask} of {soft_max_ext}"}},
    CodePlace{"causal", {"{mask} = torch.triu(torch.ones(queries, keys, dtype=torch.bool), diagonal={diagonal})", "{mask} = {np}.triu({np}.ones((queries, keys), bool), {diagonal})",
        "Attention({q}, {k}, {v}, {mask}, is_causal=1)", "{mask} = -INFINITY where the key's position is above the query's"}},
    CodePlace{"window", {"{mask} = (j > i) | (i - j > {left}), i = cached + torch.arange(queries)[:, None]", "{mask} = (j > i) | (i - j > {left}), i = cached + {np}.arange(queries)[:, None]",
        "Attention({q}, {k}, {v}, {mask}, is_causal=1, left_window_size={left})", "{mask} = -INFINITY where p1 - p0 >= n_swa: n_swa is {left} + 1"}},
    CodePlace{"padding", {"{mask} = torch.arange(keys) >= lengths[:, None, None, None]", "{mask} = {np}.arange(keys) >= lengths[:, None, None, None]",
        "Attention({q}, {k}, {v}, nonpad_kv_seqlen=lengths)", "{mask} = -INFINITY where the cell is empty or of another sequence"}},
    CodePlace{"mask_of_items", {"{mask}.repeat_interleave({heads}, dim=0)", "{np}.repeat({mask}, {heads}, axis=0)", "", ""}},
    CodePlace{"softmax", {"{weights} = torch.softmax({scores}, dim=-1)", "{weights} = {nn}.softmax({scores}, axis=-1)", "{weights} = Softmax({scores}, axis=-1)", "{soft_max_ext}"}},
    CodePlace{"soft_max_ext", {"", "", "", "kq = ggml_soft_max_ext(ctx0, kq, {mask}, {scale}, max_bias)"}},
    CodePlace{"sinks", {"{weights} = torch.softmax(torch.cat([{scores}, sinks], dim=-1), dim=-1)[..., :-1]", "{weights} = {nn}.softmax({np}.concatenate([{scores}, sinks], axis=-1), axis=-1)[..., :-1]",
        "{weights} = Slice(Softmax(Concat({scores}, sinks, axis=-1), axis=-1), axes=[-1], ends=[-1])", "ggml_soft_max_add_sinks(kq, sinks)"}},
    CodePlace{"dropped", {"{weights} = F.dropout({weights}, p, training=self.training)", "{weights} = dropout({weights}, deterministic=not training)", "", ""}},
    CodePlace{"average", {"{context} = {weights} @ {v}", R"({context} = {np}.einsum("bhqk,bkhd->bqhd", {weights}, {v}))", "{context} = MatMul({weights}, {v})", "{context} = ggml_mul_mat(ctx0, v, kq)"}},
    CodePlace{"blocks", {"acc = acc * torch.exp(old_max - new_max) + torch.exp(scores_of_block - new_max) @ values_of_block", "acc = acc * {np}.exp(old_max - new_max) + {np}.exp(scores_of_block - new_max) @ values_of_block",
        "", "VKQ = VKQ * exp(M_old - M) + exp(kq - M) * v"}},
    CodePlace{"gated", {"{context} = {context} * torch.sigmoid(gate)", "{context} = {context} * {nn}.sigmoid(gate)", "{context} = Mul({context}, Sigmoid(gate))", "{context} = ggml_mul(ctx0, {context}, ggml_sigmoid(ctx0, gate))"}},
    CodePlace{"gate_split", {"{q}, gate = {W_q}({x}).view(batch, tokens, {heads}, 2 * {dim}).chunk(2, dim=-1)", "{q}, gate = {np}.split(({x} @ {W_q}).reshape(batch, tokens, {heads}, 2 * {dim}), 2, axis=-1)",
        "{q}, gate = Split(Reshape(MatMul({x}, {W_q}), [0, 0, {heads}, 2 * {dim}]), axis=-1)", "gate = ggml_view_3d(ctx0, qg, {dim}, {heads}, n_tokens, 2 * n_embd_head * sizeof(float), qg->nb[1], n_embd_head * sizeof(float))"}},
    CodePlace{"merged", {"{context} = {context}.transpose(1, 2).reshape(batch, tokens, -1)", "{context} = {context}.reshape(batch, tokens, {heads} * {dim})",
        "Reshape(Transpose({context}, perm=[0, 2, 1, 3]), [0, 0, -1])", "cur = ggml_cont_2d(ctx0, ggml_permute(ctx0, kqv, 0, 2, 1, 3), n_embd_head * n_head, n_tokens)"}},
    CodePlace{"project_out", {"{output} = {W_o}({context})", R"({output} = {np}.einsum("bthk,hkd->btd", {context}, {W_o}) + {b_o})", "{output} = Add(MatMul({context}, {W_o}), {b_o})", "{output} = ggml_mul_mat(ctx0, {W_o}, {context})"}},
    CodePlace{"batch", {"{x}.shape == (batch, tokens, width)", "{x}.shape == (batch, tokens, width)", "the shape of {x} is [batch, tokens, width]", ""}},
};
// clang-format on

std::string_view text_of(std::string_view name, const CodeSystem& system) {
    for (const CodeWord& w : system.words)
        if (w.name == name) return w.text;
    for (const CodePlace& p : places)
        if (p.name == name) return p.text[idx(system.language)];
    return {};
}

std::string filled(std::string_view text, const CodeSystem& system, const WordOfPlan& of_plan, int depth) {
    if (depth > 6) throw Error(Exit::defect, {}, "words of code go round in a circle");
    std::string out;
    while (true) {
        const std::size_t open = text.find('{');
        out += text.substr(0, open);
        if (open == std::string_view::npos) return out;
        const std::size_t close = text.find('}', open);
        if (close == std::string_view::npos) throw Error(Exit::defect, {}, "a word of code is not closed");
        const std::string_view name = text.substr(open + 1, close - open - 1);
        // An empty word of the plan is a word; of a table, a line that there is not.
        if (const auto said = of_plan(name)) {
            out += filled(*said, system, of_plan, depth + 1);
        } else {
            const std::string word = filled(text_of(name, system), system, of_plan, depth + 1);
            if (word.empty()) return {};
            out += word;
        }
        text.remove_prefix(close + 1);
    }
}

}  // namespace

std::span<const CodePlace> all_code_places() { return places; }

std::string filled(std::string_view text, const CodeSystem& system, const WordOfPlan& of_plan) {
    return filled(text, system, of_plan, 0);
}

std::vector<std::string_view> words_in(std::string_view text) {
    std::vector<std::string_view> out;
    for (std::size_t open = text.find('{'); open != std::string_view::npos; open = text.find('{', open)) {
        const std::size_t close = std::min(text.find('}', open), text.size());
        out.push_back(text.substr(open + 1, close - open - 1));
        open = close;
    }
    return out;
}

}  // namespace attn
