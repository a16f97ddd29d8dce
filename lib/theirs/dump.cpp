#include "lib/theirs/dump.hpp"

#include <algorithm>
#include <cmath>

#include "lib/input/read_tensor.hpp"
#include "lib/plan/stage.hpp"
#include "lib/theirs/events.hpp"
#include "lib/theirs/gradient_names.hpp"
#include "lib/theirs/printed.hpp"

namespace attn {
namespace {

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
class DumpReader {
  public:
    explicit DumpReader(Dump& dump) : dump_(dump) {}

    void read(const Value& value, const std::string& name, const std::string& pointer) {
        if (is_list(value)) {
            if (is_numbers(value)) return add(value, value, name, pointer);
            for (std::size_t k = 0; k < value.items.size(); ++k)
                read(value.items[k], joined(name, std::to_string(k)), child(pointer, static_cast<Index>(k)));
        } else if (value.kind == Value::Kind::object) {
            if (const Value* data = data_of(value)) return add(value, *data, name, pointer);
            for (const Member& m : value.members)
                if (!is_ignored(m.name)) read(m.value, joined(name, m.name), child(pointer, m.name));
        }
    }

  private:
    static std::string joined(const std::string& prefix, const std::string& name) {
        return prefix.empty() ? name : prefix + "." + name;
    }

    void add(const Value& value, const Value& data, const std::string& name, const std::string& pointer) {
        GivenArray array;
        array.name = name;
        try {
            FileTensor tensor = read_json_tensor(value, pointer);
            array.shape = tensor.shape.empty() ? Shape{1} : std::move(tensor.shape);
            array.type = tensor.said;
            array.axes = std::move(tensor.axes);
            copy_as(array.type, tensor.numbers, array.values);
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

void read_trace(const Value& root, Dump& dump) {
    read_about(root, dump);
    if (const Value* stages = root.find("stages")) DumpReader(dump).read(*stages, {}, "/stages");
}

bool is_trace(const Value& root) {
    const Value* schema = root.find("schema");
    return root.kind == Value::Kind::object && schema && schema->kind == Value::Kind::string &&
           schema->text.starts_with("attn-calc/trace/");
}

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
            const bool printed = !exact && most <= most_printed && array.digits >= least_printed &&
                                 (array.printed || !array.type);
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

}  // namespace

TextFile read_text(Source source) {
    TextFile file;
    const std::size_t first = source.text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
    const bool json = first == std::string::npos || source.text[first] == '{' || source.text[first] == '[';
    file.source = std::move(source);
    if (!json) return file;
    try {
        JsonText read = read_json_text(file.source, {DType::float64, true});
        if (read.source.text.data() != file.source.text.data()) file.as_written = std::move(file.source);
        file.source = std::move(read.source);
        file.documents = std::move(read.documents);
    } catch (const Error&) {
        // numpy prints an array in brackets without commas, Python a dict of tensors in braces.
        if (!is_bracketed_print(file.source.text)) throw;
    }
    return file;
}

void read_as_input(TextFile& file) {
    if (!file.as_written) return;
    file.source = std::move(*file.as_written);
    file.as_written.reset();
    file.documents = parse_documents(file.source, {DType::float64, true});
}

TextForm form_of(const TextFile& file, TextSide side) {
    if (file.documents.empty()) return TextForm::dump;
    const Value& root = file.documents.front().root;
    if (root.kind != Value::Kind::object || is_trace(root) || is_event(root)) return TextForm::dump;
    const auto is_key = [&](const Member& m) {
        return is_ignored(m.name) || stage_named(m.name).has_value() || is_gradient_name(m.name);
    };
    const Value* weights = root.find("weights");
    const bool numbers = !weights || is_numbers(*weights) || data_of(*weights);  // else those of a projection
    if (numbers && std::all_of(root.members.begin(), root.members.end(), is_key)) {
        const auto given = std::count_if(root.members.begin(), root.members.end(),
                                         [](const Member& m) { return !is_ignored(m.name); });
        const bool computable =
            given == 3 && root.find("queries") && root.find("keys") && root.find("values");
        return side == TextSide::ours && computable ? TextForm::input : TextForm::dump;
    }
    const bool results = root.find("scores") || root.find("context") || root.find("output") ||
                         (weights && is_numbers(*weights));
    return (root.find("embeddings") || root.find("queries")) && !results ? TextForm::input : TextForm::dump;
}

std::vector<Dump> read_dumps(const TextFile& file, PrintedDigits digits) {
    std::vector<Dump> dumps;
    if (file.documents.empty()) {
        dumps = read_plain(file.source);
    } else if (is_event(file.documents.front().root)) {
        dumps = read_events(file.source, file.documents);
    } else {
        for (const Document& document : file.documents) {
            Dump& dump = dumps.emplace_back();
            if (file.documents.size() > 1) dump.number = static_cast<Index>(dumps.size()) - 1;
            try {
                if (is_trace(document.root))
                    read_trace(document.root, dump);
                else
                    DumpReader(dump).read(document.root, {}, {});
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

bool is_events(const JsonText& text) {
    return !text.documents.empty() && is_event(text.documents.front().root);
}

FileTensors tensors_of(const TextFile& file) {
    std::vector<Dump> dumps = read_dumps(file, {});
    if (dumps.size() != 1) {
        Error error(Exit::input, {}, "holds several documents, expected one");
        error.place.file = file.source.name;
        throw error;
    }
    FileTensors out;
    std::vector<GivenArray>& arrays = dumps.front().arrays;
    const std::vector<std::string>& order = dumps.front().order;
    const auto place = [&](const GivenArray& a) { return std::find(order.begin(), order.end(), a.name); };
    std::stable_sort(arrays.begin(), arrays.end(),
                     [&](const GivenArray& a, const GivenArray& b) { return place(a) < place(b); });
    for (GivenArray& a : arrays) {
        FileTensor& t = out.tensors.emplace_back();
        t.name = std::move(a.name);
        t.shape = std::move(a.shape);
        t.said = a.type;
        t.axes = std::move(a.axes);
        t.numbers = a.type == Element::float32 ? Numbers(std::vector<float>(a.values.begin(), a.values.end()))
                                               : Numbers(std::move(a.values));
    }
    out.besides.emplace_back(beside_stages);
    return out;
}

Dump dump_of(const TensorFile& file) {
    Dump dump;
    dump.unread = take_each(file, [&](const StoredTensor& t, const Numbers& numbers) {
        GivenArray& array = dump.arrays.emplace_back();
        array.name = t.name;
        array.shape = t.shape.empty() ? Shape{1} : t.shape;
        array.type = type_named(name_of(t.element));
        copy_as(std::nullopt, numbers, array.values);
    });
    if (const std::string about = file.about(); !about.empty())
        for (const Document& document : parse_documents(Source("attn_calc.json", about)))
            read_about(document.root, dump);
    return dump;
}

}  // namespace attn
