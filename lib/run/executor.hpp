#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "lib/run/dropout_rows.hpp"
#include "lib/run/findings.hpp"
#include "lib/run/mask.hpp"
#include "lib/run/materialize.hpp"
#include "lib/run/pool.hpp"
#include "lib/run/sink.hpp"
#include "lib/tensor.hpp"

namespace attn {

// Axes: B batch, H head, Q query rows that are shown, K keys, d dim, v dim of values.

/// Some consecutive query rows of one head of one batch item, with all their keys: the unit of work.
struct RowBlock {
    Index batch = 0, head = 0;
    Index first = 0;  ///< place of the first row among the shown rows
    Index query = 0;  ///< its original number
    Index rows = 0;
};

/// Buffers of one worker, reused from block to block.
template <class T>
struct Workspace {
    std::array<std::vector<T>, stage_count> stages;  ///< [rows, K]; context and head outputs: [rows, width]
    std::vector<std::uint8_t> hidden, keep;          ///< [rows, K]
    std::vector<T> added;                            ///< [K]
    std::vector<std::uint8_t> empty;                 ///< [rows]
};

/// Runs a plan in T. What a stage needs is computed when it is asked for, and only for the shown batch items,
/// heads and query rows; a row block's stages of queries x keys live only as long as the block.
template <class T>
class Executor {
  public:
    Executor(const Plan& plan, Sink& sink);
    void run();
    std::vector<std::string> warnings() const { return findings_.warnings(); }

  private:
    void prepare();
    void project(const Projection& projection, std::size_t input, Tensor4<T>& out,
                 const std::vector<Index>& tokens, Index dim);
    void pass(const std::vector<const PlannedStage*>& shown);
    void walk_blocks(const std::vector<const PlannedStage*>& shown, Stage last);
    std::vector<RowBlock> blocks_of(Index batch) const;
    void compute(const RowBlock& block, Stage last, Workspace<T>& w) const;
    void compute_stage(const PlannedStage& stage, const RowBlock& block, const T* in, Workspace<T>& w) const;
    void emit_projected(const PlannedStage& stage);
    void emit_block(const PlannedStage& stage, const RowBlock& block, const Workspace<T>& w);
    void emit_merged(const PlannedStage& stage, Index batch);
    void emit(const PlannedStage& stage, Index batch, Index head, Index row_begin, Index rows, const T* data,
              Index stride, const std::uint8_t* hidden);
    bool wants(Stage first, Stage last) const;

    const Plan& plan_;
    Sink& sink_;
    Findings findings_;
    Tensors<T> tensors_;
    Mask<T> mask_;
    DropoutRows dropout_;
    std::vector<Index> heads_;            ///< that are computed: all where a shown stage merges them
    Tensor4<T> queries_, keys_, values_;  ///< [B, H, Q, d], [B, H, K, d], [B, H, K, v]
    LinearMap<T> output_;
    Tensor4<T> context_;  ///< [B, Q, H, v]: heads side by side; kept where something after it is shown
    bool keeps_context_ = false, has_context_ = false;
    std::vector<Index> dims_;  ///< 0, 1, 2, ... as column numbers
    std::optional<Pool> pool_;
    std::vector<T> gathered_;
    std::vector<std::uint8_t> gathered_hidden_;
};

}  // namespace attn
