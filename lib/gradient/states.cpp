#include "lib/gradient/states.hpp"

#include <algorithm>
#include <vector>

#include "lib/gradient/state_walk.hpp"

namespace attn::gradient {
namespace {

/// States of the heads of values that read one head of keys: one job, so that what these heads share is added
/// up in their order.
class StatesBack {
  public:
    explicit StatesBack(Backward<double>& backward)
        : plan_(backward.plan()),
          rule_(*plan_.state),
          forward_(backward.forward()),
          operands_(forward_.operands()),
          d_queries_(of_read(backward, 0)),
          d_keys_(of_read(backward, 1)),
          d_values_(of_read(backward, 2)),
          d_decay_(rule_.decays ? &backward.at(Stage::decay) : nullptr),
          d_beta_(rule_.has_beta ? &backward.at(Stage::beta) : nullptr),
          d_context_(backward.at(Stage::context)),
          d_state_(backward.at(Stage::state)),
          d_states_(plan_.find_gradient(Stage::states)->shown ? &backward.at(Stage::states) : nullptr),
          quirks_(backward.quirks() ? &backward.quirks()->state : nullptr),
          d_past_(rule_.past ? backward.of_given(*rule_.past).data() : nullptr) {}

    /// \param key_head of the head axis of keys
    void run(Index batch, Index key_head) {
        for (Index h = 0; h < plan_.head_group; ++h) walk(batch, key_head * plan_.head_group + h);
    }

  private:
    /// The gradient of what the contexts read: queries, keys, values.
    static Grads<double>& of_read(Backward<double>& backward, std::size_t k) {
        return backward.at(backward.plan().find(Stage::context)->reads[k]);
    }
    /// The tokens after which a query reads the state: 0 is the past.
    Index after(Index batch, Index query) const {
        if (!plan_.causal) return plan_.keys;
        return std::clamp(query + plan_.offsets[idx(batch)] + 1, Index{0}, plan_.keys);
    }

    std::vector<StateReader> readers(Index batch, Index head) {
        std::vector<StateReader> out;
        for (Index i = 0; i < plan_.queries; ++i)
            for (Index h = 0; h < plan_.heads; ++h) {
                if (plan_.kv_head_of(h) != head) continue;
                const Index of = h / plan_.head_group;
                out.push_back({after(batch, i), operands_.queries.row(batch, of, i),
                               d_context_.row(batch, h, i), d_queries_.row(batch, of, i)});
            }
        return out;
    }

    void walk(Index batch, Index head) {
        const Index key_head = head / plan_.head_group, numbers = plan_.dim * plan_.value_dim;
        const Index place = (batch * plan_.kv_heads + head) * numbers;
        const auto rows = [&](const View<double>& x, Index h) {
            return RowsOf<const double>{x.row(batch, h, 0), x.token};
        };
        const auto rows_back = [&](Grads<double>* x, Index h) {
            return x ? RowsOf<double>{x->row(batch, h, 0), x->shape[3]} : RowsOf<double>{};
        };
        StateInputs in;
        in.delta = rule_.delta;
        in.normalizer = rule_.normalizer;
        in.tokens = plan_.keys;
        in.dim = plan_.dim;
        in.value_dim = plan_.value_dim;
        in.scale = plan_.factor();
        in.keys = rows(operands_.keys, key_head);
        in.values = rows(operands_.values, head);
        if (rule_.decays) in.decay = rows(forward_.of(Stage::decay), head);
        if (rule_.has_beta) in.beta = rows(forward_.of(Stage::beta), head);
        in.decay_by_column = rule_.decay_by_column;
        in.beta_by_column = rule_.beta_by_column;
        if (rule_.past) in.past = forward_.tensors()[*rule_.past].data() + place;
        double* const last = d_state_.values.data() + place;
        const std::vector<double> entering(last, last + numbers);
        in.d_state = entering.data();
        if (quirks_) in.quirks = *quirks_;
        StateGradients out;
        out.keys = rows_back(&d_keys_, key_head);
        out.values = rows_back(&d_values_, head);
        out.decay = rows_back(d_decay_, head);
        out.beta = rows_back(d_beta_, head);
        out.past = d_past_ ? d_past_ + place : nullptr;
        out.each_state = [&](Index token, const double* state) {
            if (token == plan_.keys - 1) std::copy_n(state, numbers, last);
            if (d_states_) std::copy_n(state, numbers, d_states_->row(batch, head, token * plan_.dim));
        };
        walk_back(in, readers(batch, head), out);
    }

    const Plan& plan_;
    const PlannedState& rule_;
    const Forward<double>& forward_;
    const Operands<double>& operands_;
    Grads<double>&d_queries_, &d_keys_, &d_values_;
    Grads<double>*d_decay_, *d_beta_;
    Grads<double>&d_context_, &d_state_;
    Grads<double>* d_states_;
    const StateQuirks* quirks_;
    double* d_past_;
};

}  // namespace

void through_states(Backward<double>& backward) {
    const Plan& plan = backward.plan();
    StatesBack back(backward);
    const Index heads = plan.kv_heads / plan.head_group;
    backward.forward().pool().run(plan.batch * heads,
                                  [&](Index job, int) { back.run(job / heads, job % heads); });
}

}  // namespace attn::gradient
