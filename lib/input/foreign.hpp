#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "lib/input/value.hpp"

namespace attn {

/// Something that is not a document, though it is given as one.
struct Foreign {
    std::string what;  ///< "is an npz file (a zip archive), not a document"
    std::string hint;  ///< which command takes it
};

/// What a text that is not JSON is by its first bytes, or nothing.
std::optional<Foreign> foreign_bytes(std::string_view text);

/// What a JSON object is that is not a document: a trace of this program, an event of one. Or nothing.
std::optional<Foreign> foreign_object(const Value& root);

}  // namespace attn
