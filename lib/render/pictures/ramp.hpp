#pragma once
#include <cstdint>
#include <limits>
#include <string>

namespace attn {

struct Rgb {
    std::uint8_t red = 0, green = 0, blue = 0;
    bool operator==(const Rgb&) const = default;
};

/// "#1a2b3c"
std::string hex(Rgb colour);

/// Relative luminance, 0 to 1 (WCAG 2.1): what a greyscale print keeps of a colour.
double luminance(Rgb colour);

/// Whether white text is read more easily on it than black (the higher contrast of WCAG 2.1).
bool wants_white_ink(Rgb colour);

/// sequential: one hue; its place 0 is next to the ground, 1 farthest from it. diverging: blue for negative
/// numbers, grey at 0 (place 0.5), orange for positive ones. Both go from one end to the other in equal steps
/// of lightness (that of Oklab, B. Ottosson 2020), so that a place can be told from the grey of a colour
/// alone and the two hues are those that colour-blind eyes tell apart best.
enum class Ramp { sequential, diverging };

/// What a picture stands on. On a dark one more is lighter, on a light one darker.
enum class Ground { light, dark };

/// `place`: 0 to 1.
Rgb colour_at(Ramp ramp, double place, Ground ground = Ground::light);
/// The place whose colour is nearest: colour_at() backwards, as fine as 8 bits a channel allow.
double place_of(Ramp ramp, Rgb colour, Ground ground = Ground::light);

/// The smallest and the largest of some numbers. Those that are not finite have no part in it.
struct Extent {
    double least = std::numeric_limits<double>::infinity(),
           largest = -std::numeric_limits<double>::infinity();
    bool empty() const { return least > largest; }
    void add(double least_, double largest_) {
        if (least_ < least) least = least_;
        if (largest_ > largest) largest = largest_;
    }
};

/// Which colours numbers have: `low` that of place 0, `high` that of place 1.
struct Scale {
    Ramp ramp = Ramp::sequential;
    double low = 0, high = 1;

    double place(double number) const;  ///< 0 to 1
    double number(double place) const { return low + place * (high - low); }
    Rgb colour(double number, Ground ground = Ground::light) const {
        return colour_at(ramp, place(number), ground);
    }
};

/// Weights have the scale 0 to 1, whatever is there of it (weights above 1, as dropout makes them: to the
/// largest one; negative ones: as other numbers, at least -1 to 1). Everything else is symmetric around 0.
Scale scale_of(bool weights, const Extent& extent);

}  // namespace attn
