#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attn {

/// A value of a Pickle, by its number.
using PickleRef = std::uint32_t;

/// What a pickle makes. Nothing is ever called: a call is kept with its arguments.
struct PickleValue {
    enum class Kind : std::uint8_t {
        none,
        boolean,
        integer,
        big_integer,  ///< of more than 64 bits; `text`: its bytes
        real,
        text,
        bytes,
        global,      ///< `text`: "module.name"
        tuple,       ///< `items`
        list,        ///< `items`
        set,         ///< `items`
        dict,        ///< `items`: key, value, key, value, ...; collections.OrderedDict as well
        persistent,  ///< `items`: what it is known by
        call,        ///< `items`: what is called, the tuple of arguments, then what was put into the result
        mark         ///< on the stack alone
    };
    Kind kind = Kind::none;
    std::int64_t integer = 0;
    double real = 0;
    std::string_view text = {};
    std::vector<PickleRef> items = {};
};

using PickleKind = PickleValue::Kind;

/// The values of one pickle (Python's pickletools.py: protocols 2 to 5, the opcodes of data), held flat.
struct Pickle {
    std::vector<PickleValue> values;
    std::deque<std::string> names = {};  ///< what `text` of globals points to: elements stay where they are
    PickleRef root = 0;
    std::size_t size = 0;  ///< bytes up to its end

    const PickleValue& operator[](PickleRef r) const { return values[r]; }
    const PickleValue& top() const { return values[root]; }
};

/// Reads the pickle at the beginning of some bytes, which have to outlive it. Time and memory grow with the
/// bytes. \throws Error (exit 3): other opcodes, by their names; what is cut or out of order
Pickle read_pickle(std::span<const std::byte> bytes);

}  // namespace attn
