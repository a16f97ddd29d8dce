#pragma once
#include "lib/render/sheet/book.hpp"

namespace attn::sheet {

// How stages are made, by the phase of a run. `own` is the stage's sheet.

Rule values_because(std::string because);
/// A formula for each number, of the number at its place in a stage.
Rule from_cell(const Grid& grid, std::function<std::string(const std::string& x, const At&)> formula);
/// "{=" + text + "}"
std::string array(const std::string& text);

Rule projected(Book& book, const PlannedStage& stage);
Rule latent(Book& book, const PlannedStage& stage);
Rule normed(Book& book, const PlannedStage& stage);
Rule rope_keys(Book& book);
Rule rotated(Book& book, const PlannedStage& stage);
Rule tempered(Book& book, const PlannedStage& stage);
Rule mapped(Book& book, const PlannedStage& stage);
Rule convolved(Book& book, const PlannedStage& stage);
Rule all_keys(Book& book, const PlannedStage& stage);

Rule scores(Book& book, const PlannedStage& stage);
Rule scaled_scores(Book& book, const PlannedStage& stage);
Rule capped_scores(Book& book, const PlannedStage& stage);
Rule biased_scores(Book& book, const PlannedStage& stage, const Grid& own);
Rule masked_scores(Book& book, const PlannedStage& stage);
Rule weights(Book& book, const PlannedStage& stage, const Grid& own);
Rule masked_weights(Book& book, const PlannedStage& stage);
Rule renormalized_weights(Book& book, const PlannedStage& stage, const Grid& own);
Rule dropped_weights(Book& book, const PlannedStage& stage);
Rule differential_weights(Book& book, const PlannedStage& stage);
Rule log_sums(Book& book, const PlannedStage& stage);

/// Texts that a stage and what it sends back share.
std::string scale_text(Book& book);
std::string cap_text(Book& book);
std::string dropout_text(Book& book);
std::string lambda_text(Book& book);
const Grid& additive_vector(Book& book);
/// The gate is a product with a matrix; what opens it for some rows of a head.
bool has_gate_matrix(const Plan& plan);
void prepare_gate(Book& book);
std::string opening_text(Book& book, const RowsAt& at);
/// What a norm of single heads sends back to a number of what it has normed. \param made the norm's stage
void prepare_norm(Book& book, const PlannedStage& made);
std::string norm_back_text(Book& book, const PlannedStage& made, const Grid& x, const Grid& d, const At& at);

/// Of a gradient.
Rule gradient(Book& book, const PlannedStage& stage);

Rule context(Book& book, const PlannedStage& stage);
Rule gated_context(Book& book, const PlannedStage& stage);
Rule concat(Book& book, const PlannedStage& stage);
Rule head_outputs(Book& book, const PlannedStage& stage);
Rule output(Book& book, const PlannedStage& stage);
Rule mean_weights(Book& book, const PlannedStage& stage);

}  // namespace attn::sheet
