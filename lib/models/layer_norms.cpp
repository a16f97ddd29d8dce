// The norms of a layer: before the attention, of queries and keys.
#include <optional>
#include <string>
#include <utility>

#include "lib/error.hpp"
#include "lib/models/layer_reader.hpp"
#include "lib/models/tree.hpp"
#include "lib/text.hpp"

namespace attn {

void LayerReader::read_norm() {
    const InputNormRow& norm = row_.norm;
    if (norm.type == NormRow::none) return;
    if (!norm.unless.empty())
        if (const auto before = config_.boolean(norm.unless); before && !before->value) return;
    Value out = tree_object();
    add_member(out, "type", tree_text(norm.type == NormRow::rms ? "rms" : "layer"));
    const auto eps = norm.eps_keys.empty() ? std::nullopt : config_.number(norm.eps_keys);
    add_member(out, "eps", tree_number(eps ? eps->value : norm.eps));
    if (norm.plus_one) add_member(out, "plus_one", tree_boolean(true));
    if (norm.has_weight) {
        std::string module;
        each_of(norm.module, '|', [&](std::string_view name) {
            if (module.empty() && folder_.has(prefix_ + std::string(name) + ".weight"))
                module = prefix_ + std::string(name);
        });
        if (module.empty() && (norm.optional || are_normed_)) return;
        if (module.empty())
            fail("",
                 "has no tensor " +
                     shown(prefix_ + std::string(norm.module.substr(0, norm.module.find('|'))) + ".weight") +
                     ", the norm before the attention");
        add_member(out, "weight", reference(module + ".weight"));
        if (folder_.has(module + ".bias")) add_member(out, "bias", reference(module + ".bias"));
    }
    set("embeddings_norm", std::move(out), "eps: " + (eps ? eps->from : of_class()));
}

void LayerReader::read_qk_norm() {
    const QkNormRow& norm = row_.qk_norm;
    has_qk_norm_ = norm.type != NormRow::none;
    if (!has_qk_norm_) return;
    std::string from = of_class();
    if (!norm.key.empty()) {
        const auto on = config_.boolean(norm.key);
        has_qk_norm_ = on ? on->value : norm.otherwise;
        if (on) from = on->from;
        if (!has_qk_norm_) return;
    }
    const auto eps = norm.eps_keys.empty() ? std::nullopt : config_.number(norm.eps_keys);
    Value out = tree_object();
    add_member(out, "type", tree_text(norm.type == NormRow::rms ? "rms" : "layer"));
    add_member(out, "eps", tree_number(eps ? eps->value : norm.eps));
    add_member(out, "over", tree_text(norm.over_width ? "width" : "head"));
    if (norm.plus_one) add_member(out, "plus_one", tree_boolean(true));
    if (norm.after_rope) add_member(out, "after", tree_text("rope"));
    set("qk_norm", std::move(out), from + ", eps: " + (eps ? eps->from : of_class()));
}

}  // namespace attn
