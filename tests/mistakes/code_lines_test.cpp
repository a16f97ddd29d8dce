// The line of code to look at: whose code it is, and that each mistake has one there in words that it knows.
#include "lib/mistakes/code/code_lines.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/input/weight_names.hpp"
#include "lib/mistakes/mistakes.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

const std::string four = "[[1, 2, 0, 1], [0, 1, 3, 0], [2, 0, 1, 1], [1, 1, 0, 2]]";

/// Two tokens of width 4 in two heads, with these weights.
std::string with_weights(const std::string& weights, const std::string& more = "") {
    return R"({"embeddings": [[1, 0, 2, 1], [0, 1, 1, 2]], "num_heads": 2, "weights": {)" + weights + "}" +
           more + "}";
}
std::string three(const std::string& q, const std::string& k, const std::string& v,
                  const std::string& more = "") {
    const auto member = [](const std::string& n) { return "\"" + n + "\": " + four; };
    return with_weights(member(q) + ", " + member(k) + ", " + member(v), more);
}
/// [12, 4], or [4, 12].
std::string packed(const std::string& name, bool out_in, const std::string& more = "") {
    std::string rows;
    for (int i = 0; i < (out_in ? 12 : 4); ++i) {
        rows += i ? ", [" : "[";
        for (int j = 0; j < (out_in ? 4 : 12); ++j)
            rows += (j ? ", " : "") + std::to_string((3 * i + 7 * j) % 5);
        rows += "]";
    }
    return with_weights("\"" + name + "\": [" + rows + "]", more);
}
std::string of_lens() {
    const std::string w = "[[[1, 0], [0, 1], [1, 1], [2, 0]], [[0, 1], [1, 0], [2, 1], [0, 2]]]";
    return with_weights("\"W_Q\": " + w + ", \"W_K\": " + w + ", \"W_V\": " + w);
}
const std::string plain = three("W_query", "W_key", "W_value");

std::string system_for(const Plan& plan, NameMap map = NameMap::own, const std::string& name = "output") {
    GivenArray array;
    array.name = name;
    Layer theirs;
    theirs.arrays.push_back({&array, Stage::output, Layout::unknown});
    const CodeSystem* system = code_system_of(map, theirs, plan);
    return system ? std::string(system->name) : "";
}
std::string line_for(const std::string& document, std::string_view id, std::string_view system) {
    return code_line(id, code_system(system), plan_of(document));
}

/// An id, and those that it stands for.
std::vector<std::string> ids_of(const MistakeRow& row) {
    std::vector<std::string> out{std::string(row.id)};
    std::string names(row.names);
    for (std::size_t end = 0; !names.empty(); names.erase(0, end + 2)) {
        end = std::min(names.find(", "), names.size());
        out.push_back(names.substr(0, end));
        if (end == names.size()) break;
    }
    return out;
}

}  // namespace

TEST_CASE("lines: each known mistake has one, and no other has") {
    std::set<std::string> known;
    const CodeSystem& system = code_system("Transformers");
    const Plan plan = plan_of(plain);
    for (const MistakeRow& row : all_mistakes())
        for (const std::string& id : ids_of(row)) {
            CAPTURE(id);
            known.insert(id);
            const bool whole = row.names.empty() || id != row.id;
            if (whole && id != "no_mask:MASK" && row.id != "mask_other_item")
                CHECK(!code_line(id, system, plan).empty());
        }
    std::set<std::string> said;
    for (const CodeLine& line : all_code_lines()) {
        CAPTURE(line.id);
        const std::string id(line.id), row = id.substr(0, id.find(':'));
        CHECK(said.insert(id).second);
        CHECK((known.count(id) == 1 || (row == "no_mask" && known.count(row) == 1)));
    }
}

TEST_CASE("lines: every word of a line, a place or a system is known") {
    std::set<std::string_view> places, names(names_of_code().begin(), names_of_code().end()),
        of_plans(words_of_plans().begin(), words_of_plans().end());
    for (const CodePlace& p : all_code_places()) {
        CAPTURE(p.name);
        CHECK(places.insert(p.name).second);
        CHECK(names.count(p.name) == 0);
    }
    std::set<std::string_view> used{"made"};
    const auto check = [&](std::string_view text, const CodeSystem& system) {
        for (const std::string_view word : words_in(text)) {
            CAPTURE(text);
            CAPTURE(word);
            used.insert(word);
            const bool own = std::any_of(system.words.begin(), system.words.end(),
                                         [&](const CodeWord& w) { return w.name == word; });
            CHECK((own || places.count(word) || of_plans.count(word)));
        }
    };
    for (const CodeSystem& system : all_code_systems()) {
        CAPTURE(system.name);
        for (const std::string_view name : names)
            CHECK(std::count_if(system.words.begin(), system.words.end(),
                                [&](const CodeWord& w) { return w.name == name && !w.text.empty(); }) == 1);
        for (const CodeWord& w : system.words) check(w.text, system);
        for (const CodePlace& p : all_code_places()) check(p.text[idx(system.language)], system);
        for (const CodeLine& line : all_code_lines()) check(line.text, system);
    }
    // What nothing uses is a word that was mistyped, or left behind.
    for (const CodePlace& p : all_code_places()) {
        CAPTURE(p.name);
        CHECK((used.count(p.name) || p.name == "split" || p.name == "split_kv" || p.name.starts_with("t") ||
               p.name.starts_with("repeat_") || p.name.starts_with("unpack") || p.name == "query" ||
               p.name == "key" || p.name == "value" || p.name == "project_out"));
    }
    for (const CodeSystem& system : all_code_systems())
        for (const CodeWord& w : system.words) {
            CAPTURE(system.name);
            CAPTURE(w.name);
            CHECK((used.count(w.name) || places.count(w.name) || names.count(w.name)));
        }
}

TEST_CASE("lines: they come out whole in each system, whatever the document has") {
    const std::vector<std::string> documents{
        plain, packed("in_proj_weight", true), packed("query_key_value.weight", true),
        three("q_proj.weight", "k_proj.weight", "v_proj.weight",
              R"(, "causal": true, "window": {"left": 3}, "scale": 0.5, "rope": {"pairs": "interleaved"})")};
    for (const std::string& document : documents) {
        const Plan plan = plan_of(document);
        for (const CodeSystem& system : all_code_systems())
            for (const CodeLine& line : all_code_lines()) {
                CAPTURE(system.name);
                CAPTURE(line.id);
                const std::string text = code_line(line.id, system, plan);
                // A place that a language has not, and no other.
                const bool rare = line.id == "init_order" || line.id == "mask_other_item" ||
                                  line.id == "k_permuted" || line.id == "batch_for_tokens" ||
                                  line.id.starts_with("dropout") || line.id.starts_with("blocks") ||
                                  line.id == "rope_table_layout";
                CHECK((!text.empty() || (rare && system.language != CodeLanguage::torch)));
                CHECK(text.find_first_of("{}") == std::string::npos);
            }
    }
}

TEST_CASE("lines: whose code it is") {
    struct Case {
        std::string document, system;
    };
    for (const Case& c :
         {Case{plain, ""},
          {three("W_query.weight", "W_key.weight", "W_value.weight"), "the tutorial"},
          {three("q_proj.weight", "k_proj.weight", "v_proj.weight"), "Transformers"},
          {three("query.weight", "key.weight", "value.weight"), "Transformers"},
          {three("q.weight", "k.weight", "v.weight"), "Transformers"},
          {packed("query_key_value.weight", true), "Transformers"},
          {packed("qkv_proj.weight", true), "Transformers"},
          {packed("in_proj_qkv.weight", true), "Transformers"},
          {packed("Wqkv.weight", true), "flash-attention"},
          {packed("qkv.weight", true), "timm"},
          {packed("attn_qkv.weight", true), "llama.cpp"},
          {packed("c_attn.weight", false), "GPT-2"},
          {packed("c_attn.weight", true), "nanoGPT"},
          {packed("in_proj_weight", true), "nn.MultiheadAttention"},
          {three("q_proj_weight", "k_proj_weight", "v_proj_weight"), "nn.MultiheadAttention"},
          {of_lens(), "TransformerLens"},
          {with_weights(R"("init": "torch.nn.Linear", "seed": 1, "d_out": 4)"), "the tutorial"},
          {with_weights(R"("init": "torch.nn.MultiheadAttention", "seed": 1)"), "nn.MultiheadAttention"}}) {
        CAPTURE(c.document);
        CHECK(system_for(plan_of(c.document)) == c.system);
    }
    const Plan plan = plan_of(three("q_proj.weight", "k_proj.weight", "v_proj.weight"));
    for (const auto& [map, system] :
         std::vector<std::pair<NameMap, std::string>>{{NameMap::own, "Transformers"},
                                                      {NameMap::tutorial, "the tutorial"},
                                                      {NameMap::tlens, "TransformerLens"},
                                                      {NameMap::onnx, "ONNX"},
                                                      {NameMap::onnx_1_21, "ONNX"},
                                                      {NameMap::llama, "llama.cpp"}}) {
        const std::size_t number = idx(map);
        CAPTURE(number);
        CHECK(system_for(plan, map) == system);
        CHECK(number < map_names().size());
    }
    CHECK(map_names().size() == 8);
    // What theirs are called says more than what our weights are, and less than --map.
    CHECK(system_for(plan, NameMap::own, "transformer.h.3.attn.output") == "GPT-2");
    CHECK(system_for(plan, NameMap::own, "blocks.3.attn.hook_z") == "TransformerLens");
    CHECK(system_for(plan, NameMap::own, "kq_soft_max-3") == "llama.cpp");
    CHECK(system_for(plan, NameMap::tlens, "transformer.h.3.attn.output") == "TransformerLens");
    CHECK(system_for(plan_of(plain), NameMap::own, "model.layers.3.self_attn.weights") == "Transformers");
    // Names in a file.
    for (const auto& [from, system] : std::vector<std::pair<std::string, std::string>>{
             {"w.npz: encoder/attention/query/kernel", "Flax"},
             {"w.npz: mha/attention_output/kernel", "Keras"},
             {"w.npz: mha/query/kernel:0", "Keras"},
             {"m.safetensors: model.layers.0.self_attn.q_proj.weight", "Transformers"},
             {"m.gguf: blk.0.attn_q.weight", "llama.cpp"},
             {"some/kernels.npz: W_query", ""},
             {"", ""}}) {
        const std::string& said = from;
        CAPTURE(said);
        Plan read = plan_of(plain);
        read.tensors[read.projection(WeightRole::query).weight.front().tensor].file = from;
        CHECK(system_for(read) == system);
    }
}

TEST_CASE("lines: a name of weights that a code has leads to that code") {
    for (const WeightName& n : all_weight_names()) {
        if (n.bias || n.family != WeightFamily::linear || n.with_gate) continue;
        CAPTURE(n.name);
        const std::string name(n.name);
        if (n.role == WeightRole::packed) CHECK(!system_for(plan_of(packed(name, true))).empty());
    }
}

TEST_CASE("lines: as somebody reads them") {
    const std::string llama = three("q_proj.weight", "k_proj.weight", "v_proj.weight",
                                    R"(, "causal": true, "window": {"left": 3}, "rope": {})");
    const std::string bert = three("query.weight", "key.weight", "value.weight");
    struct Case {
        std::string document;
        std::string_view id, system, line;
    };
    for (const Case& c : {
             Case{llama, "no_scale", "Transformers",
                  "attn_weights = torch.matmul(query_states, key_states.transpose(2, 3)) * self.scaling"},
             {llama, "scale_d_model", "Transformers", "self.scaling = self.head_dim**-0.5"},
             {llama, "weight_transposed:v_proj.weight", "Transformers",
              "value_states = self.v_proj(hidden_states).view(batch, tokens, num_key_value_heads, "
              "self.head_dim).transpose(1, 2)"},
             {bert, "weight_of_other:key=value", "Transformers",
              "key_states = self.key(hidden_states).view(batch, tokens, num_key_value_heads, "
              "self.head_dim).transpose(1, 2)"},
             {llama, "window_off_by_one", "Transformers",
              "attention_mask = create_sliding_window_causal_mask(config, ...), with config.sliding_window = "
              "4"},
             {llama, "rope_sign", "Transformers", "query_states * cos + rotate_half(query_states) * sin"},
             {llama, "norm_after_rope", "Transformers",
              "query_states, key_states = self.q_norm(query_states), self.k_norm(key_states); query_states, "
              "key_states = apply_rotary_pos_emb(query_states, key_states, cos, sin)"},
             {llama, "rope_base", "llama.cpp",
              "Qcur = ggml_rope_ext(ctx0, Qcur, inp_pos, rope_factors, n_rot, rope_type, n_ctx_orig, "
              "freq_base, "
              "freq_scale, ext_factor, attn_factor, beta_fast, beta_slow)"},
             {llama, "mask_transposed", "Transformers",
              "attention_mask = torch.triu(torch.full((queries, keys), torch.finfo(dtype).min), diagonal=1)"},
             {three("q_proj.weight", "k_proj.weight", "v_proj.weight",
                    R"(, "causal": true, "mask": {"keep": [true, false]})"),
              "mask_transposed", "timm", "attn_mask = torch.arange(keys) >= lengths[:, None, None, None]"},
             {llama, "no_output_projection", "Transformers", "attn_output = self.o_proj(attn_output)"},
             {plain, "no_scale", "llama.cpp",
              "kq = ggml_soft_max_ext(ctx0, kq, kq_mask, kq_scale, max_bias)"},
             {plain, "no_scale", "nanoGPT",
              "att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))"},
             {plain, "no_scale", "Flax",
              R"(attn_weights = jnp.einsum("bqhd,bkhd->bhqk", query * head_dim**-0.5, key))"},
             {plain, "softmax_over_queries", "Keras",
              "attention_scores = ops.softmax(attention_scores, axis=-1)"},
             {plain, "scale_other", "ONNX", "Attention(Q, K, V, scale=head_size**-0.5)"},
             {packed("query_key_value.weight", true), "packed_split", "Transformers",
              "query_states, key_states, value_states = self.query_key_value(hidden_states).view(batch, "
              "tokens, "
              "num_attention_heads, 3 * self.head_dim).transpose(1, 2).chunk(3, dim=-1)"},
             {packed("in_proj_weight", true), "packed_order", "nn.MultiheadAttention",
              "q, k, v = F.linear(query, in_proj_weight, in_proj_bias).chunk(3, dim=-1)"},
         }) {
        CAPTURE(c.id);
        CAPTURE(c.system);
        CHECK(line_for(c.document, c.id, c.system) == c.line);
    }
}

TEST_CASE("lines: a cause of two mistakes has the lines of both") {
    CauseReport report;
    Cause cause{"no_scale", {"output"}, "", {"mask_strict"}};
    report.causes.push_back(cause);
    const Plan plan =
        plan_of(three("q_proj.weight", "k_proj.weight", "v_proj.weight", R"(, "causal": true)"));
    say_where(report, nullptr, plan);
    CHECK(report.causes[0].look_at.empty());
    say_where(report, &code_system("nanoGPT"), plan);
    REQUIRE(report.causes[0].look_at.size() == 2);
    CHECK(report.causes[0].system == "nanoGPT");
    CHECK(report.causes[0].look_at[1] ==
          "self.bias = torch.tril(torch.ones(block_size, block_size)).view(1, 1, block_size, block_size)");
}

}  // namespace attn::test
