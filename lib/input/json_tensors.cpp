#include <algorithm>
#include <array>
#include <limits>

#include "lib/input/file_tensors.hpp"
#include "lib/input/read_tensor.hpp"

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

/// A number, true or false, or one of the words for what is no finite number.
bool read_scalar(const Value& value, FileTensor& out) {
    double v = value.real;
    if (value.kind == Value::Kind::boolean) {
        v = value.boolean ? 1 : 0;
    } else if (value.kind == Value::Kind::string && value.text == "NaN") {
        v = std::numeric_limits<double>::quiet_NaN();
    } else if (value.kind == Value::Kind::string && value.text.ends_with("Infinity")) {
        if (value.text != "Infinity" && value.text != "-Infinity") return false;
        v = std::numeric_limits<double>::infinity() * (value.text[0] == '-' ? -1 : 1);
    } else if (value.kind != Value::Kind::integer && value.kind != Value::Kind::real) {
        return false;
    }
    out.numbers = Numbers(std::vector<double>{v});
    if (value.kind == Value::Kind::boolean) out.numbers = booleans(out.numbers);
    return true;
}

void read_data(const Value& value, const std::string& pointer, FileTensor& out) {
    if (read_scalar(value, out)) return;
    const bool yes_no =
        begins_with_boolean(is_object(value) && value.find("data") ? value.find("data") : &value);
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

/// {"shape", "data"} without numbers: an axis of the shape is 0.
bool read_empty(const Value& object, const std::string& pointer, FileTensor& out) {
    const Value *shape = object.find("shape"), *data = object.find("data");
    if (!shape || !data || !is_list(*data) || shape->kind != Value::Kind::row) return false;
    out.shape = read_integers(*shape, child(pointer, "shape"), 0, "a shape of axis lengths");
    if (std::count(out.shape.begin(), out.shape.end(), 0) == 0) return false;
    if (!data->row.numbers.empty() || data->kind == Value::Kind::array)
        fail(child(pointer, "data"), "is not empty, but an axis of the shape is 0");
    out.numbers = Numbers(std::vector<double>{});
    return true;
}

void set_type(const Value* dtype, const std::string& pointer, FileTensor& out) {
    if (!dtype) return;
    static constexpr std::array<std::string_view, 2> names{"float32", "float64"};
    if (read_choice(*dtype, child(pointer, "dtype"), names) == 1) return;
    if (!out.float32.empty()) {
        out.numbers = out.float32;
        return;
    }
    std::vector<float> values(static_cast<std::size_t>(out.numbers.size()));
    out.numbers.copy(std::span<float>(values));
    out.numbers = Numbers(std::move(values));
}

FileTensor read_member(const std::string& name, const Value& value, const std::string& pointer) {
    FileTensor out;
    out.name = name;
    if (!is_object(value)) {
        read_data(value, pointer, out);
        return out;
    }
    if (value.find("init")) fail(pointer, "is drawn, expected numbers", "attn-calc run computes documents");
    if (!read_empty(value, pointer, out)) read_data(value, pointer, out);
    return out;
}

void read_trace(const Value& stages, FileTensors& out) {
    if (!is_object(stages)) fail("/stages", "is " + stages.describe() + ", expected the stages of a trace");
    for (const Member& m : stages.members) {
        const std::string pointer = child("/stages", m.name);
        FileTensor& tensor = out.tensors.emplace_back();
        tensor.name = m.name;
        if (!is_object(m.value)) fail(pointer, "is " + m.value.describe() + ", expected a stage of a trace");
        read_data(need(m.value, pointer, "data", "the numbers of a stage"), child(pointer, "data"), tensor);
        set_type(m.value.find("dtype"), pointer, tensor);
    }
    out.besides.emplace_back("what a trace says of its plan, tokens and warnings");
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
        out.tensors.push_back(read_member(m.name, m.value, child("", m.name)));
    }
    if (!ignored.empty()) out.besides.push_back(ignored);
}

}  // namespace

FileTensors read_json_tensors(const Source& source) {
    const std::vector<Document> documents = parse_documents(source, {DType::float32, false});
    FileTensors out;
    try {
        if (documents.size() > 1)
            fail("", "holds " + std::to_string(documents.size()) + " documents, expected one");
        read_document(documents.front(), out);
    } catch (Error& error) {
        error.place.file = source.name;
        locate(error, source, documents.front());
        throw;
    }
    return out;
}

}  // namespace attn
