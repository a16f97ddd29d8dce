// find_causes for many inputs at once, for causes_test.py: a line of JSON for each, from the file that
// ATTN_CAUSES_IN names to the one that ATTN_CAUSES_OUT names.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/mistakes/causes.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

using Json = nlohmann::ordered_json;

double number(const Json& j) {
    if (!j.is_string()) return j.get<double>();
    const auto word = j.get<std::string>();
    return word == "NaN" ? std::nan("") : word == "Infinity" ? INFINITY : -INFINITY;
}

Json answer(const Json& line) {
    const Plan plan = plan_of(line["input"].dump());
    StageSet theirs;
    for (const auto& [name, values] : line["stages"].items()) {
        WholeStage s;
        s.stage = *stage_named(name);
        for (const Json& v : values) s.values.push_back(number(v));
        theirs.push_back(std::move(s));
    }
    std::sort(theirs.begin(), theirs.end(),
              [](const WholeStage& a, const WholeStage& b) { return a.stage < b.stage; });
    CauseOptions options;
    options.pairs = line.value("pairs", true);
    const std::clock_t start = std::clock();
    const CauseReport report = find_causes(plan, theirs, default_tolerance(Element::float32), options);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    Json out{{"causes", Json::array()},
             {"tried", report.tried},
             {"findings", report.findings},
             {"seconds", seconds}};
    for (const Cause& c : report.causes)
        out["causes"].push_back({{"id", c.id}, {"with", c.with}, {"fits", c.fits}, {"hint", c.hint}});
    return out;
}

}  // namespace

TEST_CASE("causes: of a file of inputs") {
    const char* from = std::getenv("ATTN_CAUSES_IN");  // NOLINT(concurrency-mt-unsafe)
    const char* to = std::getenv("ATTN_CAUSES_OUT");   // NOLINT(concurrency-mt-unsafe)
    if (!from || !to) return;
    std::ifstream in(from);
    std::ofstream out(to);
    std::string line;
    while (std::getline(in, line)) {
        try {
            out << answer(Json::parse(line)).dump() << "\n";
        } catch (const std::exception& e) {
            out << Json{{"error", e.what()}}.dump() << "\n";
        }
    }
    CHECK(out.good());
}

}  // namespace attn::test
