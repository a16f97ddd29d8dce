#pragma once
#include <cstddef>
#include <string_view>
#include <vector>

namespace attn {

/// A key of a document, and what its value may be as a JSON Schema; "#/$defs/..." are in app/schema_texts.cpp
/// and lib/input/choices.hpp.
struct KeySchema {
    std::string_view name, schema;
};

/// A definition of those: a tensor of so many axes.
struct TensorSchema {
    std::string_view name;
    std::size_t least, most;
};
/// What keys refer to, with the axes that their readers take.
std::vector<TensorSchema> tensor_schemas();

/// The keys of THE TABLE of keys (read_problem.cpp), in its order.
std::vector<KeySchema> all_keys();

}  // namespace attn
