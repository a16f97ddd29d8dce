// Rules of who sees whom, and biases of places, that are objects or lists of their own.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "lib/input/read_options.hpp"
#include "lib/input/read_tensor.hpp"

namespace attn {
namespace {

constexpr auto blocks_form =
    "blocks of tokens, [[from, to], ...] or a list of such lists, one per batch item";

/// [from, to]: two numbers of `row` from `first` on.
TokenBlock read_block(const Scalars& row, Index first, const std::string& pointer) {
    const Numbers exact = row.as_float64();
    const auto end = [&](Index side) {
        const Index at = first + side;
        const double v = exact[at];
        if (static_cast<std::size_t>(at) == row.first_of(Scalar::boolean))
            fail(child(pointer, side), "is a boolean, expected the number of a token");
        if (!std::isfinite(v) || v != std::floor(v) || v < 0 || v > 9e15)
            fail(child(pointer, side), "is not the number of a token, an integer of at least 0");
        return static_cast<Index>(v);
    };
    const TokenBlock block{end(0), end(1)};
    if (block.from >= block.to)
        fail(pointer, "is [" + std::to_string(block.from) + ", " + std::to_string(block.to) +
                          "], a block without tokens: it goes from the first to before the second");
    return block;
}

/// The list itself, or one of a list of lists where `item` is given: blocks of a row [..., block, 2].
std::vector<TokenBlock> read_row(const Scalars& row, const std::string& pointer, Index item) {
    const Index count = row.shape[row.shape.size() - 2];
    std::vector<TokenBlock> out;
    for (Index k = 0; k < count; ++k)
        out.push_back(read_block(row, (item * count + k) * 2, child(pointer, k)));
    return out;
}

/// The blocks of one batch item; an empty list has none.
std::vector<TokenBlock> read_item(const Value& value, const std::string& pointer) {
    if (value.kind == Value::Kind::row) {
        if (value.row.numbers.empty()) return {};
        if (value.row.shape.size() == 2 && value.row.shape[1] == 2) return read_row(value.row, pointer, 0);
    }
    if (value.kind != Value::Kind::array)
        fail(pointer, std::string("is not a list of blocks [from, to], expected ") + blocks_form);
    std::vector<TokenBlock> out;
    for (std::size_t k = 0; k < value.items.size(); ++k) {
        const Value& pair = value.items[k];
        const std::string here = child(pointer, static_cast<Index>(k));
        if (pair.kind != Value::Kind::row || pair.row.shape != Shape{2})
            fail(here, "is " + pair.describe() + ", expected a block [from, to]");
        out.push_back(read_block(pair.row, 0, here));
    }
    return out;
}

bool is_list_of_lists(const Value& value) {
    if (value.kind == Value::Kind::row) return value.row.shape.size() == 3;
    const auto holds_blocks = [](const Value& item) {
        return item.kind == Value::Kind::array ||
               (item.kind == Value::Kind::row && (item.row.shape.size() == 2 || item.row.numbers.empty()));
    };
    return std::any_of(value.items.begin(), value.items.end(), holds_blocks);
}

}  // namespace

PerItem read_prefix_keys(const Value& value, const std::string& pointer) {
    if (value.kind == Value::Kind::integer || value.kind == Value::Kind::real)
        return {{read_integer(value, pointer, 0, "a number of keys")}, false};
    return {read_integers(value, pointer, 0, "numbers of keys, one per batch item"), true};
}

TokenBlocks read_token_blocks(const Value& value, const std::string& pointer) {
    if (!is_list(value)) fail(pointer, "is " + value.describe() + ", expected " + blocks_form);
    if (value.kind == Value::Kind::row && value.row.numbers.empty())
        fail(pointer, std::string("is an empty list, expected ") + blocks_form);
    TokenBlocks out;
    out.is_list = is_list_of_lists(value);
    if (!out.is_list) {
        out.items.push_back(read_item(value, pointer));
        return out;
    }
    if (value.kind == Value::Kind::row) {
        if (value.row.shape[2] != 2)
            fail(pointer, "is " + to_string(value.row.shape) + ", expected " + blocks_form);
        for (Index k = 0; k < value.row.shape[0]; ++k)
            out.items.push_back(read_row(value.row, child(pointer, k), k));
        return out;
    }
    for (std::size_t k = 0; k < value.items.size(); ++k)
        out.items.push_back(read_item(value.items[k], child(pointer, static_cast<Index>(k))));
    return out;
}

PositionBias read_position_bias(const Value& value, const std::string& pointer) {
    if (value.kind != Value::Kind::object || !value.find("buckets"))
        return {
            read_tensor(value, pointer,
                        {3, 4, Elements::finite,
                         "a bias [head, query, key] or [batch, head, query, key], or {\"buckets\": ...}"}),
            std::nullopt};
    static constexpr std::array<std::string_view, 3> names{"buckets", "max_distance", "bidirectional"};
    check_members(value, pointer, names);
    Buckets buckets;
    if (const Value* v = value.find("max_distance"))
        buckets.max_distance = read_integer(*v, child(pointer, "max_distance"), 1, "a distance of tokens");
    if (const Value* v = value.find("bidirectional"))
        buckets.bidirectional = read_boolean(*v, child(pointer, "bidirectional"), "bidirectional");
    return {read_tensor(*value.find("buckets"), child(pointer, "buckets"),
                        {2, 2, Elements::finite, "a table [buckets, heads]"}),
            buckets};
}

}  // namespace attn
