#include "lib/render/sheet/rules.hpp"

namespace attn::sheet {

Rule values_because(std::string because) { return {.because = std::move(because)}; }

Rule from_cell(const Grid& grid, std::function<std::string(const std::string&, const At&)> formula) {
    return {
        .cell = [&grid, formula = std::move(formula)](const At& at) { return formula(grid.cell(at), at); }};
}

std::string array(const std::string& text) { return "{=" + text + "}"; }

Rule rule_of(Book& book, const PlannedStage& stage, const Grid& own) {
    if (stage.of != StageOf::forward) return gradient(book, stage);
    constexpr const char* recurrent = "what is carried from token to token is no formula of a cell";
    switch (stage.stage) {
        case Stage::queries:
        case Stage::keys:
        case Stage::values:
            return projected(book, stage);
        case Stage::query_latent:
        case Stage::latent:
            return latent(book, stage);
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
            return convolved(book, stage);
        case Stage::normed_embeddings:
        case Stage::normed_key_embeddings:
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::normed_query_latent:
        case Stage::normed_latent:
        case Stage::normed_context:
        case Stage::normed_concat:
            return normed(book, stage);
        case Stage::rope_keys:
            return rope_keys(book);
        case Stage::rotated_queries:
        case Stage::rotated_keys:
            return rotated(book, stage);
        case Stage::tempered_queries:
            return tempered(book, stage);
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
            return mapped(book, stage);
        case Stage::all_keys:
        case Stage::all_values:
            return all_keys(book, stage);
        case Stage::scores:
            return scores(book, stage);
        case Stage::scaled_scores:
            return scaled_scores(book, stage);
        case Stage::capped_scores:
            return capped_scores(book, stage);
        case Stage::biased_scores:
            return biased_scores(book, stage, own);
        case Stage::masked_scores:
            return masked_scores(book, stage);
        case Stage::weights:
            return weights(book, stage, own);
        case Stage::masked_weights:
            return masked_weights(book, stage);
        case Stage::renormalized_weights:
            return renormalized_weights(book, stage, own);
        case Stage::dropped_weights:
            return dropped_weights(book, stage);
        case Stage::differential_weights:
            return differential_weights(book, stage);
        case Stage::context:
            return book.plan().state ? values_because(recurrent) : context(book, stage);
        case Stage::decay:
        case Stage::beta:
        case Stage::state:
        case Stage::states:
            return values_because(recurrent);
        case Stage::gated_context:
            return gated_context(book, stage);
        case Stage::concat:
            return concat(book, stage);
        case Stage::head_outputs:
            return head_outputs(book, stage);
        case Stage::output:
            return output(book, stage);
        case Stage::lse:
            return log_sums(book, stage);
        case Stage::mean_weights:
            return mean_weights(book, stage);
    }
    return {};
}

}  // namespace attn::sheet
