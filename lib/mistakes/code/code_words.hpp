#pragma once
#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attn {

/// What the code of attention is written in.
enum class CodeLanguage {
    torch,   ///< [batch, head, token, dim], methods of tensors
    arrays,  ///< [batch, token, head, dim], einsum: JAX, Keras
    onnx,    ///< nodes of a graph
    ggml     ///< functions that build a graph
};
constexpr std::size_t code_language_count = 4;

/// A place in the code of attention, as each language writes it: in its text {other} stands for another word.
/// Empty: that language has no such line.
struct CodePlace {
    std::string_view name;
    std::array<std::string_view, code_language_count> text;
};
/// THE TABLE of places.
std::span<const CodePlace> all_code_places();

struct CodeWord {
    std::string_view name, text;
};

/// Code whose names are known, with what it calls things and the places that it writes in its own way.
struct CodeSystem {
    std::string_view name;  ///< as people call it
    CodeLanguage language;
    std::vector<CodeWord> words;
};
/// THE TABLE of systems.
std::span<const CodeSystem> all_code_systems();

/// What every system calls by a name of its own; an index into that table, by name. \throws Error (defect)
std::span<const std::string_view> names_of_code();
const CodeSystem& code_system(std::string_view name);

/// What a plan says of a word, in words again ("{table_half}"): before the tables. Nothing: they do.
using WordOfPlan = std::function<std::optional<std::string>(std::string_view name)>;

/// A template with its words filled in; empty where one of them has no text in that system.
std::string filled(std::string_view text, const CodeSystem& system, const WordOfPlan& of_plan);

/// The words in braces of a template, in its order.
std::vector<std::string_view> words_in(std::string_view text);

}  // namespace attn
