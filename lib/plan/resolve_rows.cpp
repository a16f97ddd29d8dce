// Rows of queries and keys in the order of llama.cpp's converter.
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lib/error.hpp"
#include "lib/plan/weight_resolver.hpp"

namespace attn {
namespace {

/// Row 2i + j of each head becomes row j D/2 + i.
Numbers rows_as_halves(const Numbers& numbers, Index rows, Index heads) {
    const Index length = numbers.size() / rows, dim = rows / heads,
                bytes = length * size_of(numbers.element());
    auto out = std::make_shared<std::vector<std::byte>>(idx(rows * bytes));
    for (Index row = 0; row < rows; ++row) {
        const Index within = row % dim, half = dim / 2;
        const Index from = row - within + 2 * (within % half) + within / half;
        numbers.copy_stored(from * length, std::span(*out).subspan(idx(row * bytes), idx(bytes)));
    }
    const std::byte* const data = out->data();
    return {std::move(out), data, numbers.size(), numbers.element(), false, false};
}

}  // namespace

void Resolver::put_rows_back(const NamedWeights& set, Slots& slots) const {
    const std::string here = child(set.pointer, "head_rows");
    const Index heads = plan_.variant->weights_list ? 1 : b_.problem.num_heads.value_or(1);
    const Index kv = plan_.variant->one_kv_head ? 1 : b_.problem.num_kv_heads.value_or(heads);
    const bool alone = slots.weight[slot(WeightRole::query)] && slots.weight[slot(WeightRole::key)];
    if (!alone || (b_.problem.gate && b_.problem.gate->from_queries) || plan_.differential)
        fail(here,
             "is \"interleaved\", which is said of matrices of queries and keys that stand by themselves");
    for (const WeightRole role : {WeightRole::query, WeightRole::key})
        for (NamedTensor* t : {slots.weight[slot(role)], slots.bias[slot(role)]}) {
            if (!t) continue;
            TensorSource& tensor = t->tensor;
            const Index of = role == WeightRole::query ? heads : kv, rows = tensor.shape[0];
            const bool is_matrix = t == slots.weight[slot(role)];
            if (is_matrix && (tensor.shape.size() != 2 || !is_out_in(*t, set)))
                fail(here, "is \"interleaved\", but \"" + t->name + "\" is no matrix [d_out, d_in]");
            if (of < 1 || rows % of != 0 || rows / of % 2 != 0)
                fail(tensor.pointer, "has " + std::to_string(rows) + " rows, which are no pairs in each of " +
                                         std::to_string(of) + (of == 1 ? " head" : " heads"));
            if (tensor.kind != TensorSource::Kind::literal)
                fail(here, "is \"interleaved\", but \"" + t->name + "\" is drawn");
            tensor.numbers = rows_as_halves(tensor.numbers, rows, of);
            if (tensor.as_float64)
                tensor.as_float64 = [read = std::move(tensor.as_float64), rows, of] {
                    return rows_as_halves(read(), rows, of);
                };
        }
}

}  // namespace attn
