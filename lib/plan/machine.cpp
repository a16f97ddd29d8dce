#include "lib/plan/machine.hpp"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

namespace attn {
namespace {

struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
};

/// The number on the first line of a file that matches `format`, or nothing ("max" in a cgroup, no such
/// file).
std::optional<Index> number_in(const char* path, const char* format) {
    const std::unique_ptr<std::FILE, Close> f(std::fopen(path, "r"));
    if (!f) return std::nullopt;
    char line[256];
    while (std::fgets(line, sizeof line, f.get())) {
        long long n = 0;
        if (std::sscanf(line, format, &n) == 1) return n;
    }
    return std::nullopt;
}

}  // namespace

Index memory_available() {
    Index least = INT64_MAX;
    if (const auto kib = number_in("/proc/meminfo", "MemAvailable: %lld kB"))
        least = std::min(least, *kib * 1024);
    const auto group = number_in("/sys/fs/cgroup/memory.max", "%lld");
    if (group)
        least = std::min(least, *group - number_in("/sys/fs/cgroup/memory.current", "%lld").value_or(0));
    for (const auto limit : {RLIMIT_AS, RLIMIT_DATA}) {
        rlimit r{};
        if (getrlimit(limit, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
            least = std::min(least, static_cast<Index>(r.rlim_cur));
    }
    return std::max(least, Index{0});
}

int processors_available() {
    cpu_set_t set;
    CPU_ZERO(&set);
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    const std::unique_ptr<std::FILE, Close> f(std::fopen("/sys/fs/cgroup/cpu.max", "r"));
    long long quota = 0, period = 0;
    if (f && std::fscanf(f.get(), "%lld %lld", &quota, &period) == 2 && period > 0)
        n = std::min(n, static_cast<int>(std::max(1LL, quota / period)));
    return std::max(n, 1);
}

}  // namespace attn
