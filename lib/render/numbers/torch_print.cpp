#include "lib/render/numbers/torch_print.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "lib/render/numbers/number.hpp"

namespace attn {
namespace {

constexpr int precision = 4;
constexpr std::int64_t threshold = 1000;
constexpr std::int64_t edge_items = 3;
constexpr std::size_t line_width = 80;
constexpr std::string_view prefix = "tensor(";

using Sizes = std::span<const std::int64_t>;
using Reader = std::function<double(std::int64_t)>;

std::int64_t count(Sizes shape) {
    std::int64_t product = 1;
    for (const std::int64_t extent : shape) product *= extent;
    return product;
}

/// One form for all elements of a tensor, chosen from those that are shown.
class Formatter {
  public:
    explicit Formatter(TorchType type) : integers_(type == TorchType::int64) {}

    void choose(std::span<const double> shown) {
        double least = std::numeric_limits<double>::infinity();
        double most = 0;
        for (const double v : shown) {
            if (!counts(v)) continue;
            least = std::min(least, std::abs(v));
            most = std::max(most, std::abs(v));
            whole_ = whole_ && v == std::ceil(v);
        }
        if (!integers_ && most > 0) {
            exponent_ = most / least > 1000.0 || most > 1.0e8 || (!whole_ && least < 1.0e-4);
        }
        for (const double v : shown) {
            if (integers_ || counts(v)) width_ = std::max(width_, bare(v).size());
        }
    }

    std::size_t width() const { return width_; }

    std::string operator()(double v) const {
        const std::string text = bare(v);
        return std::string(width_ - std::min(width_, text.size()), ' ') + text;
    }

  private:
    static bool counts(double v) { return std::isfinite(v) && v != 0; }

    std::string bare(double v) const {
        std::string text;
        append_fixed(text, v, whole_ && !exponent_ ? 0 : precision, exponent_);
        if (!integers_ && whole_ && !exponent_ && std::isfinite(v)) text += '.';
        return text;
    }

    bool integers_;
    bool whole_ = true;
    bool exponent_ = false;
    std::size_t width_ = 1;
};

/// Walks the elements that are shown, row-major.
class Printer {
  public:
    Printer(TorchType type, Sizes shape, const Reader& value)
        : shape_(shape), value_(value), summarized_(count(shape) > threshold), form_(type) {
        std::vector<double> shown;
        gather(0, 0, shown);
        form_.choose(shown);
    }

    std::string text() const {
        std::string out;
        if (shape_.empty()) {
            out = form_(value_(0));
        } else {
            print(0, 0, out);
        }
        return out;
    }

  private:
    bool cut(std::size_t axis) const { return summarized_ && shape_[axis] > 2 * edge_items; }

    /// Calls visit(i) for the shown positions i of an axis; after the left edge of a cut axis once gap().
    template <typename Visit, typename Gap>
    void walk(std::size_t axis, Visit visit, Gap gap) const {
        for (std::int64_t i = 0; i < shape_[axis]; ++i) {
            if (cut(axis) && i == edge_items) {
                gap();
                i = shape_[axis] - edge_items;
            }
            visit(i);
        }
    }

    void gather(std::size_t axis, std::int64_t base, std::vector<double>& shown) const {
        if (axis == shape_.size()) {
            shown.push_back(value_(base));
            return;
        }
        walk(
            axis, [&](std::int64_t i) { gather(axis + 1, base * shape_[axis] + i, shown); }, [] {});
    }

    void print(std::size_t axis, std::int64_t base, std::string& out) const {
        const std::size_t indent = prefix.size() + axis + 1;
        const std::size_t below = shape_.size() - axis - 1;  // axes inside this one
        const std::size_t room = line_width - std::min(line_width, indent - 1);
        const std::size_t per_line = std::max<std::size_t>(1, room / (form_.width() + 2));
        std::size_t printed = 0;
        const auto separate = [&] {
            if (printed > 0) {
                out += ',';
                if (below > 0) {
                    out.append(below, '\n').append(indent, ' ');
                } else if (printed % per_line == 0) {
                    out.append("\n").append(indent, ' ');
                } else {
                    out += ' ';
                }
            }
            ++printed;
        };
        out += '[';
        walk(
            axis,
            [&](std::int64_t i) {
                separate();
                const std::int64_t position = base * shape_[axis] + i;
                if (below == 0) {
                    out += form_(value_(position));
                } else {
                    print(axis + 1, position, out);
                }
            },
            [&] {
                separate();
                out += below == 0 ? " ..." : "...";
            });
        out += ']';
    }

    Sizes shape_;
    const Reader& value_;
    bool summarized_;
    Formatter form_;
};

/// Appends ", suffix", on a line of its own where the last line would grow beyond 80 characters.
void append_suffix(std::string& out, std::size_t& last_line, const std::string& suffix) {
    if (last_line + suffix.size() + 2 > line_width) {
        out.append(",\n").append(prefix.size(), ' ').append(suffix);
        last_line = prefix.size() + suffix.size();
    } else {
        out.append(", ").append(suffix);
        last_line += suffix.size() + 2;
    }
}

template <typename T>
std::string text_of_span(TorchType type, std::span<const T> values, Sizes shape) {
    if (count(shape) != static_cast<std::int64_t>(values.size())) {
        throw std::logic_error("torch_text: the values do not fill the shape");
    }
    return torch_text(type, shape, [values](std::int64_t k) { return static_cast<double>(values[idx(k)]); });
}

}  // namespace

std::string torch_text(TorchType type, Sizes shape, const Reader& value) {
    const bool empty = count(shape) == 0;
    std::string out(prefix);
    out += empty ? "[]" : Printer(type, shape, value).text();
    // PyTorch counts two characters more than the last line has.
    const std::size_t newline = out.rfind('\n');
    std::size_t last_line = newline == std::string::npos ? out.size() + 2 : out.size() - newline + 1;
    if (empty && shape.size() != 1) {
        std::string size = "size=(";
        for (std::size_t k = 0; k < shape.size(); ++k) size += (k > 0 ? ", " : "") + std::to_string(shape[k]);
        append_suffix(out, last_line, size + ")");
    }
    constexpr std::array<std::string_view, 5> names{"float32", "float64", "bfloat16", "float16", "int64"};
    const bool is_default = type == TorchType::float32 || (type == TorchType::int64 && !empty);
    if (!is_default) append_suffix(out, last_line, "dtype=torch." + std::string(names[idx(type)]));
    return out += ')';
}

bool torch_shows(Sizes shape, std::int64_t k) {
    if (count(shape) <= threshold) return true;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        const std::int64_t extent = shape[axis], i = k % extent;
        if (extent > 2 * edge_items && i >= edge_items && i < extent - edge_items) return false;
        k /= extent;
    }
    return true;
}

std::string torch_text(std::span<const float> values, Sizes shape) {
    return text_of_span(TorchType::float32, values, shape);
}
std::string torch_text(std::span<const double> values, Sizes shape) {
    return text_of_span(TorchType::float64, values, shape);
}
std::string torch_text(std::span<const std::int64_t> values, Sizes shape) {
    return text_of_span(TorchType::int64, values, shape);
}

}  // namespace attn
