// What other programs call a thing leads to a name that there is.
#include "lib/synonyms.hpp"

#include <doctest/doctest.h>

#include <set>

#include "lib/error.hpp"
#include "lib/input/choices.hpp"
#include "lib/input/key_table.hpp"
#include "lib/input/numbers.hpp"
#include "lib/input/weight_names.hpp"
#include "lib/plan/plan.hpp"

namespace attn::test {

TEST_CASE("synonyms: each leads to a key, a variant, a type or a weight, and is none itself") {
    std::vector<std::vector<std::string_view>> places(4);
    for (const KeySchema& k : all_keys()) places[0].push_back(k.name);
    for (const Variant& v : all_variants()) places[1].push_back(v.name);
    for (int e = 0; e <= static_cast<int>(Element::boolean); ++e)
        places[2].push_back(name_of(static_cast<Element>(e)));
    for (const WeightName& n : all_weight_names()) places[3].push_back(n.name);
    std::set<std::pair<std::string_view, std::string_view>> seen;
    for (const Synonym& s : all_synonyms()) {
        INFO(s.word << " -> " << s.name);
        CHECK(seen.emplace(s.word, s.name).second);
        bool found = false;
        for (const auto& names : places) {
            const bool here = std::find(names.begin(), names.end(), s.name) != names.end();
            found = found || here;
            if (here) CHECK(std::find(names.begin(), names.end(), s.word) == names.end());
            if (here) CHECK_FALSE(did_you_mean(s.word, names).empty());
        }
        CHECK(found);
    }
}

TEST_CASE("choices: every word is found again by its value") {
    for (const auto& [name, names] : choice_definitions()) {
        INFO(name);
        CHECK(names.size() >= 2);
        CHECK(std::set<std::string_view>(names.begin(), names.end()).size() == names.size());
    }
    CHECK(choice_name(FeatureMap::elu1) == "elu1");
    CHECK(choice_words(FeatureMap::elu1) == "elu + 1");
    CHECK(choice_words(MaskKind::drop) == "drop");
    CHECK(choice_name(DropoutKind::torch_mkl) == "torch-mkl");
}

}  // namespace attn::test
