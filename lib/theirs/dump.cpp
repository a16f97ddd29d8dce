#include "lib/theirs/dump.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "lib/input/read_tensor.hpp"
#include "lib/theirs/events.hpp"

namespace attn {
namespace {

constexpr TensorRule any_numbers{1, 5, Elements::additive, "nested arrays of numbers"};
/// Decimals of float32 and wider that are written in full have more digits.
constexpr int most_printed = 6, least_printed = 2;

/// A list that leads to numbers by its first elements.
bool is_numbers(const Value& value) {
    const Value* v = &value;
    while (v->kind == Value::Kind::array && !v->items.empty()) v = &v->items.front();
    return (v->kind == Value::Kind::row && !v->row.numbers.empty()) ||
           (v != &value && (v->kind == Value::Kind::null || v->kind == Value::Kind::integer ||
                            v->kind == Value::Kind::real));
}

void collect_digits(const Value& value, std::vector<Digits>& out) {
    const std::vector<Digits> digits = value.row.digits();
    out.insert(out.end(), digits.begin(), digits.end());
    for (const Value& item : value.items) collect_digits(item, out);
}

/// Reads the arrays of one JSON document.
class Reader {
  public:
    explicit Reader(Dump& dump) : dump_(dump) {}

    void read(const Value& value, const std::string& name, const std::string& pointer) {
        if (is_list(value)) {
            if (is_numbers(value)) return add(value, value, name, pointer);
            for (std::size_t k = 0; k < value.items.size(); ++k)
                read(value.items[k], joined(name, std::to_string(k)), child(pointer, static_cast<Index>(k)));
        } else if (value.kind == Value::Kind::object) {
            const Value* data = value.find("data");
            if (data && is_list(*data)) return tensor(value, *data, name, pointer);
            for (const Member& m : value.members)
                if (!is_ignored(m.name)) read(m.value, joined(name, m.name), child(pointer, m.name));
        }
    }

  private:
    static std::string joined(const std::string& prefix, const std::string& name) {
        return prefix.empty() ? name : prefix + "." + name;
    }

    void tensor(const Value& value, const Value& data, const std::string& name, const std::string& pointer) {
        const bool flat = value.find("shape") && data.kind == Value::Kind::row && value.members.size() == 2;
        std::optional<Element> type;
        if (const Value* said = value.find("dtype"); said && said->kind == Value::Kind::string)
            type = type_named(said->text);
        add(flat ? value : data, data, name, flat ? pointer : child(pointer, "data"), type);
        GivenArray& array = dump_.arrays.back();
        if (const Value* axes = value.find("axes"); axes && axes->kind == Value::Kind::array)
            for (const Value& axis : axes->items) array.axes.push_back(axis.text);
    }

    void add(const Value& value, const Value& data, const std::string& name, const std::string& pointer,
             std::optional<Element> type = {}) {
        GivenArray array;
        array.name = name;
        array.type = type;
        try {
            TensorSource source = read_tensor(value, pointer, any_numbers);
            array.shape = source.shape;
            copy_as(type, source.numbers, array.values);
        } catch (Error& error) {
            if (error.message.starts_with("is null") && error.hint.empty())
                error.hint = R"(null may be any of "NaN", "Infinity" and "-Infinity": write which)";
            throw;
        }
        collect_digits(data, digits_);
        if (digits_.size() == array.values.size()) mark_digits(array, digits_);
        digits_.clear();
        dump_.arrays.push_back(std::move(array));
    }

    Dump& dump_;
    std::vector<Digits> digits_;
};

void read_selection(const Value& root, Dump& dump) {
    const Value* selection = root.find("selection");
    if (!selection || selection->kind != Value::Kind::object) return;
    for (const Member& m : selection->members) {
        std::string text;
        for (Index k = 0; k < m.value.row.numbers.size(); ++k)
            text += (text.empty() ? "" : ",") + std::to_string(static_cast<Index>(m.value.row.numbers[k]));
        if (!text.empty()) dump.selection.emplace_back(m.name, text);
    }
}

void read_trace(const Value& root, Dump& dump) {
    if (const Value* order = root.find("order"); order && order->kind == Value::Kind::array)
        for (const Value& name : order->items) dump.order.push_back(name.text);
    read_selection(root, dump);
    if (const Value* stages = root.find("stages")) Reader(dump).read(*stages, {}, "/stages");
}

bool is_trace(const Value& root) {
    const Value* schema = root.find("schema");
    return root.kind == Value::Kind::object && schema && schema->kind == Value::Kind::string &&
           schema->text.starts_with("attn-calc/trace/");
}

bool is_event(const Value& root) { return root.kind == Value::Kind::object && root.find("event"); }

/// Few digits may be all there are: a binary number with so many decimals is a multiple of 2^-digits.
bool is_exact(const GivenArray& array) {
    return !array.padded && std::all_of(array.values.begin(), array.values.end(), [&](double x) {
        const double steps = std::ldexp(x, array.digits);
        return !std::isfinite(x) || steps == std::nearbyint(steps);
    });
}

/// Whether decimals were printed with few digits is seen on all arrays of a file together.
void settle_digits(std::vector<Dump>& dumps, PrintedDigits asked) {
    int most = 0;
    bool exact = true;
    for (const Dump& dump : dumps)
        for (const GivenArray& array : dump.arrays) {
            most = std::max(most, array.digits);
            exact = exact && is_exact(array);
        }
    for (Dump& dump : dumps) {
        for (GivenArray& array : dump.arrays) {
            const bool printed =
                !exact && most <= most_printed && array.digits >= least_printed && !array.type;
            if (asked && *asked > 0) {
                const double rescale = std::pow(10.0, array.digits - *asked);
                if (array.half_unit.empty())
                    array.half_unit.assign(array.values.size(),
                                           static_cast<float>(0.5 * std::pow(10.0, -*asked)));
                else
                    for (float& h : array.half_unit) h = static_cast<float>(static_cast<double>(h) * rescale);
                array.digits = *asked;
            } else if (asked || !printed) {
                array.half_unit.clear();
                array.digits = 0;
            }
        }
    }
}

/// Bare NaN, Infinity and -Infinity, which Python writes, become strings.
std::string with_quoted_words(std::string_view text) {
    std::string out;
    bool inside = false;
    for (std::size_t k = 0; k < text.size(); ++k) {
        const std::string_view rest = text.substr(k);
        if (inside && rest[0] == '\\' && rest.size() > 1) {
            out += rest.substr(0, 2);
            ++k;
            continue;
        }
        if (rest[0] == '"') inside = !inside;
        std::string_view word;
        for (const std::string_view w : {"NaN", "Infinity", "-Infinity"})
            if (!inside && rest.starts_with(w)) word = w;
        if (word.empty()) {
            out += rest[0];
        } else {
            out += '"' + std::string(word) + '"';
            k += word.size() - 1;
        }
    }
    return out;
}

}  // namespace

std::optional<Element> type_named(std::string_view name) {
    constexpr std::array types{Element::float64, Element::float32, Element::float16, Element::bfloat16};
    for (const Element type : types)
        if (name_of(type) == name) return type;
    return std::nullopt;
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

TextFile read_text(Source source) {
    TextFile file;
    const std::size_t first = source.text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
    const bool json = first == std::string::npos || source.text[first] == '{' || source.text[first] == '[';
    file.source = std::move(source);
    if (!json) return file;
    if (file.source.text.find("NaN") != std::string::npos ||
        file.source.text.find("Infinity") != std::string::npos)
        file.source = Source(file.source.name, with_quoted_words(file.source.text));
    file.documents = parse_documents(file.source, {DType::float64, true});
    return file;
}

TextForm form_of(const TextFile& file) {
    if (file.documents.empty()) return TextForm::dump;
    const Value& root = file.documents.front().root;
    if (root.kind != Value::Kind::object || is_trace(root) || is_event(root)) return TextForm::dump;
    const Value* weights = root.find("weights");
    const bool results = root.find("scores") || root.find("context") || root.find("output") ||
                         (weights && is_numbers(*weights));
    return (root.find("embeddings") || root.find("queries")) && !results ? TextForm::input : TextForm::dump;
}

std::vector<Dump> read_dumps(const TextFile& file, PrintedDigits digits) {
    std::vector<Dump> dumps;
    if (file.documents.empty()) {
        dumps.push_back(read_rows(file.source));
    } else if (is_event(file.documents.front().root)) {
        dumps = read_events(file);
    } else {
        for (const Document& document : file.documents) {
            Dump& dump = dumps.emplace_back();
            if (file.documents.size() > 1) dump.number = static_cast<Index>(dumps.size()) - 1;
            try {
                if (is_trace(document.root))
                    read_trace(document.root, dump);
                else
                    Reader(dump).read(document.root, {}, {});
            } catch (Error& error) {
                error.place.file = file.source.name;
                locate(error, file.source, document);
                throw;
            }
        }
    }
    settle_digits(dumps, digits);
    for (Dump& dump : dumps) dump.file = file.source.name;
    return dumps;
}

Dump dump_of(const TensorFile& file) {
    Dump dump;
    for (std::size_t k = 0; k < file.tensors().size(); ++k) {
        const StoredTensor& t = file.tensors()[k];
        GivenArray& array = dump.arrays.emplace_back();
        array.name = t.name;
        array.shape = t.shape.empty() ? Shape{1} : t.shape;
        array.type = type_named(name_of(t.element));
        copy_as(std::nullopt, file.take(k), array.values);
    }
    return dump;
}

}  // namespace attn
