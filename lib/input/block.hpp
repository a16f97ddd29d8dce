#pragma once
#include <cstddef>

#include "lib/input/value.hpp"
#include "lib/pool.hpp"

namespace attn {

/// How to read an array of the text as one block of numbers.
struct BlockRequest {
    const char* begin;  ///< at the bracket that opens it
    const char* end;    ///< of the text; the byte there may be read and is 0
    std::size_t most_axes = 1;
    DType dtype = DType::float32;
    LatePool* pool = nullptr;  ///< of the threads that read rows of a long array; null: the caller alone
};

/// Reads nested arrays of scalars, all rows of the same length, into numbers that lie flat: no value per
/// element, and no second pass for the shape. False where the text is anything else (ragged, other values, a
/// fault): whoever asked reads it in another way then, which tells them apart. `at` is the bracket that
/// closes the block, or the place up to which the text was a part of one, whoever read it. Numbers above the
/// largest float32 make it a block of float64.
bool read_block(const BlockRequest& request, Scalars& out, const char*& at);

}  // namespace attn
