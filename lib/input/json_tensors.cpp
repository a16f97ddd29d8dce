#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <limits>

#include "lib/input/file_tensors.hpp"
#include "lib/input/read_tensor.hpp"
#include "lib/input/words.hpp"

namespace attn {
namespace {

constexpr std::string_view form_of_arrays = "nested arrays, or {\"shape\": [...], \"data\": [...]}";

bool is_object(const Value& v) { return v.kind == Value::Kind::object; }

Numbers booleans(const Numbers& numbers) {
    auto bytes = std::make_shared<std::vector<std::byte>>();
    for (Index k = 0; k < numbers.size(); ++k) bytes->push_back(std::byte{numbers[k] != 0});
    const std::byte* data = bytes->data();
    return {std::move(bytes), data, numbers.size(), Element::boolean, false, false};
}

bool begins_with_boolean(const Value* v) {
    while (v->kind == Value::Kind::array && !v->items.empty()) v = &v->items.front();
    return v->kind == Value::Kind::boolean ||
           (v->kind == Value::Kind::row && v->row.first_of(Scalar::boolean) == 0);
}

/// A number, or one of the words for what is no finite number.
std::optional<double> number_in(const Value& value) {
    if (value.kind == Value::Kind::integer || value.kind == Value::Kind::real) return value.real;
    if (value.kind == Value::Kind::string) return nonfinite_word(value.text);
    return std::nullopt;
}

/// A list in which no number stands.
bool is_hollow(const Value& value) {
    if (value.kind == Value::Kind::row) return value.row.numbers.empty();
    return value.kind == Value::Kind::array && std::all_of(value.items.begin(), value.items.end(), is_hollow);
}

void read_list(const Value& value, const std::string& pointer, FileTensor& out) {
    const bool yes_no = begins_with_boolean(&value);
    TensorSource read =
        read_tensor(value, pointer, {1, 64, yes_no ? Elements::yes_no : Elements::additive, form_of_arrays});
    out.shape = std::move(read.shape);
    if (yes_no) {
        out.numbers = booleans(read.numbers);
        return;
    }
    if (read.numbers.element() == Element::float32) out.float32 = read.numbers;
    out.numbers = read.as_float64 ? read.as_float64() : std::move(read.numbers);
}

/// {"0": 1, "1": 2}: a typed array as JavaScript writes it.
bool is_typed_array(const Value& value) {
    if (!is_object(value) || value.members.empty()) return false;
    return std::all_of(value.members.begin(), value.members.end(),
                       [k = std::size_t{0}](const Member& m) mutable {
                           return m.name == std::to_string(k++) && number_in(m.value).has_value();
                       });
}

void read_typed_array(const Value& value, FileTensor& out) {
    std::vector<double> numbers;
    for (const Member& m : value.members) numbers.push_back(*number_in(m.value));
    out.shape = {static_cast<Index>(numbers.size())};
    out.numbers = Numbers(std::move(numbers));
}

const Value* first_of(const Value& object, std::initializer_list<std::string_view> names,
                      std::string_view* found = nullptr) {
    for (const std::string_view name : names)
        if (const Value* value = object.find(name)) {
            if (found) *found = name;
            return value;
        }
    return nullptr;
}

/// The shape that an object says, held against the numbers that it holds.
void set_shape(const Value& object, const std::string& pointer, FileTensor& out) {
    std::string_view name;
    const Value* value = first_of(object, {"shape", "dims"}, &name);
    if (!value) return;
    const std::string here = child(pointer, name);
    const Shape shape = read_integers(*value, here, 0, "a shape of axis lengths");
    const auto count = element_count(shape);
    if (!count) fail(here, "has a product above 63 bits: the shape is too large");
    if (out.shape.size() <= 1) {
        const Index found = out.numbers.size();
        if (*count != found)
            fail(child(pointer, "data"), "has " + std::to_string(found) +
                                             (found == 1 ? " number" : " numbers") + ", but the shape " +
                                             to_string(shape) + " needs " + std::to_string(*count));
    } else if (shape != out.shape) {
        fail(here, "says " + to_string(shape) + ", but the data is " + to_string(out.shape));
    }
    out.shape = shape;
}

void set_type(const Value& object, FileTensor& out) {
    const Value* dtype = first_of(object, {"dtype", "type"});
    if (!dtype || dtype->kind != Value::Kind::string) return;
    out.said = type_named(dtype->text);
    if (out.said != Element::float32 || out.numbers.element() == Element::boolean) return;
    if (!out.float32.empty()) {
        out.numbers = out.float32;
        return;
    }
    std::vector<float> values(static_cast<std::size_t>(out.numbers.size()));
    out.numbers.copy(std::span<float>(values));
    out.numbers = Numbers(std::move(values));
}

void read_object(const Value& value, const std::string& pointer, FileTensor& out) {
    if (value.find("init")) fail(pointer, "is drawn, expected numbers", "attn-calc run computes documents");
    if (is_typed_array(value)) return read_typed_array(value, out);
    const Value* data = data_of(value);
    if (!data) fail(pointer, "has no numbers, expected " + std::string(form_of_arrays));
    const std::string here = child(pointer, value.find("data") ? "data" : "cpuData");
    const Value* shape = first_of(value, {"shape", "dims"});
    if (is_object(*data)) {
        read_typed_array(*data, out);
    } else if (number_in(*data)) {
        out.numbers = Numbers(std::vector<double>{*number_in(*data)});
    } else if (shape && is_hollow(*data)) {
        out.numbers = Numbers(std::vector<double>{});
    } else {
        read_list(*data, here, out);
    }
    set_shape(value, pointer, out);
    set_type(value, out);
    if (const Value* said = value.find("axes"); said && said->kind == Value::Kind::array)
        for (const Value& axis : said->items) out.axes.push_back(axis.text);
}

void read_trace(const Value& stages, FileTensors& out) {
    if (!is_object(stages)) fail("/stages", "is " + stages.describe() + ", expected the stages of a trace");
    for (const Member& m : stages.members) {
        const std::string pointer = child("/stages", m.name);
        if (!is_object(m.value)) fail(pointer, "is " + m.value.describe() + ", expected a stage of a trace");
        need(m.value, pointer, "data", "the numbers of a stage");
        out.tensors.push_back(read_json_tensor(m.value, pointer));
        out.tensors.back().name = m.name;
    }
    out.besides.emplace_back(beside_stages);
}

void read_document(const Document& document, FileTensors& out) {
    const Value* schema = document.root.find("schema");
    const Value* stages = document.root.find("stages");
    if (schema && stages && schema->kind == Value::Kind::string) return read_trace(*stages, out);
    std::string ignored;
    for (const Member& m : document.root.members) {
        if (is_ignored(m.name)) {
            ignored += (ignored.empty() ? "" : ", ") + m.name;
            continue;
        }
        out.tensors.push_back(read_json_tensor(m.value, child("", m.name)));
        out.tensors.back().name = m.name;
    }
    if (!ignored.empty()) out.besides.push_back(ignored);
}

}  // namespace

std::optional<Element> type_named(std::string_view name) {
    for (const std::string_view owner : {"torch.", "numpy.", "np.", "jnp.", "tf."})
        if (name.starts_with(owner)) name.remove_prefix(owner.size());
    if (name.starts_with('<') || name.starts_with('>') || name.starts_with('=')) name.remove_prefix(1);
    struct Word {
        std::string_view text;
        Element type;
    };
    static constexpr std::array words{Word{"float64", Element::float64},   Word{"double", Element::float64},
                                      Word{"f8", Element::float64},        Word{"F64", Element::float64},
                                      Word{"float32", Element::float32},   Word{"float", Element::float32},
                                      Word{"f4", Element::float32},        Word{"F32", Element::float32},
                                      Word{"fp32", Element::float32},      Word{"float16", Element::float16},
                                      Word{"half", Element::float16},      Word{"f2", Element::float16},
                                      Word{"F16", Element::float16},       Word{"fp16", Element::float16},
                                      Word{"bfloat16", Element::bfloat16}, Word{"bf16", Element::bfloat16},
                                      Word{"BF16", Element::bfloat16}};
    for (const Word& w : words)
        if (w.text == name) return w.type;
    return std::nullopt;
}

JsonText read_json_text(Source source, const ParseOptions& options) {
    JsonText out{std::move(source), {}};
    if (auto text = with_our_words(out.source.text)) out.source = Source(out.source.name, std::move(*text));
    out.documents = parse_documents(out.source, options);
    return out;
}

const Value* data_of(const Value& object) {
    if (!is_object(object)) return nullptr;
    const Value* data = first_of(object, {"data", "cpuData"});
    if (!data) return nullptr;
    const bool numbers = is_list(*data) || is_typed_array(*data);
    // A single number is one where the object says that it is a tensor.
    return numbers || (number_in(*data) && first_of(object, {"shape", "dims"})) ? data : nullptr;
}

FileTensor read_json_tensor(const Value& value, const std::string& pointer) {
    FileTensor out;
    if (is_object(value)) {
        read_object(value, pointer, out);
    } else if (value.kind == Value::Kind::boolean) {
        out.numbers = booleans(Numbers(std::vector<double>{value.boolean ? 1.0 : 0.0}));
    } else if (const auto number = number_in(value)) {
        out.numbers = Numbers(std::vector<double>{*number});
    } else {
        read_list(value, pointer, out);
    }
    return out;
}

FileTensors read_json_tensors(Source source) {
    return json_tensors_of(read_json_text(std::move(source), {DType::float32, false}));
}

FileTensors json_tensors_of(const JsonText& text) {
    FileTensors out;
    try {
        if (text.documents.size() > 1)
            fail("", "holds " + std::to_string(text.documents.size()) + " documents, expected one");
        read_document(text.documents.front(), out);
    } catch (Error& error) {
        error.place.file = text.source.name;
        locate(error, text.source, text.documents.front());
        throw;
    }
    return out;
}

}  // namespace attn
