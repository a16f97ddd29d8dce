#include "lib/input/head_norms.hpp"

#include <array>
#include <charconv>
#include <utility>

#include "lib/error.hpp"

namespace attn {

std::optional<HeadNorm> head_norm_named(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 2> begins{
        {{"q_layernorm.norms.", "q_norm.weight"}, {"k_layernorm.norms.", "k_norm.weight"}}};
    constexpr std::string_view end = ".weight";
    for (const auto& [begin, whole] : begins) {
        if (!name.starts_with(begin) || !name.ends_with(end) || name.size() <= begin.size() + end.size())
            continue;
        const std::string_view digits = name.substr(begin.size(), name.size() - begin.size() - end.size());
        Index head = 0;
        const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), head);
        if (read.ec == std::errc() && read.ptr == digits.data() + digits.size() && head >= 0)
            return HeadNorm{whole, head};
    }
    return std::nullopt;
}

void HeadNorms::add(const HeadNorm& norm, TensorSource tensor) {
    heads_[norm.whole].insert_or_assign(norm.head, std::move(tensor));
}

void HeadNorms::finish(std::vector<NamedTensor>& out) const {
    for (const auto& [whole, heads] : heads_) {
        const TensorSource& first = heads.begin()->second;
        std::vector<double> numbers;
        TensorSource all;
        Index next = 0;
        for (const auto& [head, tensor] : heads) {
            if (head != next)
                fail(tensor.pointer, "is the norm of head " + std::to_string(head) + ", but head " +
                                         std::to_string(next) + " has none");
            if (tensor.kind != TensorSource::Kind::literal)
                fail(tensor.pointer, "is drawn: norms of single heads are given");
            if (tensor.shape != first.shape)
                fail(tensor.pointer, "is " + to_string(tensor.shape) + ", but the norm of head 0 is " +
                                         to_string(first.shape));
            tensor.check_all();
            const Numbers exact = tensor.as_float64 ? tensor.as_float64() : tensor.numbers;
            for (Index k = 0; k < exact.size(); ++k) numbers.push_back(exact[k]);
            all.row_names.push_back(tensor.name);
            ++next;
        }
        // Its numbers are those of no single one: "q_layernorm.norms[2,0]".
        constexpr std::string_view norms = ".norms";
        all.pointer = first.pointer.substr(0, first.pointer.rfind(norms) + norms.size());
        all.file = first.file;
        all.shape = {next, first.shape.front()};
        all.numbers = Numbers(std::move(numbers));
        out.push_back({std::string(whole), std::move(all)});
    }
}

}  // namespace attn
