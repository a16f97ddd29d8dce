#include "lib/mistakes/causes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/mistakes/dropout_seen.hpp"
#include "lib/mistakes/trial.hpp"

namespace attn {
namespace {

/// More numbers than this in the cells of a plan: a slice is tried first.
constexpr Index small_plan = Index{1} << 14;
constexpr std::size_t slice_rows = 6, pair_rows = 3;
/// A cause leaves less than this share of what differs.
constexpr double left_over = 0.1, left_over_rounding = 0.2;

/// One form of one mistake on its way.
struct Candidate {
    const Mistake* mistake;
    const Form* form;
    HeldStages held;       ///< of the slice
    bool changes = false;  ///< some number of theirs' stages on the slice
    bool repeats = false;  ///< the same numbers as a candidate before it
};

/// A fit: how much is left of what differs.
struct Fit {
    const Candidate *one, *other = nullptr;
    double left = 0;
    bool all_stages = true;  ///< also those that agree with ours
};

double infinite() { return std::numeric_limits<double>::infinity(); }

class Search {
  public:
    Search(const Plan& plan, const StageSet& theirs, const Tolerance& tolerance)
        : replay_(plan), trials_(replay_, theirs, tolerance), theirs_(theirs), tolerance_(tolerance) {}

    CauseReport run(const CauseOptions& options);

  private:
    void choose_slices();
    Slice slice_of(std::size_t rows) const;
    Deviation deviation(const Candidate& a, const Candidate* b) const;
    HeldStages given_for(const HeldStages& held, const Form& form) const;
    bool fits(const std::vector<Distance>& ours, const std::vector<Distance>& now, bool rounding,
              Fit& fit) const;
    void singles(const Slice& slice);
    void pairs();
    void confirm();
    bool after_theirs(CauseReport& out);
    void report(CauseReport& out) const;
    StageSet our_stages(const HeldStages& held) const;
    Cause cause_of(const Fit& fit) const;

    Replay replay_;
    Trials trials_;
    const StageSet& theirs_;
    Tolerance tolerance_;
    Catalogue catalogue_;
    std::vector<Distance> whole_, sliced_;  ///< between ours and theirs
    Slice slice_;
    HeldStages base_;
    std::vector<Candidate> candidates_;
    std::vector<Fit> fits_;
    int tried_ = 0;
};

/// Items and rows of the slices: those that differ most, the first, the last, some between.
Slice Search::slice_of(std::size_t rows) const {
    const Plan& p = replay_.plan();
    Slice out;
    out.items = p.batch;
    if (p.state) return out;
    for (const Distance& d : whole_)
        if (!d.close() && d.worst_row < p.queries && out.rows.size() + 1 < rows)
            out.rows.push_back(d.worst_row);
    const std::size_t missing = rows > out.rows.size() ? rows - out.rows.size() : 0;
    for (std::size_t k = 0; k < missing; ++k)
        out.rows.push_back(missing == 1
                               ? p.queries - 1
                               : static_cast<Index>(k) * (p.queries - 1) / static_cast<Index>(missing - 1));
    std::sort(out.rows.begin(), out.rows.end());
    out.rows.erase(std::unique(out.rows.begin(), out.rows.end()), out.rows.end());
    if (static_cast<Index>(out.rows.size()) == p.queries) out.rows.clear();
    // One item is enough where it differs; a dropout mask of stacked heads is drawn for all of them.
    const bool first_differs = std::any_of(whole_.begin(), whole_.end(),
                                           [](const Distance& d) { return !d.close() && d.worst_item == 0; });
    if (first_differs && !p.heads_first_dropout) out.items = 1;
    return out;
}

Deviation Search::deviation(const Candidate& a, const Candidate* b) const {
    Deviation d = replay_.none();
    a.form->make(d);
    if (b) b->form->make(d);
    return d;
}

/// What a mistake leaves as it is.
HeldStages Search::given_for(const HeldStages& held, const Form& form) const {
    if (!form.values_only) return replay_.before(held, form.first);
    HeldStages out = held;
    const auto after_weights = [](Stage s) {
        return info_of(s).phase != Phase::source && info_of(s).phase != Phase::cells;
    };
    for (const StageInfo& s : all_stages())
        if (after_weights(s.stage)
                ? !after_weights(form.first) || !stands_before(s.stage, form.first)
                : (s.stage == Stage::values && form.first == Stage::values) || s.stage == Stage::all_values)
            out[s.stage] = nullptr;
    return out;
}

/// Whether a mistake gives their numbers in every stage that differs from ours.
bool Search::fits(const std::vector<Distance>& ours, const std::vector<Distance>& now, bool rounding,
                  Fit& fit) const {
    bool any = false, differs = false;
    fit.left = 0;
    fit.all_stages = true;
    for (std::size_t k = 0; k < now.size(); ++k) {
        const Distance& a = ours[k];
        const Distance& b = now[k];
        const bool close = rounding ? b.strange == 0 && b.outside * 50 <= b.count : b.reached();
        if (a.close()) {
            // A stage before what differs may not be what they went on with; one after it is made from it.
            if (differs && !rounding && !b.reached()) return false;
            fit.all_stages = fit.all_stages && b.reached();
            continue;
        }
        differs = true;
        if (!close) return false;
        if (rounding && !a.looks_rounded()) return false;
        any = any || trials_.is_finite(k);
        const double share = rounding ? left_over_rounding : left_over;
        if (a.strange == 0 && b.rms() > share * a.rms()) return false;
        fit.left = std::max(fit.left, b.rms());
    }
    return any;
}

void Search::singles(const Slice& slice) {
    slice_ = slice;
    Deviation none = replay_.none();
    none.plan.batch = slice.items;
    base_ = replay_.run(none, {}, slice);
    sliced_ = trials_.distances(base_);
    for (const Mistake& m : catalogue_.mistakes)
        for (const Form& f : m.forms) {
            Candidate c{&m, &f, {}, false, false};
            Deviation d = deviation(c, nullptr);
            d.plan.batch = slice.items;
            c.held = replay_.run(d, given_for(base_, f), slice, trials_.kept());
            ++tried_;
            Fit fit{nullptr};
            candidates_.push_back(std::move(c));
            if (fits(sliced_, trials_.distances(candidates_.back().held), m.is_rounding(), fit))
                fits_.push_back({&candidates_.back(), nullptr, fit.left, fit.all_stages});
            candidates_.back().held = {};
        }
}

/// What is named has to give every number, not only those of the slice.
void Search::confirm() {
    std::vector<Fit> kept;
    for (Fit& f : fits_) {
        if (!slice_.rows.empty() || slice_.items != replay_.plan().batch) {
            const bool rounding = f.one->mistake->is_rounding();
            const Deviation d = deviation(*f.one, f.other);
            if (!fits(whole_, trials_.whole(d), rounding, f)) continue;
        }
        kept.push_back(f);
    }
    fits_ = std::move(kept);
    if (fits_.empty()) return;
    // A mistake that gives also what agrees goes before one that does not; then the nearest.
    const bool some_all = std::any_of(fits_.begin(), fits_.end(), [](const Fit& f) { return f.all_stages; });
    double best = infinite();
    for (const Fit& f : fits_)
        if (f.all_stages || !some_all) best = std::min(best, f.left);
    std::erase_if(fits_,
                  [&](const Fit& f) { return (some_all && !f.all_stages) || f.left > 3 * best + 1e-12; });
}

void Search::pairs() {
    const Slice slice = slice_of(pair_rows);
    // Alone on the smaller slice: what changes nothing, or the same as another, has no part in a pair.
    candidates_.clear();
    std::vector<Candidate> alone;
    Deviation none = replay_.none();
    none.plan.batch = slice.items;
    const HeldStages base = replay_.run(none, {}, slice);
    const std::vector<Distance> ours = trials_.distances(base);
    // The last stage that the others lead to; where there is none, what was asked for beside them.
    const auto& compared = trials_.stages();
    const auto last = std::find_if(compared.rbegin(), compared.rend(),
                                   [](const PlannedStage* s) { return !info_of(s->stage).on_request; });
    const Stage last_stage = last == compared.rend() ? compared.back()->stage : (*last)->stage;
    const auto last_numbers = [&](const HeldStages& held) -> const Numbers4& { return *held[last_stage]; };
    for (const Mistake& m : catalogue_.mistakes) {
        if (m.is_rounding()) continue;
        for (const Form& f : m.forms) {
            Candidate c{&m, &f, {}, false, false};
            Deviation d = deviation(c, nullptr);
            d.plan.batch = slice.items;
            c.held = replay_.run(d, given_for(base, f), slice);
            if (!c.held[trials_.stages().back()->stage]) continue;  // it ends in another stage than theirs
            const auto same = [&](const HeldStages& other) {
                const auto &x = last_numbers(c.held).values, &y = last_numbers(other).values;
                if (x.size() != y.size()) return false;
                for (std::size_t k = 0; k < x.size(); ++k)
                    if (!(std::abs(x[k] - y[k]) <= 1e-9 * (1 + std::abs(y[k])) || x[k] == y[k] ||
                          (std::isnan(x[k]) && std::isnan(y[k]))))
                        return false;
                return true;
            };
            if (last_numbers(c.held).values.size() != last_numbers(base).values.size() ||
                c.held.rows == base.rows)
                if (same(base)) continue;
            if (std::any_of(alone.begin(), alone.end(), [&](const Candidate& o) { return same(o.held); }))
                continue;
            alone.push_back(std::move(c));
        }
    }
    candidates_ = std::move(alone);
    slice_ = slice;
    for (std::size_t i = 0; i < candidates_.size(); ++i)
        for (std::size_t j = i + 1; j < candidates_.size(); ++j) {
            const Candidate *a = &candidates_[i], *b = &candidates_[j];
            if (a->mistake->row == b->mistake->row && a->mistake->id == b->mistake->id) continue;
            // The one that begins earlier is there already, up to where the other begins.
            const bool turned = stands_before(b->form->first, a->form->first);
            const Candidate *early = turned ? b : a, *late = turned ? a : b;
            Deviation d = deviation(*a, b);
            d.plan.batch = slice.items;
            const HeldStages held =
                replay_.run(d, given_for(early->held, *late->form), slice, trials_.kept());
            ++tried_;
            Fit fit{nullptr};
            if (fits(ours, trials_.distances(held), false, fit))
                fits_.push_back({a, b, fit.left, fit.all_stages});
        }
}

Cause Search::cause_of(const Fit& fit) const {
    Cause out;
    out.id = fit.one->mistake->id;
    for (std::size_t k = 0; k < whole_.size(); ++k)
        if (!whole_[k].close()) out.fits.emplace_back(trials_.stages()[k]->name);
    const auto words = [](const Candidate& c) {
        const std::string detail = c.form->detail.empty() ? "" : " (" + c.form->detail + ")";
        const std::string hint = c.form->hint.empty() ? std::string(c.mistake->row->hint) : c.form->hint;
        return std::string(c.mistake->row->did) + detail + ": " + hint;
    };
    out.hint = words(*fit.one);
    if (fit.other) {
        out.with.push_back(fit.other->mistake->id);
        out.hint += "; and " + words(*fit.other);
    }
    return out;
}

void Search::report(CauseReport& out) const {
    std::vector<const Fit*> reported;
    for (const Fit& f : fits_) {
        // Of one row, the first that fits: a mask that is left out alone, and all of them.
        const bool there = std::any_of(reported.begin(), reported.end(), [&](const Fit* o) {
            return o->one->mistake->row == f.one->mistake->row && !o->other == !f.other &&
                   (!f.other || o->other->mistake->row == f.other->mistake->row);
        });
        if (there) continue;
        reported.push_back(&f);
        out.causes.push_back(cause_of(f));
    }
}

/// Where an earlier stage is wrong in an unknown way: the first later one that does not follow from theirs,
/// and the mistakes that make it from theirs.
bool Search::after_theirs(CauseReport& out) {
    const auto& stages = trials_.stages();
    HeldStages given;
    given.rows = given.merged_rows = counted(replay_.plan().queries);
    for (std::size_t k = 1; k < stages.size(); ++k) {
        const PlannedStage& before = *stages[k - 1];
        auto numbers = std::make_shared<Numbers4>(replay_.shape_of(before));
        numbers->values = find(theirs_, before.stage)->values;
        given[before.stage] = numbers;
        const auto distances = [&](const Deviation& d) {
            std::vector<Distance> all = trials_.distances(replay_.run(d, given, {}, trials_.kept()));
            std::fill_n(all.begin(), k, Distance{});
            return all;
        };
        const std::vector<Distance> ours = distances(replay_.none());
        if (ours[k].close()) continue;
        // Theirs is ours again: what came before did no harm, and nothing is to be explained.
        if (std::all_of(whole_.begin() + static_cast<std::ptrdiff_t>(k), whole_.end(),
                        [](const Distance& d) { return d.close(); }))
            return false;
        for (const Candidate& c : candidates_) {
            Fit fit{&c};
            ++tried_;
            if (fits(ours, distances(deviation(c, nullptr)), c.mistake->is_rounding(), fit))
                fits_.push_back(fit);
        }
        if (fits_.empty()) return false;
        const auto best = std::min_element(fits_.begin(), fits_.end(), [](const Fit& a, const Fit& b) {
                              return a.left < b.left;
                          })->left;
        std::erase_if(fits_, [&](const Fit& f) { return f.left > 3 * best + 1e-12; });
        report(out);
        for (Cause& c : out.causes) {
            c.fits.clear();
            for (std::size_t j = k; j < stages.size(); ++j)
                if (!ours[j].close()) c.fits.emplace_back(stages[j]->name);
        }
        return true;
    }
    return false;
}

StageSet Search::our_stages(const HeldStages& held) const {
    StageSet out;
    for (const PlannedStage* s : trials_.stages()) {
        const auto shape = replay_.shape_of(*s);
        if (held[s->stage])
            out.push_back({s->stage, {shape.begin(), shape.end()}, held[s->stage]->values, {}});
    }
    return out;
}

CauseReport Search::run(const CauseOptions& options) {
    CauseReport out;
    const Plan& p = replay_.plan();
    whole_ = trials_.whole(replay_.none());
    if (std::all_of(whole_.begin(), whole_.end(), [](const Distance& d) { return d.close(); })) return out;
    const bool held = p.state || trials_.rows_at_once() == p.queries;  // few enough to be held whole
    HeldStages ours;
    if (held) ours = replay_.run(replay_.none(), {}, {});
    if (held) out.findings = harmless_of(replay_, theirs_, ours, tolerance_);
    if (!out.findings.empty()) return out;
    bool any_finite = false;
    for (std::size_t k = 0; k < whole_.size(); ++k)
        any_finite = any_finite || (!whole_[k].close() && trials_.is_finite(k));
    if (!any_finite) {
        if (held) out.findings = findings_of(theirs_, our_stages(ours), tolerance_);
        return out;
    }
    catalogue_ = catalogue_of(replay_);
    std::size_t forms = 0;
    for (const Mistake& m : catalogue_.mistakes) forms += m.forms.size();
    candidates_.reserve(forms);
    const bool small = p.state || p.batch * p.heads * p.queries * p.keys <= small_plan;
    singles(small ? Slice{p.batch, {}} : slice_of(slice_rows));
    confirm();
    if (fits_.empty()) {
        if (const auto seen = dropout_seen(replay_, theirs_)) {
            out.causes.push_back(*seen);
            for (std::size_t k = 0; k < whole_.size(); ++k)
                if (!whole_[k].close()) out.causes.back().fits.emplace_back(trials_.stages()[k]->name);
        }
        ++tried_;
    }
    if (fits_.empty() && out.causes.empty() && options.pairs) {
        const std::vector<Candidate> alone = std::move(candidates_);
        pairs();
        confirm();
        if (fits_.empty()) candidates_ = alone;
    }
    const bool known = !fits_.empty() || !out.causes.empty();
    if (known) {
        report(out);
    } else if (held && !p.state) {
        after_theirs(out);
    }
    out.tried = tried_;
    if (!known && held) out.findings = findings_of(theirs_, our_stages(ours), tolerance_);
    return out;
}

}  // namespace

CauseReport find_causes(const Plan& plan, const StageSet& theirs, const Tolerance& tolerance,
                        const CauseOptions& options) {
    return Search(plan, theirs, tolerance).run(options);
}

}  // namespace attn
