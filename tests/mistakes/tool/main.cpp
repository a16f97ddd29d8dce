// attn-mistakes: what the Python tests ask of lib/mistakes, many inputs at a time.
//
//   attn-mistakes page         docs/mistakes.md, from the table
//   attn-mistakes causes       for each line {"input", "stages", "pairs"}: what find_causes says
//   attn-mistakes gradients    for each line {"input", "gradients"}: what find_gradient_causes says
//   attn-mistakes blindspots   for each line, a document: whether diff agrees with blindspots
//
// Lines of JSON from standard input, a line for each to standard output. Exit 2: another command.
#include <cmath>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "lib/error.hpp"
#include "lib/input/problem.hpp"
#include "lib/input/value.hpp"
#include "lib/mistakes/blindspots.hpp"
#include "lib/mistakes/causes.hpp"
#include "lib/mistakes/gradient_mistakes.hpp"
#include "lib/replay/replayed.hpp"

namespace {

using namespace attn;
using Json = nlohmann::ordered_json;

Plan plan_of(const Json& document) {
    const std::string text = document.dump();
    const auto documents = parse_documents({"document.json", text});
    return make_plan(read_problem(documents.at(0).root), {});
}

double number(const Json& j) {
    if (!j.is_string()) return j.get<double>();
    const auto word = j.get<std::string>();
    return word == "NaN" ? std::nan("") : word == "Infinity" ? INFINITY : -INFINITY;
}

std::vector<double> numbers(const Json& list) {
    std::vector<double> out;
    for (const Json& v : list) out.push_back(number(v));
    return out;
}

Json as_json(const CauseReport& report, double seconds) {
    Json out{{"causes", Json::array()},
             {"tried", report.tried},
             {"findings", report.findings},
             {"seconds", seconds}};
    for (const Cause& c : report.causes)
        out["causes"].push_back({{"id", c.id}, {"with", c.with}, {"fits", c.fits}, {"hint", c.hint}});
    return out;
}

/// "gradients": theirs by name; with "right" in place of it, how far the evaluator of mistakes is from these.
Json gradient_causes(const Json& line) {
    const Plan plan = plan_of(line["input"]);
    const std::clock_t start = std::clock();
    const auto seconds = [&] { return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC; };
    const bool right = line.contains("right");
    const Replay replay(plan);
    const GradientReplay backward(replay);
    StageSet theirs, gradients;
    Json out{{"largest", 0.0}, {"at", ""}};
    const HeldGradients ours = right ? backward.run({}, backward.forward({}), {}) : HeldGradients{};
    for (const auto& [name, values] : line[right ? "right" : "gradients"].items()) {
        const auto place = backward.place(name);
        if (!place) throw std::runtime_error("no gradient " + name);
        const auto shape = backward.shape_of(*place);
        WholeStage s{plan.gradients[*place].stage, {shape.begin(), shape.end()}, numbers(values), {}};
        s.gradient = name;
        s.axes_of_gradient = plan.gradients[*place].family;
        if (right && ours[*place]) {
            const std::vector<double>& mine = ours[*place]->values;
            if (mine.size() != s.values.size()) throw std::runtime_error("another size of " + name);
            const double size = std::max(1.0, largest_of(mine));
            for (std::size_t k = 0; k < mine.size(); ++k) {
                const bool same = mine[k] == s.values[k] || (std::isnan(mine[k]) && std::isnan(s.values[k]));
                const double d = same ? 0 : std::abs(mine[k] - s.values[k]) / size;
                if (d <= out["largest"].get<double>()) continue;
                out["largest"] = std::isfinite(d) ? d : 1e30;
                out["at"] = name;
            }
        }
        gradients.push_back(std::move(s));
    }
    if (right) return out;
    std::sort(gradients.begin(), gradients.end(), [&](const WholeStage& a, const WholeStage& b) {
        return *backward.place(a.gradient) < *backward.place(b.gradient);
    });
    return as_json(find_gradient_causes(plan, theirs, gradients, default_tolerance(Element::float32)),
                   seconds());
}

Json causes(const Json& line) {
    const Plan plan = plan_of(line["input"]);
    StageSet theirs;
    for (const auto& [name, values] : line["stages"].items()) {
        WholeStage s;
        s.stage = *stage_named(name);
        s.values = numbers(values);
        theirs.push_back(std::move(s));
    }
    std::sort(theirs.begin(), theirs.end(),
              [](const WholeStage& a, const WholeStage& b) { return a.stage < b.stage; });
    CauseOptions options;
    options.pairs = line.value("pairs", true);
    const std::clock_t start = std::clock();
    const CauseReport report = find_causes(plan, theirs, default_tolerance(Element::float32), options);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    return as_json(report, seconds);
}

/// The last stage as a mistake makes it, in float32.
WholeStage made(const Replay& replay, const Form& form, const PlannedStage& last) {
    Deviation d = replay.none();
    form.make(d);
    const Held numbers = replay.run(d, {}, {})[last.stage];
    WholeStage out{last.stage, {numbers->shape.begin(), numbers->shape.end()}, numbers->values, {}};
    for (double& x : out.values) x = static_cast<double>(static_cast<float>(x));
    return out;
}

double largest_difference(const WholeStage& a, const Numbers4& b) {
    double most = 0;
    for (std::size_t k = 0; k < a.values.size() && k < b.values.size(); ++k)
        if (std::isfinite(a.values[k]) && std::isfinite(b.values[k]))
            most = std::max(most, std::abs(a.values[k] - b.values[k]));
        else if (a.values[k] != b.values[k] && !(std::isnan(a.values[k]) && std::isnan(b.values[k])))
            return INFINITY;
    return most;
}

bool lists(const std::vector<std::string>& list, const std::string& one) {
    return std::find(list.begin(), list.end(), one) != list.end();
}

/// Each mistake is made, and its last stage given to find_causes: one that is shown is named, or one that
/// gives the same numbers; one that is not to be seen gives no difference.
Json blindspots(const Json& document) {
    const Plan plan = plan_of(document);
    const Replay replay(plan);
    const Blindspots found = blindspots_of(plan);
    const Catalogue catalogue = catalogue_of(replay);
    const PlannedStage& last = *replay.plan().find(*stage_named(found.stage));
    const Held right = replay.run(replay.none(), {}, {})[last.stage];
    CauseOptions alone;
    alone.pairs = false;
    Json out{{"checked", 0}, {"wrong", Json::array()}, {"reasons", Json::object()}};
    const auto spot_of = [&](const std::string& id) {
        return *std::find_if(found.mistakes.begin(), found.mistakes.end(),
                             [&](const Blindspot& b) { return b.id == id; });
    };
    for (const Mistake& m : catalogue.mistakes) {
        const Blindspot spot = spot_of(m.id);
        if (spot.sight == Sight::unseen) out["reasons"][m.id] = spot.why;
        if (spot.sight == Sight::weakly) continue;
        // What shows most is asked for; of rounding each way, as only those that change many numbers count.
        std::vector<std::pair<double, WholeStage>> forms;
        for (const Form& f : m.forms) {
            WholeStage now = made(replay, f, last);
            const bool whole =
                now.values.size() == right->values.size() &&
                std::any_of(now.values.begin(), now.values.end(), [](double x) { return std::isfinite(x); });
            if (whole) forms.emplace_back(largest_difference(now, *right), std::move(now));
        }
        if (forms.empty()) continue;  // another width, or NaN alone
        std::stable_sort(forms.begin(), forms.end(),
                         [](const auto& x, const auto& y) { return x.first > y.first; });
        if (!m.is_rounding()) forms.resize(1);
        out["checked"] = out["checked"].get<int>() + 1;
        CauseReport report;
        bool good = false;
        for (const auto& [by, numbers] : forms) {
            report = find_causes(plan, {numbers}, default_tolerance(Element::float32), alone);
            const bool named = std::any_of(report.causes.begin(), report.causes.end(), [&](const Cause& c) {
                return c.id == m.id || lists(spot.same_as, c.id) || lists(spot_of(c.id).same_as, m.id);
            });
            good = spot.sight == Sight::shown ? named : report.causes.empty() && report.findings.empty();
            if (good) break;
        }
        if (good) continue;
        Json said = Json::array();
        for (const Cause& c : report.causes) said.push_back(c.id);
        out["wrong"].push_back({{"id", m.id},
                                {"sight", name_of(spot.sight)},
                                {"roundings", spot.roundings},
                                {"difference", forms.front().first},
                                {"said", said},
                                {"findings", report.findings}});
    }
    return out;
}

int answer_lines(Json (*answer)(const Json&)) {
    std::string line;
    while (std::getline(std::cin, line)) {
        try {
            std::cout << answer(Json::parse(line)).dump() << "\n";
        } catch (const std::exception& e) {
            std::cout << Json{{"error", e.what()}}.dump() << "\n";
        }
    }
    return std::cout.good() ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
    const std::string command = count == 2 ? words[1] : "";
    if (command == "page") {
        std::cout << mistakes_page();
        return 0;
    }
    if (command == "causes") return answer_lines(causes);
    if (command == "gradients") return answer_lines(gradient_causes);
    if (command == "blindspots") return answer_lines(blindspots);
    std::cerr << "attn-mistakes page | causes | gradients | blindspots\n";
    return 2;
}
