#pragma once
#include <benchmark/benchmark.h>

namespace attn::bench {

/// machine/fma_peak and machine/read: what the processor can do, measured in the same run.
void add_machine();
/// kernel/SET/TYPE/NAME: each kernel of each instruction set on one thread.
void add_kernels();

/// A counter of `amount` per iteration and second of wall time.
inline void rate(benchmark::State& state, const char* name, double amount) {
    state.counters[name] = benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace attn::bench
