// Mistakes that exist for each weight.
#include <algorithm>
#include <array>

#include "lib/mistakes/mistake_forms.hpp"
#include "lib/plan/weight_resolver.hpp"

namespace attn::forms {
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

/// Adds a mistake for each name, and one for all of them where there are several.
void add(const Replay& r, const MistakeRow& row, bool bias, const std::vector<const Named*>& list,
         std::vector<Mistake>& out, const std::function<void(Deviation&, WeightRole)>& make) {
    std::vector<std::string> names;
    for (const Named* n : list) {
        const std::string name = name_of(r.plan(), *n, bias);
        if (std::find(names.begin(), names.end(), name) != names.end()) continue;
        names.push_back(name);
        std::vector<WeightRole> same;
        for (const Named* other : list)
            if (name_of(r.plan(), *other, bias) == name) same.push_back(other->role);
        out.push_back({&row, std::string(row.id) + ":" + name, {}});
        out.back().forms.push_back(
            {"", n->first, n->values_only && same.size() == 1, [same, make](Deviation& d) {
                 for (const WeightRole w : same) make(d, w);
             }});
    }
    if (names.size() < 2) return;
    std::vector<WeightRole> all;
    for (const Named* n : list) all.push_back(n->role);
    const bool late = list.front()->values_only;
    out.push_back({&row, std::string(row.id) + (bias ? "" : ":all"), {}});
    out.back().forms.push_back(
        {"", late ? list.front()->first : Stage::queries, late, [all, make](Deviation& d) {
             for (const WeightRole w : all) make(d, w);
         }});
}

}  // namespace

std::string weight_transposed(const Replay& r, const MistakeRow& row, std::vector<Mistake>& out) {
    const Plan& plan = r.plan();
    std::vector<const Named*> list;
    for (const Named& n : named_roles) {
        const Projection& p = plan.projection(n.role);
        if (!p.weight.empty() && std::all_of(p.weight.begin(), p.weight.end(), [&](const WeightPiece& w) {
                return w.outputs == p.d_in && w.outputs > 1;
            }))
            list.push_back(&n);
    }
    if (list.empty()) return "no weight is square";
    add(r, row, false, list, out, [](Deviation& d, WeightRole w) { d.quirks.transposed |= set_of({w}); });
    return "";
}

std::string no_bias(const Replay& r, const MistakeRow& row, std::vector<Mistake>& out) {
    std::vector<const Named*> list;
    for (const Named& n : named_roles)
        if (n.role != WeightRole::output && !r.plan().projection(n.role).bias.empty()) list.push_back(&n);
    if (list.empty()) return "there is no bias";
    add(r, row, true, list, out, [](Deviation& d, WeightRole w) { d.plan.projection(w).bias.clear(); });
    return "";
}

}  // namespace attn::forms
