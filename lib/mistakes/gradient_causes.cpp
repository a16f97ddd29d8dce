// Which mistake of a backward pass gives somebody's gradients.
#include <algorithm>
#include <cmath>

#include "lib/mistakes/gradient_mistakes.hpp"
#include "lib/mistakes/trial.hpp"
#include "lib/replay/replayed.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// A cause leaves less than this share of what differs.
constexpr double left_by_cause = 0.1;

/// One of their gradients.
struct Wanted {
    std::size_t place;
    const WholeStage* theirs;
    Tolerance tolerance;
};

struct GradientFit {
    const GradientMistakeRow* row;
    const GradientForm* form;
    double left;
};

class GradientSearch {
  public:
    GradientSearch(const Plan& plan, const StageSet& theirs, const StageSet& gradients,
                   const Tolerance& tolerance)
        : replay_(plan), backward_(replay_), theirs_(theirs), gradients_(gradients), tolerance_(tolerance) {}

    CauseReport run() {
        CauseReport out;
        forward_ = backward_.forward(held_of(replay_, theirs_));
        const HeldGradients ours = backward_.run({}, forward_, {});
        want(ours);
        std::vector<Distance> before = distances(ours);
        const auto differ = [](const std::vector<Distance>& all) {
            return std::any_of(all.begin(), all.end(), [](const Distance& d) { return !d.close(); });
        };
        if (!differ(before)) return out;
        const bool finite = std::any_of(wanted_.begin(), wanted_.end(), [](const Wanted& w) {
            return std::any_of(w.theirs->values.begin(), w.theirs->values.end(),
                               [](double x) { return std::isfinite(x); });
        });
        if (!finite) return out;
        make_forms(ours);
        HeldGradients given(ours.size());
        try_all(given, before, 0);
        if (fits_.empty()) after_theirs(before);
        report(before, out);
        out.tried = tried_;
        if (out.causes.empty()) say_findings(ours, out);
        return out;
    }

  private:
    void want(const HeldGradients& ours) {
        double largest = 0;
        for (const WholeStage& g : gradients_)
            if (const auto place = backward_.place(g.gradient); place && ours[*place])
                largest = std::max(largest, largest_of(ours[*place]->values));
        for (std::size_t k = 0; k < ours.size(); ++k) {
            const WholeStage* g = find_gradient(gradients_, backward_.plan().gradients[k].name);
            if (!g || !ours[k] || g->values.size() != ours[k]->values.size()) continue;
            wanted_.push_back({k, g, gradient_tolerance(tolerance_, largest_of(ours[k]->values), largest)});
        }
    }

    Distance distance(const Wanted& w, const Held& ours) const {
        Distance out;
        const Index width = ours->shape[3];
        for (std::size_t row = 0; row < ours->values.size(); row += idx(std::max<Index>(width, 1))) {
            double size = 0;
            for (std::size_t k = row; k < row + idx(width); ++k)
                if (std::isfinite(ours->values[k])) size = std::max(size, std::abs(ours->values[k]));
            for (std::size_t k = row; k < row + idx(width); ++k)
                out.add(w.theirs->values[k], ours->values[k], w.theirs->slack(k), w.tolerance, size);
        }
        return out;
    }
    std::vector<Distance> distances(const HeldGradients& held) const {
        std::vector<Distance> out;
        for (const Wanted& w : wanted_) out.push_back(distance(w, held[w.place]));
        return out;
    }

    void make_forms(const HeldGradients& ours) {
        for (const GradientMistakeRow& row : all_gradient_mistakes()) {
            if (!row.applies(replay_).empty()) continue;
            GradientForms forms = row.make(replay_);
            if (row.id == "upstream_scaled") forms = measured_factor(ours);
            for (GradientForm& form : forms) forms_.push_back({&row, std::move(form)});
        }
    }

    /// Theirs over ours, by the first that differs.
    GradientForms measured_factor(const HeldGradients& ours) const {
        for (const Wanted& w : wanted_) {
            double xy = 0, yy = 0;
            for (std::size_t k = 0; k < w.theirs->values.size(); ++k) {
                const double x = w.theirs->values[k], y = ours[w.place]->values[k];
                if (!std::isfinite(x) || !std::isfinite(y)) continue;
                xy += x * y;
                yy += y * y;
            }
            if (yy == 0 || distance(w, ours[w.place]).close()) continue;
            const double factor = xy / yy;
            if (!std::isfinite(factor) || factor == 0) return {};
            return {entering_times(factor, replay_.plan())};
        }
        return {};
    }

    /// From the first on that has to be explained, all have to be theirs.
    void try_all(const HeldGradients& given, const std::vector<Distance>& before, std::size_t first) {
        for (const auto& [row, form] : forms_) {
            BackwardDeviation d;
            form.make(d);
            ++tried_;
            const std::vector<Distance> now = distances(backward_.run(d, forward_, given));
            double left = 0;
            bool fits = true;
            for (std::size_t k = first; k < now.size() && fits; ++k) {
                fits = now[k].reached() && (before[k].close() || before[k].strange != 0 ||
                                            now[k].rms() <= left_by_cause * before[k].rms());
                const double size = largest_of(wanted_[k].theirs->values);
                left = std::max(left, now[k].rms() / (size > 0 ? size : 1));
            }
            if (fits) fits_.push_back({row, &form, left});
        }
        if (fits_.empty()) return;
        const double best =
            std::min_element(fits_.begin(), fits_.end(), [](const GradientFit& a, const GradientFit& b) {
                return a.left < b.left;
            })->left;
        std::erase_if(fits_, [&](const GradientFit& f) { return f.left > 3 * best + 1e-7; });
        // A factor that was measured says less than a step that makes it.
        const auto is_measured = [](const GradientFit& f) { return f.row->id == "upstream_scaled"; };
        if (!std::all_of(fits_.begin(), fits_.end(), is_measured)) std::erase_if(fits_, is_measured);
    }

    /// Where an earlier one is wrong in an unknown way: the first later one that does not follow from theirs,
    /// and the mistakes that make it from theirs.
    void after_theirs(std::vector<Distance>& before) {
        HeldGradients given(backward_.plan().gradients.size());
        for (std::size_t k = 0; k + 1 < wanted_.size(); ++k) {
            const Wanted& w = wanted_[k];
            auto numbers = std::make_shared<Numbers4>(backward_.shape_of(w.place));
            numbers->values = w.theirs->values;
            given[w.place] = std::move(numbers);
            std::vector<Distance> ours = distances(backward_.run({}, forward_, given));
            std::fill_n(ours.begin(), k + 1, Distance{});
            if (ours[k + 1].close()) continue;
            if (std::all_of(before.begin() + static_cast<std::ptrdiff_t>(k + 1), before.end(),
                            [](const Distance& d) { return d.close(); }))
                return;
            try_all(given, ours, k + 1);
            if (!fits_.empty()) before = std::move(ours);
            return;
        }
    }

    void report(const std::vector<Distance>& before, CauseReport& out) const {
        std::vector<const GradientMistakeRow*> named;
        for (const GradientFit& f : fits_) {
            if (std::find(named.begin(), named.end(), f.row) != named.end()) continue;
            named.push_back(f.row);
            Cause& cause = out.causes.emplace_back();
            cause.id = std::string(f.row->id) + f.form->of;
            std::string detail = f.form->detail;
            if (f.form->measured) detail += (detail.empty() ? "" : "; ") + words_of(*f.form->measured);
            cause.hint = std::string(f.row->did) + (detail.empty() ? "" : " (" + detail + ")") + ": " +
                         std::string(f.row->sign);
            cause.measured = f.form->measured;
            cause.look_at.emplace_back(f.row->line);
            cause.system = "PyTorch";
            for (std::size_t k = 0; k < before.size(); ++k)
                if (!before[k].close())
                    cause.fits.push_back(backward_.plan().gradients[wanted_[k].place].name);
        }
    }

    void say_findings(const HeldGradients& ours, CauseReport& out) const {
        out.findings = broken_laws(backward_, forward_, held_of(backward_, gradients_), ours);
        StageSet mine;
        for (const Wanted& w : wanted_) {
            WholeStage& s = mine.emplace_back(*w.theirs);
            s.values = ours[w.place]->values;
            s.half_unit.clear();
        }
        for (std::string& one : findings_of(gradients_, mine, tolerance_))
            out.findings.push_back(std::move(one));
    }

    Replay replay_;
    GradientReplay backward_;
    const StageSet &theirs_, &gradients_;
    Tolerance tolerance_;
    HeldStages forward_;
    std::vector<Wanted> wanted_;  ///< in the order of the backward pass
    std::vector<std::pair<const GradientMistakeRow*, GradientForm>> forms_;
    std::vector<GradientFit> fits_;
    int tried_ = 0;
};

}  // namespace

std::span<const GradientMistakeRow> all_gradient_mistakes() {
    static const std::vector<GradientMistakeRow> all = [] {
        const auto cells = gradient_rows_of_cells(), steps = gradient_rows_of_steps();
        std::vector<GradientMistakeRow> out(cells.begin(), cells.end());
        out.insert(out.end(), steps.begin(), steps.end());
        return out;
    }();
    return all;
}

CauseReport find_gradient_causes(const Plan& plan, const StageSet& theirs, const StageSet& gradients,
                                 const Tolerance& tolerance) {
    if (!GradientReplay::is_too_large(plan)) return GradientSearch(plan, theirs, gradients, tolerance).run();
    CauseReport out;
    out.findings.push_back("gradients: mistakes are looked for where queries x keys are at most " +
                           std::to_string(GradientReplay::most_cells) + " numbers");
    return out;
}

}  // namespace attn
