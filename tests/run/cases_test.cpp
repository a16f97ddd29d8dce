// Every case of data/cases: an input with the stages that others get for it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "lib/kernels/dispatch.hpp"
#include "tests/support.hpp"

namespace attn::test {
namespace {

using Json = nlohmann::ordered_json;

/// Cases whose keys belong to a later release, with the key. The list fails when one of them is accepted.
const std::map<std::string, std::string> waiting{};

double number(const Json& j) {
    if (j.is_boolean()) return j.get<bool>() ? 1 : 0;
    if (!j.is_string()) return j.get<double>();
    const auto word = j.get<std::string>();
    return word == "NaN" ? std::nan("") : word == "Infinity" ? INFINITY : -INFINITY;
}

bool fits(double got, double want, double atol, double rtol) {
    if (std::isnan(want)) return std::isnan(got);
    if (std::isinf(want)) return got == want;
    return std::abs(got - want) <= atol + rtol * std::abs(want);
}

std::vector<Index> without_ones(const std::vector<Index>& shape) {
    std::vector<Index> out;
    std::copy_if(shape.begin(), shape.end(), std::back_inserter(out), [](Index n) { return n != 1; });
    return out;
}

Recorder::Recorded mean_over_heads(const Recorder::Recorded& r) {
    Recorder::Recorded out{{r.shape[0], r.shape[2], r.shape[3]}, {}};
    const Index plane = r.shape[2] * r.shape[3];
    for (Index b = 0; b < r.shape[0]; ++b)
        for (Index k = 0; k < plane; ++k) {
            double sum = 0;
            for (Index h = 0; h < r.shape[1]; ++h)
                sum += r.values[static_cast<std::size_t>((b * r.shape[1] + h) * plane + k)];
            out.values.push_back(sum / static_cast<double>(r.shape[1]));
        }
    return out;
}

void check_case(const Json& test, bool one_stage_after_another) {
    const std::string document = test["input"].dump();
    Request every_stage;
    const Plan plan = plan_of(document);
    for (const auto* list : {&plan.stages, &plan.gradients})
        for (const PlannedStage& s : *list) every_stage.stages.push_back(s.name);
    const Recorder recorder = record(document, every_stage, one_stage_after_another);
    const double atol = test["atol"], rtol = test["rtol"];
    Json wanted = test["expect"];
    if (test.contains("expect_by_name")) wanted.update(test["expect_by_name"]);
    for (const auto& [key, want] : wanted.items()) {
        const std::string name = key.substr(0, key.find(':'));
        INFO("stage " << key);
        const auto found = recorder.stages().find(name);
        REQUIRE(found != recorder.stages().end());
        const auto got = key == name ? found->second : mean_over_heads(found->second);
        CHECK(without_ones(got.shape) == without_ones(want["shape"].get<std::vector<Index>>()));
        REQUIRE(got.values.size() == want["data"].size());
        std::size_t wrong = 0;
        for (std::size_t k = 0; k < got.values.size(); ++k) {
            const double w = number(want["data"][k]);
            if (fits(got.values[k], w, atol, rtol)) continue;
            if (wrong++ == 0) MESSAGE("element " << k << ": " << got.values[k] << ", expected " << w);
        }
        CHECK(wrong == 0);
    }
}

}  // namespace

TEST_CASE("cases: every stage that others get") {
    std::set<std::string> variants;
    int run = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::string(ATTN_DATA) + "/cases")) {
        if (entry.path().extension() != ".json") continue;
        const std::string name =
            entry.path().parent_path().filename().string() + "/" + entry.path().stem().string();
        INFO("case " << name);
        const Json test = Json::parse(read_file(entry.path().string()));
        if (const auto w = waiting.find(name); w != waiting.end()) {
            const Error e = refusal(test["input"].dump());
            CHECK_MESSAGE(e.pointer.find(w->second) != std::string::npos,
                          "the list of waiting cases is out of date");
            continue;
        }
        variants.insert(test["input"].value("variant", ""));
        for (const auto& set : kernels::known_sets()) {
            if (!kernels::is_available(set)) continue;
            INFO("instruction set " << std::string(set));
            kernels::choose(set, "test");
            check_case(test, false);
        }
        kernels::choose("auto", "test");
        check_case(test, true);
        ++run;
    }
    CHECK(run >= 23);
    for (const auto& v :
         {"simplified", "self_attention", "causal_attention", "multi_head", "stacked_heads"}) {
        INFO("variant " << v);
        CHECK(variants.contains(v));
    }
}

}  // namespace attn::test
