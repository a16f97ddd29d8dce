#include "lib/synonyms.hpp"

#include <algorithm>
#include <array>

namespace attn {
namespace {

constexpr std::array synonyms{
    // Keys of a document.
    Synonym{"inputs", "embeddings", {}},
    Synonym{"input", "embeddings", {}},
    Synonym{"x", "embeddings", {}},
    Synonym{"vectors", "embeddings", {}},
    Synonym{"hiddenstates", "embeddings", {}},
    Synonym{"inputsembeds", "embeddings", {}},
    Synonym{"embeds", "embeddings", {}},
    Synonym{"sentence", "tokens", R"("tokens": ["Your", "journey", ...])"},
    Synonym{"words", "tokens", {}},
    Synonym{"text", "tokens", R"("tokens": ["Your", "journey", ...])"},
    Synonym{"labels", "tokens", {}},
    Synonym{"q", "queries", {}},
    Synonym{"query", "queries", {}},
    Synonym{"k", "keys", {}},
    Synonym{"key", "keys", {}},
    Synonym{"v", "values", {}},
    Synonym{"value", "values", {}},
    Synonym{"memory", "key_embeddings", {}},
    Synonym{"context", "key_embeddings", {}},
    Synonym{"encoderhiddenstates", "key_embeddings", {}},
    Synonym{"pastkeyvalues", "past_keys", R"("past_keys" and "past_values")"},
    Synonym{"kvcache", "past_keys", R"("past_keys" and "past_values")"},
    Synonym{"heads", "num_heads", {}},
    Synonym{"nhead", "num_heads", {}},
    Synonym{"nheads", "num_heads", {}},
    Synonym{"numattentionheads", "num_heads", {}},
    Synonym{"numkeyvalueheads", "num_kv_heads", {}},
    Synonym{"nkvheads", "num_kv_heads", {}},
    Synonym{"kvheads", "num_kv_heads", {}},
    Synonym{"nkvhead", "num_kv_heads", {}},
    Synonym{"ropetheta", "rope", R"("rope": {"base": 10000})"},
    Synonym{"theta", "rope", R"("rope": {"base": 10000})"},
    Synonym{"rotary", "rope", R"("rope": {"base": 10000})"},
    Synonym{"ropescaling", "rope", R"("rope": {"scaling": {"type": ...}})"},
    Synonym{"ropeparameters", "rope", R"("rope": {"base": ..., "scaling": {"type": ...}})"},
    Synonym{"positionids", "rope", R"("rope": {"positions": [0, 1, ...]})"},
    Synonym{"positions", "rope", R"("rope": {"positions": [0, 1, ...]})"},
    Synonym{"attentionmask", "mask", R"("mask": {"keep": ...}, or "key_lengths" for padding)"},
    Synonym{"attnmask", "mask", R"("mask": {"keep": ...}, {"drop": ...} or {"add": ...})"},
    Synonym{"keypaddingmask", "mask", R"("mask": {"drop": ...}, or "key_lengths")"},
    Synonym{"padding", "key_lengths", {}},
    Synonym{"lengths", "key_lengths", {}},
    Synonym{"iscausal", "causal", {}},
    Synonym{"slidingwindow", "window", R"("window": {"left": n}, n tokens before its own)"},
    Synonym{"attentionchunksize", "chunk", {}},
    Synonym{"chunksize", "chunk", {}},
    Synonym{"prefix", "prefix_keys", {}},
    Synonym{"prefixlength", "prefix_keys", {}},
    Synonym{"tokentypeids", "token_blocks", R"("token_blocks": [[from, to], ...])"},
    Synonym{"relativeattentionbias", "position_bias", R"("position_bias": {"buckets": ...})"},
    Synonym{"temperature", "scale", R"("scale", a factor: 1 / temperature)"},
    Synonym{"softmaxscale", "scale", {}},
    Synonym{"scaling", "scale", {}},
    Synonym{"attnlogitsoftcapping", "softcap", {}},
    Synonym{"logitcap", "softcap", {}},
    Synonym{"dropoutp", "dropout", R"("dropout": {"p": 0.5, "seed": 123})"},
    Synonym{"attentiondropout", "dropout", R"("dropout": {"p": 0.5, "seed": 123})"},
    Synonym{"attnbias", "position_bias", {}},
    Synonym{"qknorm", "qk_norm", {}},
    Synonym{"vnorm", "value_norm", {}},
    Synonym{"attnsubnorm", "concat_norm", {}},
    Synonym{"inputlayernorm", "embeddings_norm", {}},
    Synonym{"inputnorm", "embeddings_norm", {}},
    Synonym{"innerattnln", "concat_norm", {}},
    Synonym{"linearnumvalueheads", "num_value_heads", {}},
    Synonym{"numvheads", "num_value_heads", {}},
    Synonym{"clipqkv", "clip_qkv", {}},
    Synonym{"attntemperaturetuning", "query_scale",
            R"("query_scale": {"beta": ..., "every": ..., "shift": 1})"},
    Synonym{"precision", "dtype", {}},
    Synonym{"params", "weights", {}},
    Synonym{"statedict", "weights", {}},
    Synonym{"dout", "weights", R"("weights": {"init": "torch.nn.Linear", "seed": 123, "d_out": 2})"},
    Synonym{"randomseed", "manual_seed", {}},
    Synonym{"torchmanualseed", "manual_seed", {}},
    Synonym{"seed", "weights", R"("weights": {"init": "torch.nn.Linear", "seed": 123, "d_out": 2})"},
    Synonym{"type", "variant", {}},
    Synonym{"mechanism", "variant", {}},
    // Variants.
    Synonym{"mha", "multi_head", {}},
    Synonym{"gqa", "grouped_query", {}},
    Synonym{"mqa", "multi_query", {}},
    Synonym{"mla", "latent", {}},
    Synonym{"sdpa", "scaled_dot_product", {}},
    Synonym{"swa", "sliding_window", {}},
    Synonym{"bahdanau", "additive", {}},
    Synonym{"luong", "multiplicative", {}},
    Synonym{"general", "multiplicative", {}},
    Synonym{"dot", "simplified", {}},
    Synonym{"causal", "causal_attention", {}},
    Synonym{"masked", "causal_attention", {}},
    Synonym{"self", "self_attention", {}},
    Synonym{"cross", "cross_attention", {}},
    Synonym{"linearattention", "linear", {}},
    Synonym{"deltanet", "delta", {}},
    Synonym{"gateddelta", "delta", {}},
    // Types of numbers.
    Synonym{"fp32", "float32", {}},
    Synonym{"f32", "float32", {}},
    Synonym{"float", "float32", {}},
    Synonym{"single", "float32", {}},
    Synonym{"torch.float32", "float32", {}},
    Synonym{"fp64", "float64", {}},
    Synonym{"f64", "float64", {}},
    Synonym{"double", "float64", {}},
    Synonym{"torch.float64", "float64", {}},
    Synonym{"fp16", "float16", {}},
    Synonym{"half", "float16", {}},
    Synonym{"torch.float16", "float16", {}},
    Synonym{"bf16", "bfloat16", {}},
    Synonym{"torch.bfloat16", "bfloat16", {}},
    // Weights of two axes; those of three are called W_Q. Where both may stand, the first name that fits.
    Synonym{"wq", "W_query", {}},
    Synonym{"wk", "W_key", {}},
    Synonym{"wv", "W_value", {}},
    Synonym{"wo", "W_out", {}},
};

}  // namespace

std::span<const Synonym> all_synonyms() { return synonyms; }

const Synonym* synonym_of(std::string_view word, std::span<const std::string_view> names) {
    std::string bare;
    for (const char c : word)
        if (c != ' ' && c != '-' && c != '_')
            bare += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    for (const Synonym& s : synonyms)
        if (s.word == bare && std::find(names.begin(), names.end(), s.name) != names.end()) return &s;
    return nullptr;
}

}  // namespace attn
