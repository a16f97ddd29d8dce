#pragma once
#include <string>
#include <vector>

#include "lib/input/numbers.hpp"
#include "lib/input/value.hpp"

namespace attn {

struct FileTensor {
    std::string name;
    Shape shape;
    Numbers numbers;
    Numbers float32{};  ///< where text was read: the nearest float32 of each, rounded once; else empty

    Element element() const { return numbers.element(); }
};

/// What a file of tensors holds.
struct FileTensors {
    std::vector<FileTensor> tensors;
    std::vector<std::string> besides;  ///< in words: what no tensor keeps
};

/// The stages of a JSON trace, or the members of an object: nested arrays, {"shape", "data"}, single numbers.
/// Numbers are float64 unless the file says float32; true and false are booleans.
/// \throws Error (exit 3) with its place
FileTensors read_json_tensors(const Source& source);

/// The lines of a CSV trace (docs/trace.md), in any order. Axes are the columns batch, head, row, column that
/// are filled; the numbers of an axis are taken without gaps. \throws Error (exit 3) with its line
FileTensors read_csv_tensors(const Source& source);

}  // namespace attn
