#include "lib/plan/selection.hpp"

#include <algorithm>
#include <charconv>

#include "lib/option_words.hpp"
#include "lib/plan/builder.hpp"

namespace attn {
namespace {

std::optional<Index> whole_number(std::string_view text) {
    Index n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return n;
}

/// One part of a selection: "3", "0:8", "2:", or a token.
void add_part(std::string_view part, Index n, const std::vector<std::string>* tokens, const AxisWords& w,
              std::vector<Index>& out) {
    const auto outside = [&](std::string_view what) {
        fail_usage(std::string(w.flag) + " " + std::string(part) + ": there is no " + std::string(w.one) +
                   " " + std::string(what) + " (" + std::to_string(n) + " " + std::string(w.many) +
                   ", counted from 0)");
    };
    if (const auto k = whole_number(part)) {
        if (*k < 0 || *k >= n) outside(part);
        out.push_back(*k);
        return;
    }
    if (const auto colon = part.find(':'); colon != std::string_view::npos) {
        const std::string_view from = part.substr(0, colon), to = part.substr(colon + 1);
        const auto a = from.empty() ? std::optional<Index>{0} : whole_number(from);
        const auto z = to.empty() ? std::optional<Index>{n} : whole_number(to);
        if (a && z) {
            if (*a < 0 || *a >= n) outside(std::to_string(*a));
            if (*z > n) outside(std::to_string(*z - 1));
            if (*z <= *a)
                fail_usage(std::string(w.flag) + " " + std::string(part) +
                           " is empty: a range a:b goes from a to b - 1");
            for (Index k = *a; k < *z; ++k) out.push_back(k);
            return;
        }
    }
    bool found = false;
    if (tokens) {
        for (std::size_t k = 0; k < tokens->size(); ++k) {
            if ((*tokens)[k] != part) continue;
            out.push_back(static_cast<Index>(k));
            found = true;
        }
    }
    if (found) return;
    std::vector<std::string_view> names;
    if (tokens) names.assign(tokens->begin(), tokens->end());
    fail_usage(std::string(w.flag) + " " + std::string(part) + ": there is no such " + std::string(w.one) +
                   ", expected a number, a range as 0:8" + (tokens ? ", or a token" : ""),
               did_you_mean(part, names));
}

/// Below this many pairs of query and key all rows are computed, also those that no table shows: that takes
/// no time that is noticed, and warnings speak of all of them.
constexpr double worth_leaving_out = 1e6;

void leave_out(const Plan& plan, const RowCut& cut, AxisSelection& rows) {
    const double pairs = static_cast<double>(plan.batch_shown.indices.size()) *
                         static_cast<double>(plan.heads_shown.indices.size()) *
                         static_cast<double>(plan.queries) * static_cast<double>(plan.keys);
    if (plan.queries <= cut.most || pairs < worth_leaving_out) return;
    rows.all = false;
    rows.left_out = plan.queries - cut.first - cut.last;
    rows.indices.erase(rows.indices.begin() + cut.first, rows.indices.end() - cut.last);
}

/// What is looked at first: the last weights; without any the last scores, then the last context or state.
PlannedStage& choose_picture(Plan& plan) {
    PlannedStage* best = nullptr;
    int least = 0;
    for (PlannedStage& s : plan.stages) {
        const StageInfo& info = info_of(s.stage);
        if (info.on_request) continue;
        const int rank = info.phase == Phase::cells || info.phase == Phase::paired
                             ? is_weights(s.stage) ? 0 : 1
                         : info.phase == Phase::context ? 2
                                                        : 3;
        if (best && rank > least) continue;
        best = &s;
        least = rank;
    }
    return *best;
}

void choose_stages(Plan& plan, const std::vector<std::string>& asked) {
    if (asked.empty()) {
        for (auto* list : {&plan.stages, &plan.gradients})
            for (PlannedStage& s : *list) s.shown = !s.on_request;
        return;
    }
    std::vector<std::string_view> here;
    for (const auto* list : {&plan.stages, &plan.gradients})
        for (const PlannedStage& s : *list) here.push_back(s.name);
    for (const std::string& name : asked) {
        PlannedStage* found = nullptr;
        for (auto* list : {&plan.stages, &plan.gradients})
            for (PlannedStage& s : *list)
                if (s.name == name) found = &s;
        if (found) {
            found->shown = true;
            continue;
        }
        std::string all;
        for (const auto& n : here) all += (all.empty() ? "" : ", ") + std::string(n);
        const bool gradient = !plan.gradient && name.starts_with("d_");
        const bool known = stage_named(name).has_value();
        const std::string hint = gradient ? "\"gradient\": \"ones\" in the document asks for a backward pass;"
                                 : known  ? std::string{}
                                          : did_you_mean(name, here);
        fail_usage(option::stages + " " + name + ": " +
                       (known ? "this input has no such stage" : "there is no such stage") +
                       (known && plan.concat_norm && stage_named(name) == Stage::head_outputs
                            ? ": \"concat_norm\" is of all heads together, so they have no shares"
                            : ""),
                   (hint.empty() ? "" : hint + " ") + "stages of this input: " + all);
    }
}

}  // namespace

AxisSelection select_axis(const std::optional<std::string>& asked, Index n,
                          const std::vector<std::string>* tokens, const AxisWords& w) {
    AxisSelection s;
    if (!asked) {
        s.indices = counted(n);
        return s;
    }
    s.asked = true;
    const bool is_token = tokens && std::find(tokens->begin(), tokens->end(), *asked) != tokens->end();
    if (is_token && !whole_number(*asked)) {
        add_part(*asked, n, tokens, w, s.indices);
    } else {
        std::size_t from = 0;
        while (true) {
            const std::size_t comma = asked->find(',', from);
            add_part(std::string_view(*asked).substr(from, comma - from), n, tokens, w, s.indices);
            if (comma == std::string::npos) break;
            from = comma + 1;
        }
    }
    std::sort(s.indices.begin(), s.indices.end());
    s.indices.erase(std::unique(s.indices.begin(), s.indices.end()), s.indices.end());
    s.all = static_cast<Index>(s.indices.size()) == n;
    return s;
}

void resolve_selection(Builder& b) {
    Plan& plan = b.plan;
    const Request& r = b.request;
    if (r.for_pictures && r.stages.empty())
        choose_picture(plan).shown = true;
    else
        choose_stages(plan, r.stages);
    plan.batch_shown =
        select_axis(r.batch, plan.batch, nullptr, {option::batch, "batch item", "batch items"});
    plan.heads_shown = select_axis(r.heads, plan.heads, nullptr, {option::heads, "head", "heads"});
    const auto belong = [](AxisSelection& to, const AxisSelection& from, Index count, auto&& head_of) {
        to.asked = from.asked;
        for (const Index h : from.indices) to.indices.push_back(head_of(h));
        std::sort(to.indices.begin(), to.indices.end());
        to.indices.erase(std::unique(to.indices.begin(), to.indices.end()), to.indices.end());
        to.all = static_cast<Index>(to.indices.size()) == count;
    };
    belong(plan.kv_heads_shown, plan.heads_shown, plan.kv_heads, [&](Index h) { return plan.kv_head_of(h); });
    belong(plan.value_heads_shown, plan.kv_heads_shown, plan.value_heads(),
           [&](Index h) { return plan.value_head_of(h); });
    belong(plan.context_heads_shown, plan.heads_shown, plan.context_heads(),
           [&](Index h) { return plan.context_head_of(h); });
    belong(plan.grouped_heads_shown, plan.heads_shown, plan.query_heads(),
           [&](Index h) { return h / plan.head_group; });
    plan.queries_shown =
        select_axis(r.rows, plan.queries, &plan.query_tokens, {r.rows_flag, "row", "query rows"});
    if (r.cut_rows && !r.rows) leave_out(plan, *r.cut_rows, plan.queries_shown);
    plan.embeddings_shown = plan.queries_shown;
    plan.keys_shown = select_axis(r.cols, plan.keys, &plan.key_tokens, {option::cols, "column", "keys"});
    plan.new_keys_shown.asked = plan.past_keys_shown.asked = plan.keys_shown.asked;
    for (const Index j : plan.keys_shown.indices)
        if (j < plan.past) plan.past_keys_shown.indices.push_back(j);
    plan.past_keys_shown.all = static_cast<Index>(plan.past_keys_shown.indices.size()) == plan.past;
    for (const Index j : plan.keys_shown.indices)
        if (j >= plan.past && j < plan.given_keys()) plan.new_keys_shown.indices.push_back(j - plan.past);
    plan.new_keys_shown.all = static_cast<Index>(plan.new_keys_shown.indices.size()) == plan.new_keys;
}

}  // namespace attn
