#include "lib/render/pictures/ramp.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace attn {
namespace {

/// A colour as lightness, chroma and hue in degrees (OKLCH).
struct Lch {
    double lightness, chroma, hue;
};
/// At equal distances from place 0 to 1; lightness in equal steps.
using Anchors = std::array<Lch, 5>;
constexpr Anchors blues{{{0.985, 0.004, 250},
                         {0.81375, 0.080, 252},
                         {0.6425, 0.135, 253},
                         {0.47125, 0.130, 259},
                         {0.30, 0.110, 264}}};
constexpr Anchors blues_on_dark{{{0.25, 0.025, 264},
                                 {0.4275, 0.105, 259},
                                 {0.605, 0.140, 252},
                                 {0.7825, 0.095, 246},
                                 {0.96, 0.030, 235}}};
constexpr Anchors blue_to_orange{
    {{0.92, 0.060, 215}, {0.7825, 0.105, 232}, {0.645, 0, 0}, {0.5075, 0.118, 46}, {0.37, 0.115, 38}}};
constexpr Anchors blue_to_orange_on_dark{
    {{0.36, 0.140, 262}, {0.50, 0.130, 258}, {0.64, 0, 0}, {0.78, 0.140, 72}, {0.92, 0.110, 88}}};

const Anchors& anchors_of(Ramp ramp, Ground ground) {
    if (ramp == Ramp::sequential) return ground == Ground::light ? blues : blues_on_dark;
    return ground == Ground::light ? blue_to_orange : blue_to_orange_on_dark;
}

struct Lab {
    double l, a, b;
};

Lab lab(const Lch& c) {
    const double radians = c.hue * 3.14159265358979323846 / 180;
    return {c.lightness, c.chroma * std::cos(radians), c.chroma * std::sin(radians)};
}

/// A channel of linear light as sRGB's 8 bits (IEC 61966-2-1).
std::uint8_t encoded(double linear) {
    const double x = std::clamp(linear, 0.0, 1.0);
    const double s = x <= 0.0031308 ? 12.92 * x : 1.055 * std::pow(x, 1 / 2.4) - 0.055;
    return static_cast<std::uint8_t>(std::lround(255 * s));
}

double decoded(std::uint8_t channel) {
    const double s = channel / 255.0;
    return s <= 0.04045 ? s / 12.92 : std::pow((s + 0.055) / 1.055, 2.4);
}

/// Oklab to sRGB (bottosson.github.io/posts/oklab).
Rgb srgb(const Lab& c) {
    const auto cube = [](double x) { return x * x * x; };
    const double l = cube(c.l + 0.3963377774 * c.a + 0.2158037573 * c.b),
                 m = cube(c.l - 0.1055613458 * c.a - 0.0638541728 * c.b),
                 s = cube(c.l - 0.0894841775 * c.a - 1.2914855480 * c.b);
    return {encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
            encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
            encoded(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

Lab between(const Lch& from, const Lch& to, double share) {
    const Lab a = lab(from), b = lab(to);
    return {a.l + share * (b.l - a.l), a.a + share * (b.a - a.a), a.b + share * (b.b - a.b)};
}

constexpr int steps_of_search = 2048;

}  // namespace

std::string hex(Rgb c) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "#%02x%02x%02x", c.red, c.green, c.blue);
    return text.data();
}

double luminance(Rgb c) {
    return 0.2126 * decoded(c.red) + 0.7152 * decoded(c.green) + 0.0722 * decoded(c.blue);
}

bool wants_white_ink(Rgb colour) {
    // (1 + 0.05) / (y + 0.05) > (y + 0.05) / 0.05
    const double y = luminance(colour) + 0.05;
    return 1.05 * 0.05 > y * y;
}

Rgb colour_at(Ramp ramp, double place, Ground ground) {
    const Anchors& c = anchors_of(ramp, ground);
    const std::size_t pieces = c.size() - 1;
    const double at = std::clamp(place, 0.0, 1.0) * static_cast<double>(pieces);
    const auto piece = std::min(static_cast<std::size_t>(at), pieces - 1);
    return srgb(between(c[piece], c[piece + 1], at - static_cast<double>(piece)));
}

double place_of(Ramp ramp, Rgb colour, Ground ground) {
    int best = 0, least = 3 * 256 * 256, ties = 0;
    double sum = 0;
    for (int k = 0; k <= steps_of_search; ++k) {
        const Rgb c = colour_at(ramp, static_cast<double>(k) / steps_of_search, ground);
        const int red = c.red - colour.red, green = c.green - colour.green, blue = c.blue - colour.blue;
        const int distance = red * red + green * green + blue * blue;
        if (distance < least) {
            least = distance;
            best = k;
            sum = ties = 0;
        }
        if (distance == least && k <= best + ties) {
            sum += k;  // the middle of the places that share a colour
            ++ties;
        }
    }
    return sum / ties / steps_of_search;
}

double Scale::place(double number) const {
    const double p = (number - low) / (high - low);
    return p > 0 ? std::min(p, 1.0) : 0;
}

Scale scale_of(bool weights, const Extent& extent) {
    /// Sums of rounded weights are this far from 1 at most.
    constexpr double rounding = 1e-4;
    const double most = extent.empty() ? 0 : std::max(std::abs(extent.least), std::abs(extent.largest));
    if (weights && (extent.empty() || extent.least >= 0))
        return {Ramp::sequential, 0, most > 1 + rounding ? most : 1};
    const double end = weights ? std::max(most, 1.0) : most > 0 ? most : 1;
    return {Ramp::diverging, -end, end};
}

}  // namespace attn
