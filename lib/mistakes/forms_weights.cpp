// Mistakes that exist for each weight.
#include <algorithm>
#include <array>

#include "lib/mistakes/forms.hpp"
#include "lib/plan/weight_resolver.hpp"

namespace attn {
namespace {

struct Named {
    WeightRole role, in_latent;   ///< how notes call it with a latent
    std::string_view plain_name;  ///< where the weights are drawn and have no name
    Stage first;
    bool values_only;
};
constexpr std::array named_roles{
    Named{WeightRole::query, WeightRole::query_up, "W_query", Stage::queries, false},
    Named{WeightRole::key, WeightRole::key_up, "W_key", Stage::keys, false},
    Named{WeightRole::value, WeightRole::value_up, "W_value", Stage::values, true},
    Named{WeightRole::output, WeightRole::output, "W_out", Stage::head_outputs, true},
    Named{WeightRole::gate, WeightRole::gate, "W_gate", Stage::normed_context, true},
    Named{WeightRole::score, WeightRole::score, "W_score", Stage::scores, false},
    Named{WeightRole::query_latent, WeightRole::query_latent, "W_DQ", Stage::queries, false},
    Named{WeightRole::latent, WeightRole::latent, "W_DKV", Stage::queries, false},
    Named{WeightRole::rope_key, WeightRole::rope_key, "W_KR", Stage::rope_keys, false},
    Named{WeightRole::decay, WeightRole::decay, "W_decay", Stage::decay, false},
    Named{WeightRole::beta, WeightRole::beta, "W_beta", Stage::beta, false},
};

std::string name_of(const Plan& plan, const Named& n, bool bias) {
    for (const WeightNote& note : plan.weight_notes) {
        const bool is_bias = note.role.ends_with(" bias");
        const std::string role = is_bias ? note.role.substr(0, note.role.size() - 5) : note.role;
        if (is_bias != bias || note.name.starts_with("torch.")) continue;
        const bool packed = role == word(WeightRole::packed) && n.role <= WeightRole::value;
        if (packed || role == word(n.role) || role == word(n.in_latent)) return note.name;
    }
    const std::string name(n.plain_name);
    return bias ? "b_" + name.substr(2) : name;
}

/// A mistake for each name, and one for all of them where there are several.
Forms for_each_weight(const Replay& r, bool bias, const std::vector<const Named*>& list,
                      const std::function<void(Deviation&, WeightRole)>& change) {
    Forms out;
    std::vector<std::string> names;
    const auto form = [&](std::string of, Stage first, bool values_only, std::vector<WeightRole> roles) {
        out.push_back({"", first, values_only,
                       [roles = std::move(roles), change](Deviation& d) {
                           for (const WeightRole w : roles) change(d, w);
                       },
                       std::move(of)});
    };
    for (const Named* n : list) {
        const std::string name = name_of(r.plan(), *n, bias);
        if (std::find(names.begin(), names.end(), name) != names.end()) continue;
        names.push_back(name);
        std::vector<WeightRole> same;
        for (const Named* other : list)
            if (name_of(r.plan(), *other, bias) == name) same.push_back(other->role);
        const bool late = n->values_only && same.size() == 1;
        form(":" + name, n->first, late, std::move(same));
    }
    if (names.size() < 2) return out;
    std::vector<WeightRole> all;
    for (const Named* n : list) all.push_back(n->role);
    const bool late = std::all_of(list.begin(), list.end(), [](const Named* n) { return n->values_only; });
    const Named* first = *std::min_element(
        list.begin(), list.end(), [](const Named* a, const Named* b) { return a->first < b->first; });
    form(bias ? "" : ":all", late ? first->first : Stage::queries, late, std::move(all));
    return out;
}

/// Weights that can be read the other way.
std::vector<const Named*> square_ones(const Plan& plan) {
    std::vector<const Named*> list;
    for (const Named& n : named_roles) {
        const Projection& p = plan.projection(n.role);
        if (!p.weight.empty() && std::all_of(p.weight.begin(), p.weight.end(), [&](const WeightPiece& w) {
                return w.outputs == p.d_in && w.outputs > 1;
            }))
            list.push_back(&n);
    }
    return list;
}

/// Biases of all projections but the output's, which is a mistake of its own.
std::vector<const Named*> biased_ones(const Plan& plan) {
    std::vector<const Named*> list;
    for (const Named& n : named_roles)
        if (n.role != WeightRole::output && !plan.projection(n.role).bias.empty()) list.push_back(&n);
    return list;
}

}  // namespace

namespace applies {

std::string square_matrix(const Replay& r) {
    return square_ones(r.plan()).empty() ? "no weight is square" : "";
}
std::string bias(const Replay& r) { return biased_ones(r.plan()).empty() ? "there is no bias" : ""; }

}  // namespace applies

namespace make {

Forms weight_transposed(const Replay& r) {
    return for_each_weight(r, false, square_ones(r.plan()),
                           [](Deviation& d, WeightRole w) { d.quirks.transposed |= set_of({w}); });
}
Forms no_bias(const Replay& r) {
    return for_each_weight(r, true, biased_ones(r.plan()),
                           [](Deviation& d, WeightRole w) { d.plan.projection(w).bias.clear(); });
}

}  // namespace make
}  // namespace attn
