// Reads JSON with nlohmann/json's event interface, all but its arrays of numbers (block.cpp); the only file
// that includes it.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "lib/input/block.hpp"
#include "lib/input/foreign.hpp"
#include "lib/input/scan.hpp"
#include "lib/input/value.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Reads the text at a place that the parser's callbacks may move on: arrays of numbers are passed over.
struct Cursor {
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    const char** at = nullptr;
    const char* end = nullptr;  ///< of the cursor that is the end, which stays where it is

    reference operator*() const { return **at; }
    Cursor& operator++() {
        ++*at;
        return *this;
    }
    bool operator==(const Cursor& other) const { return *at == other.end; }
};

constexpr std::size_t kept_digits = 40;

std::string shortened(std::string_view text) {
    return text.size() <= kept_digits ? std::string(text) : std::string(text.substr(0, kept_digits)) + "…";
}

/// Builds Values from events. A callback that returns false ends the parse; the fault stands in `fault`.
class DocumentBuilder {
  public:
    DocumentBuilder(const Source& source, const char*& read, std::optional<DType> dtype, LatePool& pool)
        : source_(source), read_(read), dtype_(dtype), pool_(pool) {}

    Value root;
    std::optional<SyntaxFault> fault;

    bool null() { return add(Value{}); }
    bool boolean(bool v) {
        Value value;
        value.kind = Value::Kind::boolean;
        value.boolean = v;
        return add(std::move(value));
    }
    bool number_integer(std::int64_t v) {
        // "-0" comes as the integer 0; the character after a number has been read already.
        const bool negative_zero =
            v == 0 && read_ - source_.text.data() >= 3 && read_[-2] == '0' && read_[-3] == '-';
        Value value;
        value.kind = Value::Kind::integer;
        value.integer = v;
        value.real = negative_zero ? -0.0 : static_cast<double>(v);
        value.text = std::to_string(v);
        return add(std::move(value));
    }
    bool number_unsigned(std::uint64_t v) {
        if (v <= static_cast<std::uint64_t>(INT64_MAX)) return number_integer(static_cast<std::int64_t>(v));
        return number_float(static_cast<double>(v), std::to_string(v));
    }
    bool number_float(double v, const std::string& digits) {
        Value value;
        value.kind = Value::Kind::real;
        value.real = v;
        value.text = shortened(digits);
        return add(std::move(value));
    }
    bool string(std::string& s) {
        // The document's own precision serves the numbers that follow.
        if (!dtype_ && stack_.size() == 1 && stack_[0].kind == Value::Kind::object &&
            stack_[0].members.back().name == "dtype" && s == "float64")
            dtype_ = DType::float64;
        Value value;
        value.kind = Value::Kind::string;
        value.text = std::move(s);
        return add(std::move(value));
    }
    bool binary(nlohmann::json::binary_t&) { return false; }
    bool start_object(std::size_t) { return open(Value::Kind::object); }
    bool start_array(std::size_t) {
        if (!open(Value::Kind::array)) return false;
        const char* const begin = read_ - 1;
        // Within an array that turned out to be irregular only its rows are tried: nothing is read often.
        const std::size_t most_axes = begin < irregular_ ? 1 : deepest_level + 1 - stack_.size();
        const BlockRequest request{begin, source_.text.data() + source_.text.size(), most_axes,
                                   dtype_.value_or(DType::float32), &pool_};
        const char* at = nullptr;
        Value& value = stack_.back();
        if (read_block(request, value.row, at)) {
            value.kind = Value::Kind::row;
            value.row.keeper = source_.keeper;
            if (source_.let_go) source_.let_go(value.row.text);
            read_ = at;  // the parser goes on with the bracket that closes it
        } else {
            value.row = {};
            irregular_ = std::max(irregular_, at);
        }
        return true;
    }
    bool key(std::string& name) {
        Value& object = stack_.back();
        if (is_repeated(object, name)) return refuse_repeated(name);
        object.members.push_back({std::move(name), Value{}});
        return true;
    }
    bool end_object() {
        if (!names_.empty() && names_.back().first == stack_.size()) names_.pop_back();
        return close();
    }
    bool end_array() { return close(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) { return false; }

  private:
    bool add(Value&& value) {
        if (stack_.empty()) {
            root = std::move(value);
            return true;
        }
        Value& parent = stack_.back();
        if (parent.kind == Value::Kind::object) {
            parent.members.back().value = std::move(value);
        } else {
            parent.items.push_back(std::move(value));
        }
        return true;
    }

    bool open(Value::Kind kind) {
        if (stack_.size() >= deepest_level) return false;  // the scanner finds the place
        stack_.emplace_back().kind = kind;
        return true;
    }

    bool close() {
        Value done = std::move(stack_.back());
        stack_.pop_back();
        return add(std::move(done));
    }

    /// Few members are compared one by one; many by a set of their names.
    bool is_repeated(const Value& object, const std::string& name) {
        constexpr std::size_t few = 16;
        if (object.members.size() < few) return object.find(name) != nullptr;
        if (names_.empty() || names_.back().first != stack_.size()) {
            auto& set = names_.emplace_back(stack_.size(), std::unordered_set<std::string>{}).second;
            for (const auto& [k, v] : object.members) set.insert(k);
        }
        return !names_.back().second.insert(name).second;
    }

    bool refuse_repeated(const std::string& name) {
        // From the closing quote back to the quote that opens the name.
        const char* begin = read_ - 2;
        while (true) {
            if (*begin == '"') {
                const char* slash = begin;
                while (slash[-1] == '\\') --slash;
                if ((begin - slash) % 2 == 0) break;
            }
            --begin;
        }
        std::string pointer;
        for (std::size_t k = 0; k < stack_.size(); ++k) {
            const Value& v = stack_[k];
            if (k + 1 == stack_.size()) {
                pointer = child(pointer, clip(name, 60));
            } else {
                pointer = v.kind == Value::Kind::object
                              ? child(pointer, clip(v.members.back().name, 60))
                              : child(pointer, static_cast<std::int64_t>(v.items.size()));
            }
        }
        fault = SyntaxFault{static_cast<std::size_t>(begin - source_.text.data()),
                            pointer + " is a duplicate: the name stands twice in one object",
                            "keep one of the two"};
        return false;
    }

    const Source& source_;
    const char*& read_;
    std::optional<DType> dtype_;
    LatePool& pool_;
    const char* irregular_ = nullptr;  ///< up to here a block was tried and found irregular
    std::vector<Value> stack_;
    std::vector<std::pair<std::size_t, std::unordered_set<std::string>>> names_;
};

[[noreturn]] void refuse(const Source& source, const SyntaxFault& fault, std::size_t width = 1) {
    SyntaxFault shown = fault;
    if (const auto foreign = foreign_bytes(source.text)) {
        Error e(Exit::input, {}, foreign->what, foreign->hint);
        e.place.file = source.name;
        throw e;
    }
    if (const auto nul = source.text.find('\0'); nul != std::string_view::npos)
        shown = {nul, "holds a NUL byte: unexpected byte 0x00, expected JSON as UTF-8 text", {}};
    Error e(Exit::input, {}, shown.message, shown.hint);
    e.place.file = source.name;
    fill_place(e.place, source, shown.at, width);
    throw e;
}

/// What is wrong with a text that nlohmann/json did not take.
[[noreturn]] void diagnose(const Source& source, std::size_t begin) {
    Scanner scanner(source.text, begin, source.cut ? "line" : "file");
    try {
        scanner.value();
    } catch (SyntaxFault& fault) {
        if (source.cut && fault.hint.empty()) fault.hint = "an NDJSON document ends with its line";
        refuse(source, fault);
    }
    scanner.skip_space();
    if (scanner.at < source.text.size()) refuse(source, {scanner.at, "has more behind its value", {}});
    refuse(source, {begin, "is not JSON", {}});
}

void check_encoding(const Source& source) {
    // A NUL byte stands nowhere in JSON: refuse() names it.
    const std::string_view text = source.text;
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"))
        refuse(source, {0, "is UTF-16 or UTF-32 text, expected UTF-8", "save it as UTF-8"});
}

}  // namespace

namespace {

/// Something else stands where a document should begin.
[[noreturn]] void refuse_value(const Source& source, std::size_t begin) {
    const bool array = source.text[begin] == '[';
    Scanner other(source.text, begin);
    try {
        other.value();
    } catch (const SyntaxFault& fault) {
        // Something that begins as an array or a string is one; anything else is no JSON at all.
        if (fault.at != begin && fault.message.find("deep") == std::string::npos) refuse(source, fault);
        if (!array) refuse(source, {begin, fault.message + " (a document is a JSON object)", {}});
    }
    refuse(source, {begin,
                    "a document is a JSON object: expected '{', found " +
                        std::string(array ? "an array" : "another value"),
                    array ? "several documents follow one another, without brackets and commas" : ""});
}

/// The document at or after a byte; nothing: white space alone.
std::optional<Document> next_document(const Source& source, std::size_t from, const ParseOptions& options,
                                      LatePool& pool) {
    Scanner space(source.text, from);
    space.skip_space();
    const std::size_t begin = space.at;
    if (begin == source.text.size()) return std::nullopt;
    if (source.text[begin] != '{' && !(options.arrays && source.text[begin] == '['))
        refuse_value(source, begin);
    const char* const text = source.text.data();
    const char* read = text + begin;
    DocumentBuilder builder(source, read, options.dtype, pool);
    const bool good = nlohmann::json::sax_parse(Cursor{&read}, Cursor{nullptr, text + source.text.size()},
                                                &builder, nlohmann::json::input_format_t::json, false);
    if (builder.fault) refuse(source, *builder.fault);
    if (!good) diagnose(source, begin);
    Document document;
    document.root = std::move(builder.root);
    document.begin = begin;
    document.end = static_cast<std::size_t>(read - text);
    return document;
}

/// Where the text begins behind its mark.
std::size_t begin_of(const Source& source) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    check_encoding(source);
    return source.text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
}

[[noreturn]] void refuse_nothing(const Source& source) {
    refuse(source, {source.text.size(), "is empty: expected a JSON object", {}});
}

}  // namespace

std::vector<Document> parse_documents(const Source& source, const ParseOptions& options) {
    std::vector<Document> out;
    LatePool pool(options.threads);
    std::size_t at = begin_of(source);
    while (std::optional<Document> document = next_document(source, at, options, pool)) {
        at = document->end;
        out.push_back(std::move(*document));
    }
    if (out.empty()) refuse_nothing(source);
    return out;
}

Document parse_document(const Source& source, const ParseOptions& options) {
    check_encoding(source);  // whoever splits a stream has taken the mark at its start
    LatePool pool(options.threads);
    std::optional<Document> document = next_document(source, 0, options, pool);
    if (!document) refuse_nothing(source);
    return std::move(*document);
}

Value parse_value(const Source& source) {
    check_encoding(source);
    LatePool pool(1);
    const char* const text = source.text.data();
    const char* read = text;
    DocumentBuilder builder(source, read, {}, pool);
    const bool good = nlohmann::json::sax_parse(Cursor{&read}, Cursor{nullptr, text + source.text.size()},
                                                &builder, nlohmann::json::input_format_t::json, true);
    if (builder.fault) refuse(source, *builder.fault);
    if (!good) diagnose(source, 0);
    return std::move(builder.root);
}

}  // namespace attn
