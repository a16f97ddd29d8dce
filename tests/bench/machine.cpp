#include "tests/bench/machine.hpp"

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "lib/kernels/dispatch.hpp"
#include "lib/kernels/sets.hpp"
#include "lib/pool.hpp"
#include "lib/run/arena.hpp"

namespace attn::bench {
namespace {

// 24 sums of one vector each, independent of each other: enough to fill two units of a latency of 4 or 5
// cycles.
#define ATTN_PEAK(name, isa, lanes)                                                              \
    __attribute__((target(isa))) float name(Index steps) {                                       \
        typedef float V __attribute__((vector_size(lanes * 4)));                                 \
        V a{}, b{};                                                                              \
        for (int k = 0; k < lanes; ++k) a[k] = 0.999F, b[k] = 1e-3F;                             \
        V s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a, s6 = a, s7 = a, s8 = a, s9 = a;        \
        V t0 = a, t1 = a;                                                                        \
        asm volatile("" : "+x"(a), "+x"(b), "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4));   \
        asm volatile("" : "+x"(s5), "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(t0), "+x"(t1)); \
        for (Index k = 0; k < steps; ++k) {                                                      \
            s0 = s0 * a + b, s1 = s1 * a + b, s2 = s2 * a + b, s3 = s3 * a + b;                  \
            s4 = s4 * a + b, s5 = s5 * a + b, s6 = s6 * a + b, s7 = s7 * a + b;                  \
            s8 = s8 * a + b, s9 = s9 * a + b, t0 = t0 * a + b, t1 = t1 * a + b;                  \
        }                                                                                        \
        V s = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + t0 + t1;                         \
        float sum = 0;                                                                           \
        for (int k = 0; k < lanes; ++k) sum += s[k];                                             \
        return sum;                                                                              \
    }

#if defined(__x86_64__)
ATTN_PEAK(peak_avx512, "avx512f,avx512vl,fma", 16)
ATTN_PEAK(peak_avx2, "avx2,fma", 8)
ATTN_PEAK(peak_sse2, "sse2", 4)
#elif defined(__aarch64__)
ATTN_PEAK(peak_neon, "+simd", 4)
#endif

struct Peak {
    const char* set;
    float (*run)(Index);
    Index lanes;
};
constexpr Peak peaks[] = {
#if defined(__x86_64__)
    {"avx512", &peak_avx512, 16},
    {"avx2", &peak_avx2, 8},
    {"sse2", &peak_sse2, 4},
#elif defined(__aarch64__)
    {"neon", &peak_neon, 4},
#endif
};

constexpr Index steps = 4'000'000;

void fma_peak(benchmark::State& state, const Peak& peak, int threads) {
    Pool pool(threads);
    for (auto _ : state) pool.run(threads, [&](Index, int) { benchmark::DoNotOptimize(peak.run(steps)); });
    rate(state, "GFLOPS",
         static_cast<double>(threads) * 2 * 12 * static_cast<double>(peak.lanes * steps) / 1e9);
}

/// A sum of 256 MB a thread, with the widest loads that any x86-64 or AArch64 processor has: memory sets the
/// pace.
void read(benchmark::State& state, int threads) {
    typedef float V __attribute__((vector_size(32), aligned(32)));
    constexpr Index numbers = 64 << 20;
    Arena arena;
    std::vector<float*> parts;
    for (int k = 0; k < threads; ++k) {
        parts.push_back(arena.take<float>(numbers));
        for (Index j = 0; j < numbers; ++j) parts.back()[j] = 1;
    }
    Pool pool(threads);
    for (auto _ : state) {
        pool.run(threads, [&](Index t, int) {
            V s0{}, s1{}, s2{}, s3{};
            const V* p = reinterpret_cast<const V*>(parts[static_cast<std::size_t>(t)]);
            for (Index j = 0; j < numbers / 8; j += 4) {
                __builtin_prefetch(p + j + 128);
                __builtin_prefetch(p + j + 130);
                s0 += p[j], s1 += p[j + 1], s2 += p[j + 2], s3 += p[j + 3];
            }
            s0 += s1 + s2 + s3;
            benchmark::DoNotOptimize(s0);
        });
    }
    rate(state, "GBs", static_cast<double>(threads) * static_cast<double>(numbers) * 4 / 1e9);
}

benchmark::internal::Benchmark* add(const std::string& name,
                                    const std::function<void(benchmark::State&)>& f) {
    return benchmark::RegisterBenchmark(name.c_str(), f)->UseRealTime();
}

}  // namespace

void add_machine() {
    for (const int threads : {1, 2}) {
        const std::string tail = "/threads:" + std::to_string(threads);
        bool widest = true;
        for (const Peak& p : peaks) {
            if (!kernels::is_available(p.set)) continue;
            const auto run = [&p, threads](benchmark::State& s) { fma_peak(s, p, threads); };
            if (widest) add("machine/fma_peak" + tail, run);
            widest = false;
            add("machine/fma_peak_" + std::string(p.set) + tail, run);
        }
        add("machine/read" + tail, [threads](benchmark::State& s) { read(s, threads); });
    }
}

namespace {

template <class T>
struct Buffers {
    static constexpr Index rows = 192, keys = 128, dim = 64;
    std::vector<T> a = std::vector<T>(rows * dim, T(0.5)), b = std::vector<T>(keys * dim, T(0.25)),
                   c = std::vector<T>(rows * keys), packed = std::vector<T>(2 * keys * dim);
    std::vector<T> max = std::vector<T>(rows, T(0)), context = std::vector<T>(rows * dim);
    std::vector<double> sum = std::vector<double>(rows, 0.0);
};

template <class T>
void add_set(const kernels::Table<T>* table, const char* type) {
    if (!table || !kernels::is_available(table->name)) return;
    using B = Buffers<T>;
    const std::string head = std::string("kernel/") + table->name + "/" + type + "/";
    constexpr double product = 2.0 * B::rows * B::keys * B::dim / 1e9, cells = 1.0 * B::rows * B::keys / 1e9;
    const auto kernel = [&](const char* name, const char* counter, double amount, auto run) {
        add(head + name, [=](benchmark::State& state) {
            B x;
            for (std::size_t k = 0; k < x.c.size(); ++k) x.c[k] = static_cast<T>(k % 7) / T(7);
            table->pack_rows(x.b.data(), B::dim, B::keys, B::dim, x.packed.data());
            for (auto _ : state) {
                run(*table, x);
                benchmark::ClobberMemory();
            }
            rate(state, counter, amount);
        });
    };
    using K = kernels::Table<T>;
    kernel("multiply_packed", "GFLOPS", product, [](const K& k, B& x) {
        k.multiply_packed(x.a.data(), B::dim, x.packed.data(), x.c.data(), B::keys, B::rows,
                          kernels::Part::of_depth(B::keys, B::dim, 0, B::dim), false);
    });
    kernel("multiply", "GFLOPS", product, [](const K& k, B& x) {
        k.multiply(x.a.data(), B::dim, x.b.data(), B::keys, x.c.data(), B::keys, B::rows, B::keys, B::dim);
    });
    kernel("dot_rows", "GFLOPS", product, [](const K& k, B& x) {
        k.dot_rows(x.a.data(), B::dim, x.b.data(), B::dim, x.c.data(), B::keys, B::rows, B::keys, B::dim);
    });
    kernel("dot_stream", "GFLOPS", product / B::rows * 4, [](const K& k, B& x) {
        k.dot_stream(x.a.data(), B::dim, x.b.data(), B::dim, x.c.data(), B::keys, 4, B::keys, B::dim);
    });
    kernel("multiply_stream", "GFLOPS", product / B::rows * 4, [](const K& k, B& x) {
        k.multiply_stream(x.c.data(), B::keys, x.b.data(), B::dim, x.context.data(), B::dim, 4, B::dim,
                          B::keys);
    });
    kernel("pack_rows", "Gnumbers", 1.0 * B::keys * B::dim / 1e9,
           [](const K& k, B& x) { k.pack_rows(x.b.data(), B::dim, B::keys, B::dim, x.packed.data()); });
    kernel("pack_columns", "Gnumbers", 1.0 * B::keys * B::dim / 1e9,
           [](const K& k, B& x) { k.pack_columns(x.b.data(), B::dim, B::dim, B::keys, x.packed.data()); });
    kernel("scale", "Gnumbers", cells,
           [](const K& k, B& x) { k.scale(x.c.data(), x.c.data(), B::rows * B::keys, T(0.999)); });
    kernel("all_finite", "Gnumbers", cells, [](const K& k, B& x) {
        benchmark::DoNotOptimize(k.all_finite(x.c.data(), B::rows * B::keys, false));
    });
    kernel("divide", "Gnumbers", cells,
           [](const K& k, B& x) { k.divide(x.c.data(), x.c.data(), B::rows * B::keys, 1.001); });
    kernel("exponentials", "Gnumbers", cells, [](const K& k, B& x) {
        for (Index i = 0; i < B::rows; ++i)
            benchmark::DoNotOptimize(
                k.exponentials(x.c.data() + i * B::keys, x.c.data() + i * B::keys, B::keys));
    });
    kernel("weigh", "Gnumbers", cells, [](const K& k, B& x) {
        k.weigh(x.c.data(), B::keys, B::rows, B::keys, T(0.1),
                {x.max.data(), x.sum.data(), x.context.data(), B::dim, B::dim});
    });
}

}  // namespace

void add_kernels() {
#if defined(__x86_64__)
    add_set(kernels::Sets<float>::avx512(), "float32");
    add_set(kernels::Sets<double>::avx512(), "float64");
    add_set(kernels::Sets<float>::avx2(), "float32");
    add_set(kernels::Sets<double>::avx2(), "float64");
    add_set(kernels::Sets<float>::sse2(), "float32");
    add_set(kernels::Sets<double>::sse2(), "float64");
#elif defined(__aarch64__)
    add_set(kernels::Sets<float>::neon(), "float32");
    add_set(kernels::Sets<double>::neon(), "float64");
#endif
}

}  // namespace attn::bench
