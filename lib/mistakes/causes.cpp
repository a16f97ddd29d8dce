#include "lib/mistakes/causes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/mistakes/attempt.hpp"
#include "lib/mistakes/dropout_seen.hpp"
#include "lib/mistakes/measures.hpp"
#include "lib/mistakes/trial.hpp"
#include "lib/mistakes/tuning.hpp"

namespace attn {
namespace {

/// More numbers than this in the cells of a plan: a slice is tried first.
constexpr Index small_plan = Index{1} << 14;
constexpr std::size_t few_rows = 3, more_rows = 6;

/// One form of one mistake on its way.
struct Candidate {
    const Mistake* mistake;
    const Form* form;
    /// Where it is tried in pairs: its stages of the slice, and which of theirs these may be.
    HeldStages held = {};
    std::vector<bool> allowed = {};
};

/// A mistake that gives theirs, or two.
struct Fit {
    const Candidate *one, *other = nullptr;
    Left left = {};
};

double infinite() { return std::numeric_limits<double>::infinity(); }

/// Equal to nine digits.
bool same(const Numbers4& a, const Numbers4& b) {
    return a.values.size() == b.values.size() &&
           std::equal(a.values.begin(), a.values.end(), b.values.begin(), [](double x, double y) {
               return std::abs(x - y) <= 1e-9 * (1 + std::abs(y)) || x == y ||
                      (std::isnan(x) && std::isnan(y));
           });
}

/// Rows and items on which mistakes are tried: our stages, and how far they are from theirs.
struct Ground {
    Slice slice;
    HeldStages base;
    std::vector<Distance> ours;
};

class Search {
  public:
    Search(const Plan& plan, const StageSet& theirs, const Tolerance& tolerance)
        : replay_(plan), trials_(replay_, theirs, tolerance), theirs_(theirs), tolerance_(tolerance) {}

    CauseReport run(const CauseOptions& options);

  private:
    Slice slice_of(std::size_t rows) const;
    Deviation deviation(const Candidate& a, const Candidate* b) const;
    HeldStages given_for(const HeldStages& held, const Form& form) const;
    Ground ground_of(const Slice& slice) const;
    std::optional<Left> left_by(const Candidate& candidate);
    void singles();
    void tune();
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
    std::vector<Distance> whole_;  ///< between ours and theirs
    /// Mistakes are tried on few rows; what is measured and sought takes more.
    Ground few_, more_;
    std::vector<Candidate> candidates_;
    std::vector<Fit> fits_;
    std::vector<Mistake> tuned_;  ///< mistakes whose numbers were sought
    std::vector<Candidate> of_tuned_;
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
        if ((after_weights(s.stage) || is_values(s.stage)) && !stands_before(s.stage, form.first))
            out[s.stage] = nullptr;
    return out;
}

Ground Search::ground_of(const Slice& slice) const {
    Deviation none = replay_.none();
    none.plan.batch = slice.items;
    HeldStages base = replay_.run(none, {}, slice);
    std::vector<Distance> ours = trials_.distances(base);
    return {slice, std::move(base), std::move(ours)};
}

/// A mistake alone. What is rounded needs many numbers to be seen.
std::optional<Left> Search::left_by(const Candidate& c) {
    const bool rounding = c.mistake->is_rounding();
    const Ground& ground = rounding ? more_ : few_;
    const Index batch = replay_.plan().batch;
    const bool all_items = c.form->mixes_items && ground.slice.items != batch;
    Deviation d = deviation(c, nullptr);
    Slice part = ground.slice;
    d.plan.batch = part.items = all_items ? batch : part.items;
    ++tried_;
    Attempt attempt(trials_, all_items ? whole_ : ground.ours, rounding);
    const HeldStages given = all_items ? HeldStages{} : given_for(ground.base, *c.form);
    return attempt.left(replay_.run(d, given, part, trials_.kept(), attempt.watch(ground.base)));
}

void Search::singles() {
    for (const Mistake& m : catalogue_.mistakes)
        for (const Form& f : m.forms) {
            candidates_.push_back({&m, &f});
            if (const auto left = left_by(candidates_.back()))
                fits_.push_back({&candidates_.back(), nullptr, *left});
        }
}

/// Numbers that are wrong in one place: sought, where theirs has many more numbers than that one.
void Search::tune() {
    constexpr Index least_numbers = 6;
    Index outside = 0;
    for (std::size_t k = 0; k < whole_.size(); ++k)
        if (!whole_[k].close() && trials_.is_finite(k)) outside = std::max(outside, whole_[k].outside);
    if (outside < least_numbers) return;
    tuned_ = tuned_mistakes(replay_, [this](const Tunable& t, double x) {
        Deviation d = replay_.none();
        t.make(d, x);
        d.plan.batch = more_.slice.items;
        ++tried_;
        const HeldStages given = replay_.before(more_.base, t.first);
        return trials_.residuals(replay_.run(d, given, more_.slice, trials_.kept()));
    });
    std::size_t forms = 0;
    for (const Mistake& m : tuned_) forms += m.forms.size();
    of_tuned_.reserve(forms);
    for (const Mistake& m : tuned_)
        for (const Form& f : m.forms) {
            of_tuned_.push_back({&m, &f});
            if (const auto left = left_by(of_tuned_.back()))
                fits_.push_back({&of_tuned_.back(), nullptr, *left});
        }
}

/// What is named has to give every number, not only those of the slice.
void Search::confirm() {
    std::vector<Fit> kept;
    for (Fit& f : fits_) {
        if (!few_.slice.rows.empty() || few_.slice.items != replay_.plan().batch) {
            const Attempt attempt(trials_, whole_, f.one->mistake->is_rounding());
            const auto left = attempt.left(trials_.whole(deviation(*f.one, f.other)));
            if (!left) continue;
            f.left = *left;
        }
        kept.push_back(f);
    }
    fits_ = std::move(kept);
    if (fits_.empty()) return;
    // A mistake that gives also what agrees goes before one that does not; then the nearest.
    const bool some_all =
        std::any_of(fits_.begin(), fits_.end(), [](const Fit& f) { return f.left.all_stages; });
    double best = infinite();
    for (const Fit& f : fits_)
        if (f.left.all_stages || !some_all) best = std::min(best, f.left.rms);
    std::erase_if(fits_, [&](const Fit& f) {
        return (some_all && !f.left.all_stages) || f.left.rms > 3 * best + 1e-12;
    });
    const auto said_by_another = [&](const Fit& f) {
        return !f.other && std::any_of(fits_.begin(), fits_.end(), [&](const Fit& o) {
            return !o.other && o.one->mistake->row->is_in_place_of(f.one->mistake->row->id);
        });
    };
    fits_.erase(
        std::stable_partition(fits_.begin(), fits_.end(), [&](const Fit& f) { return !said_by_another(f); }),
        fits_.end());
}

void Search::pairs() {
    // Alone on few rows: what changes nothing, or the same as another, has no part in a pair.
    candidates_.clear();
    std::vector<Candidate> alone;
    const Attempt judge(trials_, few_.ours, false);
    // The last stage that the others lead to; where there is none, what was asked for beside them.
    const auto& compared = trials_.stages();
    const auto last = std::find_if(compared.rbegin(), compared.rend(),
                                   [](const PlannedStage* s) { return !info_of(s->stage).on_request; });
    const Stage last_stage = last == compared.rend() ? compared.back()->stage : (*last)->stage;
    const auto last_numbers = [&](const HeldStages& held) -> const Numbers4& { return *held[last_stage]; };
    for (const Mistake& m : catalogue_.mistakes) {
        if (!m.in_pairs()) continue;
        for (const Form& f : m.forms) {
            if (f.mixes_items && few_.slice.items != replay_.plan().batch) continue;
            Candidate c{&m, &f};
            Deviation d = deviation(c, nullptr);
            d.plan.batch = few_.slice.items;
            c.held = replay_.run(d, given_for(few_.base, f), few_.slice);
            if (!c.held[compared.back()->stage]) continue;  // it ends in another stage than theirs
            const bool rows_of_base =
                last_numbers(c.held).values.size() != last_numbers(few_.base).values.size() ||
                c.held.rows == few_.base.rows;
            if (rows_of_base && same(last_numbers(c.held), last_numbers(few_.base))) continue;
            if (std::any_of(alone.begin(), alone.end(), [&](const Candidate& o) {
                    return same(last_numbers(c.held), last_numbers(o.held));
                }))
                continue;
            for (std::size_t k = 0; k < compared.size(); ++k)
                c.allowed.push_back(judge.allows(k, trials_.distance(k, c.held)));
            alone.push_back(std::move(c));
        }
    }
    candidates_ = std::move(alone);
    for (std::size_t i = 0; i < candidates_.size(); ++i)
        for (std::size_t j = i + 1; j < candidates_.size(); ++j) {
            const Candidate *a = &candidates_[i], *b = &candidates_[j];
            if (a->mistake->row == b->mistake->row && a->mistake->id == b->mistake->id) continue;
            // The one that begins earlier is there already, up to where the other begins.
            const bool turned = stands_before(b->form->first, a->form->first);
            const Candidate *early = turned ? b : a, *late = turned ? a : b;
            const HeldStages given = given_for(early->held, *late->form);
            ++tried_;
            bool wrong_already = false;
            for (std::size_t k = 0; k < compared.size(); ++k)
                wrong_already = wrong_already || (given[compared[k]->stage] && !early->allowed[k]);
            if (wrong_already) continue;
            Deviation d = deviation(*a, b);
            d.plan.batch = few_.slice.items;
            Attempt attempt(trials_, few_.ours, false);
            if (const auto left =
                    attempt.left(replay_.run(d, given, few_.slice, trials_.kept(), attempt.watch(few_.base))))
                fits_.push_back({a, b, *left});
        }
}

Cause Search::cause_of(const Fit& fit) const {
    Cause out;
    out.id = fit.one->mistake->id;
    for (std::size_t k = 0; k < whole_.size(); ++k)
        if (!whole_[k].close()) out.fits.emplace_back(trials_.stages()[k]->name);
    const auto words = [](const Candidate& c) {
        std::string detail = c.form->detail;
        if (c.form->measured) detail += (detail.empty() ? "" : "; ") + words_of(*c.form->measured);
        if (!detail.empty()) detail = " (" + detail + ")";
        const std::string hint = c.form->hint.empty() ? std::string(c.mistake->row->hint) : c.form->hint;
        return std::string(c.mistake->row->did) + detail + ": " + hint;
    };
    out.hint = words(*fit.one);
    out.measured = fit.one->form->measured;
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
        std::vector<Distance> ours =
            trials_.distances(replay_.run(replay_.none(), given, {}, trials_.kept()));
        std::fill_n(ours.begin(), k, Distance{});
        if (ours[k].close()) continue;
        // Theirs is ours again: what came before did no harm, and nothing is to be explained.
        if (std::all_of(whole_.begin() + static_cast<std::ptrdiff_t>(k), whole_.end(),
                        [](const Distance& d) { return d.close(); }))
            return false;
        for (const Candidate& c : candidates_) {
            ++tried_;
            Attempt attempt(trials_, ours, c.mistake->is_rounding());
            if (const auto left = attempt.left(
                    replay_.run(deviation(c, nullptr), given, {}, trials_.kept(), attempt.watch(given))))
                fits_.push_back({&c, nullptr, *left});
        }
        if (fits_.empty()) return false;
        const auto best = std::min_element(fits_.begin(), fits_.end(), [](const Fit& a, const Fit& b) {
                              return a.left.rms < b.left.rms;
                          })->left.rms;
        std::erase_if(fits_, [&](const Fit& f) { return f.left.rms > 3 * best + 1e-12; });
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
    const bool held = p.state || trials_.rows_at_once() == p.queries;  // few enough to be held whole
    HeldStages ours;
    if (held) ours = replay_.run(replay_.none(), {}, {});
    whole_ = held ? trials_.distances(ours) : trials_.whole(replay_.none());
    if (std::all_of(whole_.begin(), whole_.end(), [](const Distance& d) { return d.close(); })) return out;
    if (held) out.findings = harmless_of(replay_, theirs_, ours, tolerance_);
    if (!out.findings.empty()) return out;
    bool any_finite = false;
    for (std::size_t k = 0; k < whole_.size(); ++k)
        any_finite = any_finite || (!whole_[k].close() && trials_.is_finite(k));
    if (!any_finite) {
        if (held) out.findings = findings_of(theirs_, our_stages(ours), tolerance_);
        return out;
    }
    const bool small = p.state || p.batch * p.heads * p.queries * p.keys <= small_plan;
    more_ = ground_of(small ? Slice{p.batch, {}} : slice_of(more_rows));
    few_ = small ? more_ : ground_of(slice_of(few_rows));
    const Measures measures(replay_, theirs_, more_.base);
    catalogue_ = catalogue_of(replay_, &measures);
    std::size_t forms = 0;
    for (const Mistake& m : catalogue_.mistakes) forms += m.forms.size();
    candidates_.reserve(forms);
    singles();
    confirm();
    if (fits_.empty()) {
        tune();
        confirm();
    }
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
