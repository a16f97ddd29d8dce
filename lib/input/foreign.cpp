#include "lib/input/foreign.hpp"

#include <array>
#include <cstdint>
#include <span>

#include "lib/input/numbers.hpp"

namespace attn {
namespace {

constexpr std::string_view tensors_hint =
    "attn-calc check lists what it holds; a document names it: \"weights\": {\"file\": ...}, \"embeddings\": "
    "{\"file\": ..., \"name\": ...}; attn-calc diff compares it, attn-calc convert rewrites it";
constexpr std::string_view not_read_hint = "save its tensors as safetensors or npz, which are read";
constexpr std::string_view trace_hint =
    "attn-calc diff compares it with a document, attn-calc convert rewrites it in other formats";

struct Magic {
    std::string_view begin, what, hint;
};

/// THE TABLE of beginnings. An ONNX model has none: its first field is the version of the format, a small
/// number, and its second the producer's name or the operators.
constexpr std::array magics{
    Magic{"\x93NUMPY", "is an npy file, not a document", tensors_hint},
    Magic{std::string_view("PK\x03\x04", 4),
          "is a zip archive (an npz file, or a .pt of torch.save), not a document", tensors_hint},
    Magic{"GGUF", "is a GGUF file, not a document", tensors_hint},
    Magic{std::string_view("\x80\x02", 2), "is a pickle (torch.save before 1.6), not a document",
          tensors_hint},
    Magic{"\x89HDF", "is an HDF5 file, not a document", not_read_hint},
    Magic{"stage,batch,head,", "is a trace as CSV, not a document", trace_hint},
    Magic{"document,stage,batch,", "is a trace as CSV, not a document", trace_hint},
};

/// 8 bytes of length, the lowest first, and JSON.
bool is_safetensors(std::string_view text) {
    if (text.size() < 10 || text[8] != '{') return false;
    const std::uint64_t length = little_endian(std::as_bytes(std::span(text)).first(8));
    return length >= 2 && length <= 100'000'000;
}

bool is_onnx(std::string_view text) {
    return text.size() > 4 && text[0] == '\x08' && text[1] > 0 && text[1] < 32 &&
           (text[2] == '\x12' || text[2] == '\x3a' || text[2] == '\x42');
}

}  // namespace

std::optional<Foreign> foreign_bytes(std::string_view text) {
    for (const Magic& m : magics)
        if (text.starts_with(m.begin)) return Foreign{std::string(m.what), std::string(m.hint)};
    if (is_safetensors(text))
        return Foreign{"is a safetensors file, not a document", std::string(tensors_hint)};
    if (is_onnx(text)) return Foreign{"is an ONNX model, not a document", std::string(tensors_hint)};
    return std::nullopt;
}

std::optional<Foreign> foreign_object(const Value& root) {
    const Value* schema = root.find("schema");
    const bool ours = schema && schema->kind == Value::Kind::string && schema->text.starts_with("attn-calc/");
    const bool event = root.find("event") && (ours || root.find("stages") || root.find("name"));
    if (event || (ours && schema->text.starts_with("attn-calc/trace/")))
        return Foreign{"is a trace, not a document: it holds what was computed", std::string(trace_hint)};
    if (root.find("weight_map"))
        return Foreign{"is an index of shards, not a document", std::string(tensors_hint)};
    if (ours) return Foreign{"is what attn-calc wrote about another file, not a document", {}};
    return std::nullopt;
}

}  // namespace attn
