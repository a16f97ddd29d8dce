#pragma once
#include <algorithm>

#include "lib/shape.hpp"

namespace attn::blocking {

// How work is cut. A result's bits depend on these sizes, so they are the same for every instruction set and
// any number of threads; the plan counts the memory that they need.

/// Keys of a packed panel, and of a step of the running softmax.
constexpr Index unit = 64, block = 2 * unit;
/// Query rows of a job on the fused path.
constexpr Index fused_rows = 192;
/// Rows of one head of keys that the path of single rows is for, and the keys of one of its jobs.
constexpr Index single_rows = 16, piece = 4096;
/// Rows of a job of a projection, and rows of the output that are computed for each worker before they are
/// pushed.
constexpr Index projected_rows = 48, merged_rows = 8 * projected_rows;
/// Columns of a projection's matrix that are packed together, with their whole depth: a multiple of any
/// panel.
constexpr Index block_columns = 128;
/// All rows of the output are pushed together.
constexpr bool is_one_push(Index rows, Index threads) { return rows <= merged_rows * threads; }
/// Bytes of packed keys and values that are held at once.
constexpr Index packed_bytes = Index{64} << 20;
/// Packed columns are filled up to whole vectors: this many numbers for any instruction set.
constexpr Index widest = 16;

/// A packed head that stays in a worker's own cache.
constexpr Index small_head_bytes = Index{1} << 20;

/// Stages of so many bytes, together, leave the caches before anybody reads them again.
constexpr Index past_caches = Index{64} << 20;

/// Bytes of sums over heads that are held at once, and the query rows that they are of: keys and values of
/// the heads are packed again for the next ones.
constexpr Index mean_bytes = Index{16} << 20;
constexpr Index mean_rows(Index keys, Index row_block, Index threads) {
    return std::max(row_block * threads, mean_bytes / (8 * std::max(Index{1}, keys)) / row_block * row_block);
}

/// Query rows of a block that goes backwards: 2 MB of doubles for each stage, at least 4.
constexpr Index backward_rows(Index queries, Index keys) {
    const Index rows = (Index{2} << 20) / (8 * std::max(Index{1}, keys));
    return std::min(std::clamp(rows, Index{4}, Index{64}), std::max(Index{1}, queries));
}

/// Query rows of a block of the fused backward pass, whole tiles of 6: its powers of 2 and gradients of
/// weights are read again while they are in a cache, and more rows share what is added to keys and values.
constexpr Index fused_back_rows(Index queries, Index keys, Index element) {
    constexpr Index bytes = Index{3} << 20, least = 54, most = 96;
    const Index rows = std::clamp(bytes / (2 * element * std::max(Index{1}, keys)), least, most) / 6 * 6;
    return std::min(rows, std::max(Index{1}, queries));
}
/// Runs of rows of a head of keys that are summed apart, so that few heads are work for several threads.
constexpr Index backward_runs(Index heads) {
    constexpr Index enough = 8;
    return heads >= enough ? 1 : (enough + heads - 1) / std::max(Index{1}, heads);
}

/// Tokens from one state that is kept on the way forwards to the next: about the root of their number.
constexpr Index tokens_between_states(Index tokens) {
    Index n = 1;
    while (n * n < tokens) ++n;
    return n;
}

constexpr Index parts(Index n, Index size) { return (n + size - 1) / size; }
constexpr Index filled(Index n) { return parts(n, widest) * widest; }

/// Numbers of one head's packed keys and values.
constexpr Index packed_head(Index keys, Index dim, Index value_dim) {
    return parts(keys, block) * block * (dim + filled(value_dim));
}
/// Numbers of a worker of the fused backward pass, of whose queries `own` rows are under way.
constexpr double fused_back_numbers(Index rows, Index keys, Index dim, Index value_dim, Index own) {
    const Index padded = parts(keys, block) * block;
    const Index packs = padded * (dim + filled(dim) + value_dim), sums = 2 * padded * (dim + value_dim);
    return static_cast<double>(packs + sums + 2 * rows * (padded + block + dim) + rows * (dim + value_dim) +
                               own * dim);
}
/// Heads, of `all`, that are packed at once.
constexpr Index packed_heads(Index all, Index numbers_of_head, Index element) {
    return std::clamp(packed_bytes / std::max(Index{1}, numbers_of_head * element), Index{1}, all);
}

}  // namespace attn::blocking
