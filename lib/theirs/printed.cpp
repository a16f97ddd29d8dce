#include "lib/theirs/printed.hpp"

#include <algorithm>
#include <array>

#include "lib/input/words.hpp"
#include "lib/plan/stage.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view blank = " \t\r\n";
constexpr std::string_view tensor_words[] = {"tensor(", "array(", "Array("};

std::string_view trimmed(std::string_view text, std::string_view of = blank) {
    const std::size_t first = text.find_first_not_of(of);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(of) - first + 1);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The name that a text gives to the array after it: what its last line says before `=` or `:`, the words of
/// printing programs taken away.
std::string name_before(std::string_view lead) {
    const auto without = [&](std::string_view word, bool front) {
        const bool there = front ? lead.starts_with(word) : lead.ends_with(word);
        if (there && front) lead.remove_prefix(word.size());
        if (there && !front) lead.remove_suffix(word.size());
        return there;
    };
    for (bool more = true; more;) {
        lead = trimmed(lead, " \t\r\n=:,");
        more = false;
        for (const std::string_view word : {"tensor(", "tf.Tensor(", "array(", "Array(", "numpy=",
                                            "Parameter containing", "torch.", "np.", "numpy.", "jnp."})
            more = more || without(word, false);
        if (const std::size_t tag = lead.rfind("<tf."); tag != std::string_view::npos) {
            lead = lead.substr(0, tag);
            more = true;
        }
    }
    const std::size_t answer = lead.rfind("Out[");  // IPython: the name stands in the line that was typed
    if (answer != std::string_view::npos && lead.find('\n', answer) == std::string_view::npos)
        lead = trimmed(lead.substr(0, answer));
    if (const std::size_t line = lead.rfind('\n'); line != std::string_view::npos)
        lead.remove_prefix(line + 1);
    if (lead.starts_with("In ["))
        if (const std::size_t prompt = lead.find("]:"); prompt != std::string_view::npos)
            lead.remove_prefix(prompt + 2);
    while (without(">>>", true) || without("...", true)) lead = trimmed(lead);
    lead = trimmed(lead, " \t\r{},:='\"()");
    return std::string(lead);
}

/// Reads what stands in brackets, one array after another.
class Brackets {
  public:
    explicit Brackets(const Source& source) : source_(source), text_(source.text) {}

    std::vector<GivenArray> arrays;

    void read() {
        std::size_t lead = 0;
        while ((at_ = text_.find('[', at_)) != std::string_view::npos) {
            const std::string_view before = trimmed(text_.substr(lead, at_ - lead));
            if (!begins_array(before)) {
                ++at_;
                continue;
            }
            if (before.ends_with('*'))
                refuse("has a factor before the brackets",
                       "torch.set_printoptions(sci_mode=False) prints none");
            GivenArray array;
            array.name = name_before(before);
            innermost_ = unknown;
            shape_.clear();
            digits_.clear();
            values_.clear();
            list(0);
            array.shape = shape_;
            array.values = std::move(values_);
            array.printed = true;
            mark_digits(array, digits_);
            if (before.ends_with('(')) tail(array);
            if (!array.values.empty()) arrays.push_back(std::move(array));
            lead = at_;
        }
    }

  private:
    [[noreturn]] void refuse(std::string message, std::string hint = {}) const {
        const auto end = text_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, text_.size()));
        refuse_line(source_, static_cast<std::size_t>(std::count(text_.begin(), end, '\n')) + 1,
                    std::move(message), std::move(hint));
    }

    /// Whether the bracket here opens numbers, and not a prompt, a size or a list of words.
    bool begins_array(std::string_view before) const {
        if (before.ends_with("Size(") || before.ends_with("In") || before.ends_with("Out")) return false;
        if (!before.empty() && (is_digit(before.back()) || before.back() == ']')) return false;
        const std::size_t first = text_.find_first_not_of(" \t\r\n[", at_);
        if (first == std::string_view::npos) return false;
        const std::string_view rest = text_.substr(first);
        return is_digit(rest[0]) || rest[0] == '-' || rest[0] == '.' || rest.starts_with("nan") ||
               rest.starts_with("inf") || rest.starts_with("True") || rest.starts_with("False");
    }

    void list(std::size_t level) {
        if (level == deepest) refuse("has brackets more than " + std::to_string(deepest) + " levels deep");
        ++at_;
        Index count = 0;
        for (;; ++count) {
            skip_blank();
            if (at_ >= text_.size()) refuse("ends before its brackets are closed");
            if (text_[at_] == ']') break;
            const std::string_view rest = text_.substr(at_);
            if (rest.starts_with("...") || rest.starts_with("…"))
                refuse("leaves numbers out (...): a print that is summarised cannot be compared",
                       "torch.set_printoptions(threshold=float(\"inf\")), "
                       "numpy.set_printoptions(threshold=sys.maxsize) or a file (numpy.save) hold all");
            const bool is_row = text_[at_] == '[';
            if (innermost_ != unknown && is_row == (innermost_ == level))
                refuse("has numbers and rows in one list");
            if (is_row) {
                list(level + 1);
            } else {
                innermost_ = level;
                number();
            }
            skip_blank();
            if (at_ < text_.size() && text_[at_] == ',') ++at_;
        }
        ++at_;
        if (shape_.size() <= level) shape_.resize(level + 1, -1);
        if (shape_[level] >= 0 && shape_[level] != count)
            refuse("has a row of " + std::to_string(count) + ", but the one before has " +
                       std::to_string(shape_[level]),
                   "every row of an array has the same length");
        shape_[level] = count;
    }

    void skip_blank() { at_ = std::min(text_.find_first_not_of(blank, at_), text_.size()); }

    void number() {
        const std::size_t end = std::min(text_.find_first_of("[], \t\r\n", at_), text_.size());
        const std::string_view word = text_.substr(at_, end - at_);
        const bool yes = word == "True", no = word == "False";
        const auto value = number_of_text(word);
        if (!value && !yes && !no) refuse("has " + shown(word) + " where a number stands");
        values_.push_back(value.value_or(yes ? 1 : 0));
        digits_.push_back(value ? digits_of(word) : Digits{});
        at_ = end;
    }

    /// `, dtype=torch.float64, grad_fn=<...>, device='cuda:0')`
    void tail(GivenArray& array) {
        Index depth = 1;
        std::size_t end = at_;
        for (; end < text_.size() && depth > 0; ++end)
            depth += text_[end] == '(' ? 1 : text_[end] == ')' ? -1 : 0;
        const std::string_view words = text_.substr(at_, end - at_);
        if (const std::size_t type = words.find("dtype="); type != std::string_view::npos) {
            const std::string_view name = words.substr(type + 6);
            array.type = type_named(trimmed(name.substr(0, name.find_first_of(",)>")), " '\""));
        }
        at_ = end;
    }

    static constexpr std::size_t unknown = SIZE_MAX, deepest = 64;
    const Source& source_;
    std::string_view text_;
    std::size_t at_ = 0, innermost_ = unknown;  ///< the level of lists of numbers
    Shape shape_;
    std::vector<double> values_;
    std::vector<Digits> digits_;
};

/// The tokens of a stage of a CSV trace, where they are those of all queries or of all keys.
void take_tokens(FileTensor& from, Dump& to) {
    const auto stage = stage_named(from.name);
    if (!stage) return;
    const StageShape shape = info_of(*stage).shape;
    if (!has_all_keys(shape)) return;
    if (to.query_tokens.empty()) to.query_tokens = given_tokens(std::move(from.tokens[0]));
    if (to.key_tokens.empty()) to.key_tokens = given_tokens(std::move(from.tokens[1]));
}

}  // namespace

void refuse_line(const Source& source, std::size_t line, std::string message, std::string hint) {
    Error error(Exit::input, {}, std::move(message), std::move(hint));
    error.place.file = source.name;
    error.place.line = static_cast<std::int64_t>(line);
    error.place.column = 1;
    throw error;
}

bool is_print(std::string_view text) {
    for (const std::string_view word : tensor_words)
        if (text.find(word) != std::string_view::npos) return true;
    for (std::size_t at = 0; (at = text.find('[', at)) != std::string_view::npos; ++at) {
        const std::size_t line = text.rfind('\n', at) + 1;  // npos + 1 is 0
        if (text[line] == '#') continue;
        const std::size_t first = text.find_first_not_of(" \t\r\n[", at);
        if (first == std::string_view::npos) return false;
        const char c = text[first];
        if (is_digit(c) || c == '-' || c == '.' || text.substr(first).starts_with("nan") ||
            text.substr(first).starts_with("inf"))
            return true;
    }
    return false;
}

bool is_bracketed_print(std::string_view text) {
    for (const std::string_view word : tensor_words)
        if (text.find(word) != std::string_view::npos) return true;
    // Brackets, numbers and the words of numpy, and nothing of what JSON has besides.
    return text.find_first_not_of("[]0123456789.+-eEinfaTrueFalse, \t\r\n") == std::string_view::npos;
}

std::vector<Dump> read_print(const Source& source) {
    Brackets brackets(source);
    brackets.read();
    if (brackets.arrays.empty()) refuse_line(source, 1, "holds no array of numbers in brackets");
    const auto unnamed = std::count_if(brackets.arrays.begin(), brackets.arrays.end(),
                                       [](const GivenArray& a) { return a.name.empty(); });
    if (brackets.arrays.size() > 1 && unnamed > 0)
        refuse_line(source, 1,
                    "holds " + std::to_string(brackets.arrays.size()) + " arrays, " +
                        std::to_string(unnamed) + " of them without a name",
                    "print the name of a stage before each: print(\"weights =\", weights)");
    std::vector<Dump> dumps(1);
    dumps[0].arrays = std::move(brackets.arrays);
    return dumps;
}

std::vector<Dump> read_plain(const Source& source) {
    if (is_csv_trace(source.text)) {
        std::vector<Dump> dumps;
        for (FileTensor& t : read_csv_tensors(source).tensors) {
            if (dumps.empty() || dumps.back().number != t.document) {
                dumps.emplace_back().number = t.document;
            }
            dumps.back().order.push_back(t.name);
            take_tokens(t, dumps.back());
            GivenArray& array = dumps.back().arrays.emplace_back();
            array.name = std::move(t.name);
            array.shape = t.shape.empty() ? Shape{1} : std::move(t.shape);
            array.as_ours = true;
            array.places = std::move(t.places);
            copy_as(std::nullopt, t.numbers, array.values);
        }
        if (dumps.empty()) refuse_line(source, 1, "holds no numbers");
        return dumps;
    }
    return is_stage_text(source.text) || !is_print(source.text) ? read_tables(source) : read_print(source);
}

}  // namespace attn
