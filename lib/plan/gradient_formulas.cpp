#include "lib/plan/gradient_formulas.hpp"

#include "lib/input/choices.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

std::string grad(Stage s) { return "d_" + std::string(info_of(s).name); }
std::string plain_name(Stage s) { return std::string(info_of(s).name); }

std::string softmax_formula(const Plan& plan, Stage of) {
    const std::string d = grad(Stage::weights);
    switch (plan.normalize) {
        case Normalize::softmax:
            return "weights · (" + d + " - row sum of weights · " + d + ")";
        case Normalize::sum:
            return "(" + d + " - row sum of weights · " + d + ") / row sum of " + plain_name(of);
        case Normalize::sigmoid:
            break;
    }
    return d + " · weights · (1 - weights)";
}

}  // namespace

std::string sent_back(const Plan& plan, const PlannedStage& by, Stage to) {
    std::string d = grad(by.stage);
    const std::string of = plain_name(to);
    const auto projected = [&](const char* weight) { return d + " · " + weight + "ᵀ"; };
    const auto is_keys = [&] { return by.reads.size() > 1 && by.reads[1] == to; };
    const bool shared = plan.heads > plan.kv_heads;
    switch (by.stage) {
        case Stage::normed_embeddings:
        case Stage::normed_key_embeddings:
            return {};  // they read no stage
        case Stage::queries:
            return projected(plan.projects(WeightRole::query_latent) ? "W_UQ" : "W_query");
        case Stage::keys:
            return projected(plan.variant->is_latent() ? "W_UK" : "W_key");
        case Stage::values:
            return projected(plan.variant->is_latent() ? "W_UV" : "W_value");
        case Stage::query_latent:
            return projected("W_DQ");
        case Stage::latent:
            return projected("W_DKV");
        case Stage::rope_keys:
            return "(" + d + ", turned back) · W_KRᵀ";
        case Stage::decay:
            return d + " through softplus · W_decayᵀ";
        case Stage::beta:
            return d + " · beta · (1 - beta) · W_betaᵀ";
        case Stage::normed_queries:
        case Stage::normed_keys:
        case Stage::normed_values:
        case Stage::normed_query_latent:
        case Stage::normed_latent:
        case Stage::normed_context:
        case Stage::normed_concat:
            return d + " through the norm";
        case Stage::convolved_queries:
        case Stage::convolved_keys:
        case Stage::convolved_values:
            return d + " · taps, from the tokens after";
        case Stage::rotated_queries:
        case Stage::rotated_keys:
            if (to == Stage::rope_keys) return "the last columns of " + d + ", summed over heads";
            if (by.reads.size() > 1) return "the first columns of " + d;
            return d + ", turned back";
        case Stage::tempered_queries:
            return d + " · query_scale";
        case Stage::mapped_queries:
        case Stage::mapped_keys:
        case Stage::mapped_values:
            return d + " · the slope of the map";
        case Stage::all_keys:
        case Stage::all_values:
            return "the new keys of " + d;
        case Stage::scores:
            if (plan.additive) return d + " · v · (1 - tanh²), summed";
            if (is_keys())
                return d + "ᵀ · " + plain_name(by.reads[0]) +
                       (plan.projects(WeightRole::score) ? " · W_score" : "") +
                       (shared ? ", summed over the heads that read them" : "");
            return d + " · " + plain_name(by.reads[1]) +
                   (plan.projects(WeightRole::score) ? " · W_scoreᵀ" : "");
        case Stage::scaled_scores:
            return plan.scale_root > 0 ? d + " / √" + std::to_string(plan.scale_root)
                                       : d + " · " + plan.scale_text;
        case Stage::capped_scores:
            return d + " · (1 - (capped_scores / " + significant(*plan.softcap, 9) + ")²)";
        case Stage::biased_scores:
            return d;
        case Stage::masked_scores:
        case Stage::masked_weights:
            return d + ", 0 where hidden";
        case Stage::weights:
            return softmax_formula(plan, to);
        case Stage::renormalized_weights:
            return "(" + d + " - row sum of renormalized_weights · " + d + ") / row sum of masked_weights";
        case Stage::dropped_weights:
            return plan.dropout->p == 1 ? "0 · " + d
                                        : d + " · keep / (1 - " + significant(plan.dropout->p, 9) + ")";
        case Stage::differential_weights:
            return d + " for a first half, -lambda · " + d + " for a second";
        case Stage::context:
            if (plan.state) return "what the contexts and states after it send back";
            if (is_keys())
                return plain_name(by.reads[0]) + "ᵀ · " + d +
                       (shared ? ", summed over the heads that read them" : "");
            return d + " · " + plain_name(by.reads[1]) + "ᵀ";
        case Stage::gated_context:
            if (to == Stage::normed_embeddings) return "d_gate · W_gateᵀ";
            return d + " · " + std::string(choice_name(plan.gate->activation)) + "(gate)";
        case Stage::concat:
            return "the columns of this head in " + d;
        case Stage::output:
            return projected("W_out");
        case Stage::state:
        case Stage::states:  // with the context
        case Stage::head_outputs:
        case Stage::lse:
        case Stage::mean_weights:
            break;
    }
    return {};
}

}  // namespace attn
