#include "lib/kernels/dispatch.hpp"

#include <algorithm>
#include <array>

#include "lib/error.hpp"
#include "lib/kernels/sets.hpp"

namespace attn::kernels {
namespace {

#if defined(__x86_64__)
bool has_avx512() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma"); }
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
bool always() { return true; }

struct Set {
    std::string_view name;
    bool (*supported)();
    const Table<float>* (*singles)();
    const Table<double>* (*doubles)();
};

/// The widest first; the last runs on every processor of the platform. __builtin_cpu_supports asks the
/// system, too, whether it keeps the wide registers.
constexpr std::array table_of_sets {
#if defined(__x86_64__)
    Set{"avx512", &has_avx512, &Sets<float>::avx512, &Sets<double>::avx512},
        Set{"avx2", &has_avx2, &Sets<float>::avx2, &Sets<double>::avx2},
        Set{"sse2", &always, &Sets<float>::sse2, &Sets<double>::sse2},
#else
    Set{"neon", &always, &Sets<float>::neon, &Sets<double>::neon},
#endif
};

constexpr std::array<std::string_view, 4> names{"avx512", "avx2", "sse2", "neon"};

const Set* find(std::string_view name) {
    for (const Set& s : table_of_sets)
        if (s.name == name) return &s;
    return nullptr;
}

const Set* widest() {
    for (const Set& s : table_of_sets)
        if (s.supported()) return &s;
    return &table_of_sets.back();
}

struct Choice {
    const Set* set = widest();
    std::string forced_by;
};

Choice& choice() {
    static Choice c;
    return c;
}

}  // namespace

std::span<const std::string_view> known_sets() { return names; }

bool is_available(std::string_view name) {
    const Set* s = find(name);
    return s && s->supported();
}

namespace {

std::string offered() {
    std::string names_offered = "auto";
    for (const Set& s : table_of_sets)
        if (s.supported()) names_offered += ", " + std::string(s.name);
    return names_offered;
}

}  // namespace

void check_name(std::string_view name, std::string_view from) {
    if (name == "auto" || std::find(names.begin(), names.end(), name) != names.end()) return;
    const std::string near = did_you_mean(name, names);
    fail_usage(std::string(from) + " " + std::string(name) + ": there is no such instruction set",
               near.empty() ? "here: " + offered() : near);
}

void choose(std::string_view name, std::string_view from) {
    check_name(name, from);
    if (name == "auto") {
        choice() = {};
        return;
    }
    if (!is_available(name))
        fail_usage(
            std::string(from) + " " + std::string(name) + ": this processor or this build does not have it",
            "here: " + offered());
    choice() = {find(name), std::string(from)};
}

std::string reason() {
    const Choice& c = choice();
    if (!c.forced_by.empty()) return std::string(c.set->name) + ": forced by " + c.forced_by;
    std::string all;
    for (const Set& s : table_of_sets) all += (all.empty() ? "" : ", ") + std::string(s.name);
    return std::string(c.set->name) + ": the widest of " + all + " that this processor has";
}

template <>
const Table<float>& table<float>() {
    return *choice().set->singles();
}
template <>
const Table<double>& table<double>() {
    return *choice().set->doubles();
}

}  // namespace attn::kernels
