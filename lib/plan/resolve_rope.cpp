#include <algorithm>
#include <cmath>
#include <numbers>

#include "lib/input/choices.hpp"
#include "lib/plan/builder.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// A number that a type of scaling cannot do without.
double needed(const std::optional<double>& number, const char* name, RopeScalingType type) {
    if (!number)
        fail("/rope/scaling", "of type \"" + std::string(choice_name(type)) + "\" has no \"" + name + "\"");
    return *number;
}

/// How yarn scales the products of a sequence that is longer by a factor (Peng et al. 2023, equation 22).
double yarn_scale(double factor, double weight) {
    return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1;
}

/// Writes base, factors of the frequencies and amplitude of a scaled rotary embedding.
class Scaler {
  public:
    /// `longest`: the largest position + 1.
    Scaler(const RopeScaling& scaling, PlannedRope& rope, double longest)
        : s_(scaling), rope_(rope), longest_(longest) {}

    void apply() {
        rope_.scaling = s_.type;
        switch (s_.type) {
            case RopeScalingType::none:
                return;
            case RopeScalingType::linear:
                return each([by = factor()](Index) { return 1 / by; });
            case RopeScalingType::dynamic:
                return dynamic();
            case RopeScalingType::llama3:
                return llama3();
            case RopeScalingType::yarn:
                return yarn();
            case RopeScalingType::longrope:
                return longrope();
            case RopeScalingType::proportional:
                return proportional();
        }
    }

  private:
    double factor() const { return needed(s_.factor, "factor", s_.type); }
    template <class Of>
    void each(const Of& of) {
        std::vector<double> factors;
        for (Index n = 0; n < rope_.pairs(); ++n) factors.push_back(of(n));
        rope_.frequency_factors = std::move(factors);
    }

    /// "NTK-aware" with the length at hand: the base grows, so that the slowest pair turns no further than at
    /// the length of the training.
    void dynamic() {
        const double by = factor(),
                     length = needed(s_.max_position_embeddings, "max_position_embeddings", s_.type);
        if (longest_ <= length) return;
        const auto dims = static_cast<double>(rope_.dims);
        if (rope_.dims == 2)
            fail("/rope/scaling",
                 "of type \"dynamic\" changes the base by a power dims / (dims - 2), but 2 columns turn");
        rope_.base *= std::pow(by * longest_ / length - by + 1, dims / (dims - 2));
        if (!std::isfinite(rope_.base)) fail("/rope/scaling", "makes a base that is too large");
    }

    /// Llama 3.1: fast pairs stay, slow ones are divided, those between are mixed.
    void llama3() {
        const double by = factor(), low = needed(s_.low_freq_factor, "low_freq_factor", s_.type),
                     high = needed(s_.high_freq_factor, "high_freq_factor", s_.type),
                     old = needed(s_.original_max_position_embeddings, "original_max_position_embeddings",
                                  s_.type);
        if (high <= low)
            fail("/rope/scaling/high_freq_factor", "is " + significant(high, 9) +
                                                       ", expected more than low_freq_factor, " +
                                                       significant(low, 9));
        each([&](Index n) {
            const double turns = old * rope_.frequency(n) / (2 * std::numbers::pi);
            const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
            return kept + (1 - kept) / by;
        });
    }

    /// Peng et al. 2023, sections 3.2 and 3.4.
    void yarn() {
        if (!s_.original_max_position_embeddings && !s_.max_position_embeddings)
            needed(s_.original_max_position_embeddings, "original_max_position_embeddings", s_.type);
        const double old = s_.original_max_position_embeddings ? *s_.original_max_position_embeddings
                                                               : *s_.max_position_embeddings;
        if (!s_.factor && !s_.original_max_position_embeddings) factor();
        const double by =
            s_.factor ? *s_.factor : needed(s_.max_position_embeddings, "factor", s_.type) / old;
        if (!(rope_.base > 1)) fail("/rope/base", "is not above 1, as \"yarn\" needs it");
        const auto dims = static_cast<double>(rope_.dims);
        // The pair that turns so many times within the length of the training.
        const auto pair_of = [&](double turns) {
            return dims * std::log(old / (2 * std::numbers::pi * turns)) / (2 * std::log(rope_.base));
        };
        double low = pair_of(s_.beta_fast.value_or(32)), high = pair_of(s_.beta_slow.value_or(1));
        if (s_.truncate.value_or(true)) {
            low = std::floor(low);
            high = std::ceil(high);
        }
        low = std::max(low, 0.0);
        high = std::min(high, dims - 1);
        if (low == high) high += 0.001;
        each([&](Index n) {
            const double ramp = std::clamp((static_cast<double>(n) - low) / (high - low), 0.0, 1.0);
            return ramp / by + 1 - ramp;
        });
        const double scale = s_.mscale.value_or(0), all = s_.mscale_all_dim.value_or(0);
        rope_.amplitude = s_.attention_factor      ? *s_.attention_factor
                          : scale != 0 && all != 0 ? yarn_scale(by, scale) / yarn_scale(by, all)
                                                   : yarn_scale(by, 1);
        if (!(rope_.amplitude > 0 && std::isfinite(rope_.amplitude)))
            fail("/rope/scaling", "makes cosines and sines times " + significant(rope_.amplitude, 9) +
                                      ", expected a number above 0");
    }

    /// Ding et al. 2024: a divisor for each pair, others as soon as the sequence is longer than the training.
    void longrope() {
        if (!s_.original_max_position_embeddings && !s_.max_position_embeddings)
            needed(s_.original_max_position_embeddings, "original_max_position_embeddings", s_.type);
        const bool has_old = s_.original_max_position_embeddings.has_value();
        const double old = has_old ? *s_.original_max_position_embeddings : *s_.max_position_embeddings;
        const bool is_long = longest_ > old;
        const auto list = [&](const std::optional<std::vector<double>>& given, const char* name) {
            if (!given) fail("/rope/scaling", std::string("of type \"longrope\" has no \"") + name + "\"");
            if (static_cast<Index>(given->size()) != rope_.pairs())
                fail(child("/rope/scaling", name),
                     "has " + how_many(given->size(), "number", "numbers") + ", but " +
                         how_many(rope_.pairs(), "pair of columns turns", "pairs of columns turn"));
        };
        list(s_.short_factor, "short_factor");
        list(s_.long_factor, "long_factor");
        const std::vector<double>& by = is_long ? *s_.long_factor : *s_.short_factor;
        each([&](Index n) { return 1 / by[idx(n)]; });
        const bool from_lengths = has_old && s_.max_position_embeddings;
        if (s_.factor && (s_.attention_factor || from_lengths))
            rope_.factor_not_read =
                s_.attention_factor ? "attention_factor is given" : "both lengths are given";
        if (s_.attention_factor) {
            rope_.amplitude = *s_.attention_factor;
            return;
        }
        const double longer = from_lengths ? *s_.max_position_embeddings / old : factor();
        if (longer <= 1) return;
        if (!(old > 1)) fail("/rope/scaling", "has an original length that is not above 1");
        rope_.amplitude = std::sqrt(1 + std::log(longer) / std::log(old));
    }

    /// Gemma 4: pairs reach across the whole head, and the slow ones stand still.
    void proportional() {
        const double by = s_.factor.value_or(1), share = s_.partial_rotary_factor.value_or(1);
        if (share > 1) fail("/rope/scaling/partial_rotary_factor", "is above 1: a share of the columns");
        const auto turning = static_cast<Index>(share * static_cast<double>(rope_.dims) / 2);
        each([&](Index n) { return n < turning ? 1 / by : 0; });
    }

    const RopeScaling& s_;
    PlannedRope& rope_;
    double longest_;
};

/// Tables of cosines and sines: of half the width of what turns, or of all of it.
void place_tables(Builder& b, Rope& rope, PlannedRope& out, Index most) {
    const Shape& s = rope.cos->shape;
    const Index width = s.back();
    if (s.size() == 3 && s[0] != b.plan.batch && s[0] != 1)
        fail("/rope/cos",
             "is " + to_string(s) + ", but there are " + how_many(b.plan.batch, "batch item", "batch items"));
    if (rope.dims && *rope.dims != width && *rope.dims != 2 * width)
        fail("/rope/cos", "has " + how_many(width, "column", "columns") + ", but \"dims\" is " +
                              std::to_string(*rope.dims) + ": a table is as wide, or half as wide");
    out.by_column = rope.dims ? *rope.dims == width : 2 * width > most;
    out.dims = out.by_column ? width : 2 * width;
    if (out.dims > most)
        fail("/rope/cos",
             "turns " + std::to_string(out.dims) + " columns, but a head has " + std::to_string(most));
    if (out.dims % 2 != 0)
        fail("/rope/cos", "is as wide as what turns, " + std::to_string(out.dims) +
                              " columns, which is odd: columns turn in pairs");
    out.cos = b.add_tensor(std::move(*rope.cos));
    out.sin = b.add_tensor(std::move(*rope.sin));
}

}  // namespace

void scale_rope(const RopeScaling& scaling, PlannedRope& rope, double longest) {
    Scaler(scaling, rope, longest).apply();
}

double PlannedRope::frequency(Index pair) const {
    const double plain = std::pow(base, -2.0 * static_cast<double>(pair) / static_cast<double>(dims));
    return frequency_factors.empty() ? plain : plain * frequency_factors[idx(pair)];
}

void resolve_rope(Builder& b) {
    Plan& plan = b.plan;
    const Index shared = plan.projection(WeightRole::rope_key).d_out;
    if (b.problem.rope && plan.variant->is_latent() && shared == 0)
        fail("/rope",
             "turns the part of the keys that W_KR makes, but there is no \"W_KR\" among the weights",
             "keys that come from the latent are not rotated: a cache of latents could not be");
    if (!b.problem.rope && shared == 0) return;
    Rope rope = std::move(b.problem.rope).value_or(Rope{});
    if (shared > 0) {
        if (rope.dims && *rope.dims != shared)
            fail("/rope/dims", "is " + std::to_string(*rope.dims) + ", but W_KR makes " +
                                   std::to_string(shared) + " columns: those turn");
        if (rope.cos && 2 * rope.cos->shape.back() != shared && rope.cos->shape.back() != shared)
            fail("/rope/cos", "turns " + std::to_string(2 * rope.cos->shape.back()) +
                                  " columns, but W_KR makes " + std::to_string(shared));
        rope.dims = shared;
    }
    PlannedRope out;
    out.first_query = shared > 0 ? plan.dim - shared : 0;
    out.base = rope.base;
    out.interleaved = rope.interleaved;
    out.reverse = rope.reverse;
    if (plan.state && b.problem.past_state && !rope.cos && !rope.positions && !rope.query_positions)
        plan.warnings.emplace_back(
            "rope: positions begin at 0, because how many tokens past_state holds is not known");
    if (plan.dim % 2 != 0 && !rope.dims && !rope.cos)
        fail("/rope", "turns pairs of columns, but a head has " + how_many(plan.dim, "column", "columns"),
             "\"dims\" turns only the first columns");
    const auto as_many = [&](Index n, const std::string& where, const char* what) {
        if (plan.new_keys != plan.queries)
            fail(where,
                 std::string("serve") + (*what ? "" : "s") + " queries and keys, but there are " +
                     how_many(plan.queries, "query", "queries") + " and " +
                     how_many(plan.new_keys, "new key", "new keys"),
                 "\"query_positions\" and \"key_positions\" are two lists");
        if (n != plan.queries)
            fail(where, "has " + std::to_string(n) + " " + (*what ? what : "tokens") + ", but there are " +
                            how_many(plan.queries, "query", "queries"));
    };
    const auto for_items = [&](const Places& places, const std::string& where) {
        if (places.items != plan.batch && places.items != 1)
            fail(where, "has " + how_many(places.items, "list", "lists") + " of positions, but there are " +
                            how_many(plan.batch, "batch item", "batch items"));
    };
    if (rope.cos) {
        as_many(rope.cos->shape[rope.cos->shape.size() - 2], "/rope/cos", "");
        place_tables(b, rope, out, shared > 0 ? shared : plan.dim);
        plan.rope = std::move(out);
        return;
    }
    out.dims = rope.dims.value_or(plan.dim);
    if (rope.positions) {
        as_many(rope.positions->tokens(), "/rope/positions", "positions");
        for_items(*rope.positions, "/rope/positions");
        out.query_positions = out.key_positions = *rope.positions;
    } else {
        const auto own = [&](const std::optional<Places>& given, Index n, const char* name, const char* one,
                             const char* many) {
            if (!given) {
                const std::vector<Index> places = counted(n, plan.past);
                return Places{{places.begin(), places.end()}, 1};
            }
            const std::string where = child("/rope", name);
            if (given->tokens() != n)
                fail(where, "has " + std::to_string(given->tokens()) + " positions, but there are " +
                                how_many(n, one, many));
            for_items(*given, where);
            return *given;
        };
        out.query_positions = own(rope.query_positions, plan.queries, "query_positions", "query", "queries");
        out.key_positions = own(rope.key_positions, plan.new_keys, "key_positions", "new key", "new keys");
    }
    if (out.dims > plan.dim)
        fail("/rope/dims",
             "turns " + std::to_string(out.dims) + " columns, but a head has " + std::to_string(plan.dim));
    if (rope.scaling) {
        if (rope.scaling->type == RopeScalingType::proportional && out.dims != plan.dim && shared == 0)
            fail("/rope/dims",
                 "is " + std::to_string(out.dims) + ", but a \"proportional\" scaling turns all " +
                     std::to_string(plan.dim) + " columns",
                 "\"partial_rotary_factor\" says how many of its pairs turn");
        const auto last = [](const Places& p) {
            return p.numbers.empty() ? -1.0 : *std::max_element(p.numbers.begin(), p.numbers.end());
        };
        scale_rope(*rope.scaling, out, std::max(last(out.query_positions), last(out.key_positions)) + 1);
    }
    plan.rope = std::move(out);
}

}  // namespace attn
