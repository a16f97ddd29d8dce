#include "lib/render/pictures/figures.hpp"

#include <algorithm>
#include <cmath>

#include "lib/render/escape.hpp"
#include "lib/render/numbers/number.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr int longest_name = 40;
constexpr double cell_exponents_from = 1e5;

std::string axis_place(const PictureAxis& axis, Index drawn) {
    const Index first = drawn * axis.each, last = std::min(first + axis.each, axis.whole()) - 1;
    const std::string one = axis.name.empty() ? "row" : axis.one;
    std::string out = (first == last ? one : axis.name) + " " + fitted(axis.label(first), longest_name);
    if (first != last) out += " to " + fitted(axis.label(last), longest_name);
    return out;
}

}  // namespace

std::string cell_number(double number, const RenderOptions& options) {
    if (std::isnan(number)) return "NaN";
    std::string out;
    append_fixed(out, number, options.precision_asked ? options.precision : cell_precision,
                 std::isfinite(number) && std::abs(number) >= cell_exponents_from);
    return out;
}

std::string whole_number(const Picture& picture, std::size_t place) {
    std::string out;
    append_shortest(out, picture.at(place), picture.dtype(), NonFinite::bare);
    return out;
}

std::string range_note(const Picture& picture) {
    if (picture.extent.empty()) return {};
    return "numbers " + scale_number(picture.extent.least) + " to " + scale_number(picture.extent.largest);
}

std::string scale_number(double number) { return significant(number, 4); }

std::string cell_name(const Picture& picture, Index row, Index column) {
    std::string out = picture.rows.name.empty() ? "" : axis_place(picture.rows, row) + ", ";
    return out + axis_place(picture.columns, column);
}

std::string fitted(std::string_view utf8, int columns, bool ascii) {
    if (columns < 1) return {};
    if (!ascii) return clip(visible(utf8), columns);
    std::string all = in_ascii(visible(utf8));
    const auto room = static_cast<std::size_t>(columns);
    constexpr std::string_view cut = "...";
    if (all.size() <= room) return all;
    return room > cut.size() ? all.substr(0, room - cut.size()).append(cut) : all.substr(0, room);
}

std::string cell_label(const PictureAxis& axis, Index drawn, int columns, bool ascii) {
    return fitted(axis.label(drawn * axis.each), columns, ascii);
}

Index label_step(Index cells) {
    for (Index power = 1;; power *= 10)
        for (const Index n : {1, 2, 5})
            if (n * power >= cells) return n * power;
}

std::string heading_of(const Picture& picture) {
    const std::string name = fitted(picture.name, 80);
    return picture.formula.empty() ? name : name + " = " + picture.formula;
}

}  // namespace attn
