#include "lib/theirs/given_array.hpp"

#include <algorithm>
#include <cmath>

#include "lib/input/choices.hpp"

namespace attn {
namespace {

const Value* object_in(const Value& root, std::string_view name) {
    const Value* value = root.find(name);
    return value && value->kind == Value::Kind::object ? value : nullptr;
}

void read_selection(const Value& root, Dump& dump) {
    const Value* selection = object_in(root, "selection");
    if (!selection) return;
    for (const Member& m : selection->members) {
        AxisPart part{m.name, {}};
        for (Index k = 0; k < m.value.row.numbers.size(); ++k)
            part.indices.push_back(static_cast<Index>(m.value.row.numbers[k]));
        if (!part.indices.empty()) dump.selection.push_back(std::move(part));
    }
}

/// A list of tokens of a trace.
std::vector<std::string> tokens_in(const Value& tokens, std::string_view name) {
    std::vector<std::string> out;
    if (const Value* list = tokens.find(name); list && list->kind == Value::Kind::array)
        for (const Value& token : list->items) out.push_back(token.text);
    return given_tokens(std::move(out));
}

}  // namespace

std::vector<std::string> given_tokens(std::vector<std::string> tokens) {
    for (std::size_t k = 0; k < tokens.size(); ++k)
        if (tokens[k] != std::to_string(k)) return tokens;
    return {};
}

void read_about(const Value& root, Dump& dump) {
    if (const Value* order = root.find("order"); order && order->kind == Value::Kind::array)
        for (const Value& name : order->items) dump.order.push_back(name.text);
    if (const Value* source = object_in(root, "source"))
        if (const Value* layer = source->find("layer"); layer && layer->kind == Value::Kind::integer)
            dump.layer = layer->integer;
    read_selection(root, dump);
    if (const Value* tokens = object_in(root, "tokens")) {
        dump.query_tokens = tokens_in(*tokens, "query");
        dump.key_tokens = tokens_in(*tokens, "key");
    }
    const Value* plan = object_in(root, "plan");
    if (!plan) return;
    dump.axes.known = true;
    if (const Value* cached = plan->find("cached_keys")) dump.axes.cached_keys = cached->integer;
    const Value* kv = object_in(*plan, "kv_heads");
    const Value* order = kv ? kv->find("order") : nullptr;
    dump.axes.kv_interleaved = !order || order->text != "tile";
    const Value* sizes = object_in(*plan, "sizes");
    if (const Value* heads = sizes ? sizes->find("head") : nullptr)
        dump.axes.heads = std::max<Index>(heads->integer, 1);
    if (const Value* halves = object_in(*plan, "differential")) {
        const Value* pairing = halves->find("pairing");
        const bool apart = pairing && pairing->text == choice_name(Pairing::halves);
        dump.axes.pairing = apart ? Pairing::halves : Pairing::interleaved;
    }
}

void copy_as(std::optional<Element> type, const Numbers& numbers, std::vector<double>& out) {
    out.resize(static_cast<std::size_t>(numbers.size()));
    if (type != Element::float32) return numbers.copy(std::span<double>(out));
    std::vector<float> narrow(out.size());
    numbers.copy(std::span<float>(narrow));
    std::copy(narrow.begin(), narrow.end(), out.begin());
}

void mark_digits(GivenArray& array, const std::vector<Digits>& digits) {
    array.digits = 0;
    bool exponents = false;
    for (const Digits& d : digits) {
        array.digits = std::max<int>(array.digits, d.decimals);
        exponents = exponents || d.exponent != 0;
        array.padded = array.padded || d.padded;
    }
    const double half = 0.5 * std::pow(10.0, -array.digits);
    array.half_unit.assign(array.values.size(), static_cast<float>(half));
    for (std::size_t k = 0; exponents && k < digits.size(); ++k)
        array.half_unit[k] = static_cast<float>(half * std::pow(10.0, digits[k].exponent));
}

}  // namespace attn
