#include "lib/input/pickle.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_map>
#include <utility>

#include "lib/error.hpp"
#include "lib/input/numbers.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Bytes = std::span<const std::byte>;

/// Far more than a checkpoint has; each takes some memory, and an opcode of one byte makes one.
constexpr std::size_t most_values = std::size_t{1} << 24;

/// Opcodes that are known and refused_opcodes: each would run or name something, or is of text pickles.
struct RefusedOpcode {
    unsigned char code;
    std::string_view name;
};
constexpr std::array refused_opcodes{RefusedOpcode{'i', "INST"},
                                     RefusedOpcode{'o', "OBJ"},
                                     RefusedOpcode{0x92, "NEWOBJ_EX"},
                                     RefusedOpcode{'P', "PERSID"},
                                     RefusedOpcode{0x82, "EXT1"},
                                     RefusedOpcode{0x83, "EXT2"},
                                     RefusedOpcode{0x84, "EXT4"},
                                     RefusedOpcode{'F', "FLOAT"},
                                     RefusedOpcode{'I', "INT"},
                                     RefusedOpcode{'L', "LONG"},
                                     RefusedOpcode{'S', "STRING"},
                                     RefusedOpcode{'V', "UNICODE"},
                                     RefusedOpcode{'d', "DICT"},
                                     RefusedOpcode{'l', "LIST"},
                                     RefusedOpcode{'g', "GET"},
                                     RefusedOpcode{'p', "PUT"},
                                     RefusedOpcode{0x96, "BYTEARRAY8"},
                                     RefusedOpcode{0x97, "NEXT_BUFFER"},
                                     RefusedOpcode{0x98, "READONLY_BUFFER"}};

[[noreturn]] void refuse_pickle(const std::string& what) { fail("", "has a pickle that " + what); }

class Machine {
  public:
    explicit Machine(Bytes bytes) : bytes_(bytes) {}
    Pickle run();

  private:
    std::uint64_t number(std::size_t size) { return little_endian(take(size, "a number")); }
    Bytes take(std::uint64_t size, const char* what) {
        if (size > bytes_.size() - at_)
            refuse_pickle("holds " + std::string(what) + " of " + std::to_string(size) +
                          " bytes, which goes past its end");
        const Bytes out = bytes_.subspan(at_, static_cast<std::size_t>(size));
        at_ += out.size();
        return out;
    }
    std::string_view text(std::uint64_t size) {
        const Bytes b = take(size, "a string");
        return {reinterpret_cast<const char*>(b.data()), b.size()};  // NOLINT
    }
    /// Up to the end of the line, which is left out.
    std::string_view line() {
        const auto end =
            std::find(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), bytes_.end(), std::byte{'\n'});
        if (end == bytes_.end()) refuse_pickle("ends in the name of a global");
        const std::string_view out = text(static_cast<std::uint64_t>(end - bytes_.begin()) - at_);
        ++at_;
        return out;
    }
    PickleRef make(PickleValue value) {
        if (out_.values.size() >= most_values) refuse_pickle("makes more than 2^24 values");
        out_.values.push_back(std::move(value));
        return static_cast<PickleRef>(out_.values.size() - 1);
    }
    void push(PickleRef r) { stack_.push_back(r); }
    void push(PickleValue value) { push(make(std::move(value))); }
    void push(PickleKind kind, std::string_view text) { push({kind, 0, 0, text, {}}); }
    void push_integer(std::int64_t n) { push({PickleKind::integer, n, 0, {}, {}}); }
    PickleRef pop() {
        if (stack_.empty() || at(stack_.back()).kind == PickleKind::mark)
            refuse_pickle("takes a value that is not there");
        const PickleRef out = stack_.back();
        stack_.pop_back();
        return out;
    }
    PickleValue& at(PickleRef r) { return out_.values[r]; }
    /// What stands above the last mark.
    std::vector<PickleRef> above_mark() {
        const auto mark = std::find_if(stack_.rbegin(), stack_.rend(),
                                       [&](PickleRef r) { return at(r).kind == PickleKind::mark; });
        if (mark == stack_.rend()) refuse_pickle("takes values up to a mark that is not there");
        std::vector<PickleRef> out(mark.base(), stack_.end());
        stack_.erase(mark.base() - 1, stack_.end());
        return out;
    }
    void tuple(std::size_t size) {
        PickleValue value{PickleKind::tuple, 0, 0, {}, std::vector<PickleRef>(size)};
        for (std::size_t k = size; k-- > 0;) value.items[k] = pop();
        push(std::move(value));
    }
    /// Puts values into what stands on top of the stack.
    void add(const std::vector<PickleRef>& values, PickleKind kind) {
        if (stack_.empty()) refuse_pickle("adds to nothing");
        PickleValue& to = at(stack_.back());
        if (to.kind != kind && to.kind != PickleKind::call) refuse_pickle("adds to what is no collection");
        if (kind == PickleKind::dict && values.size() % 2 != 0) refuse_pickle("sets a key without a value");
        if (to.kind == kind) to.items.insert(to.items.end(), values.begin(), values.end());
    }
    void call(PickleRef function, PickleRef arguments) {
        if (at(arguments).kind != PickleKind::tuple)
            refuse_pickle("calls something without a tuple of arguments");
        if (at(function).kind == PickleKind::global && at(function).text == "collections.OrderedDict")
            return push(ordered_dict(at(arguments).items));
        push({PickleKind::call, 0, 0, {}, {function, arguments}});
    }
    /// Python 2 gives it a list of pairs, Python 3 nothing.
    PickleValue ordered_dict(const std::vector<PickleRef>& arguments) {
        PickleValue out{PickleKind::dict, 0, 0, {}, {}};
        if (arguments.empty()) return out;
        for (const PickleRef pair : at(arguments[0]).items) {
            const std::vector<PickleRef>& two = at(pair).items;
            if (two.size() != 2) refuse_pickle("makes an OrderedDict from what are no pairs");
            out.items.insert(out.items.end(), two.begin(), two.end());
        }
        return out;
    }
    void global(std::string_view module, std::string_view name) {
        out_.names.push_back(std::string(module) + "." + std::string(name));
        push(PickleKind::global, out_.names.back());
    }
    void remember(std::uint64_t key) {
        if (stack_.empty()) refuse_pickle("remembers nothing");
        memo_[key] = stack_.back();
    }
    void recall(std::uint64_t key) {
        const auto found = memo_.find(key);
        if (found == memo_.end())
            refuse_pickle("reads entry " + std::to_string(key) + " of its memo, which was never put there");
        push(found->second);
    }
    void long_integer(std::uint64_t size) {
        const std::string_view digits = text(size);
        if (size > sizeof(std::int64_t)) return push(PickleKind::big_integer, digits);
        std::uint64_t out = !digits.empty() && (static_cast<unsigned char>(digits.back()) & 0x80U) != 0
                                ? ~std::uint64_t{0}
                                : 0;
        for (std::size_t k = digits.size(); k-- > 0;) out = out << 8 | static_cast<unsigned char>(digits[k]);
        push_integer(static_cast<std::int64_t>(out));
    }
    bool step();

    Bytes bytes_;
    std::size_t at_ = 0;
    Pickle out_;
    std::vector<PickleRef> stack_;
    std::unordered_map<std::uint64_t, PickleRef> memo_;
};

/// One opcode; false: the last.
bool Machine::step() {
    const auto code = static_cast<unsigned char>(number(1));
    switch (code) {
        case 0x80:  // PROTO
            if (const std::uint64_t version = number(1); version < 2 || version > 5)
                refuse_pickle("is of protocol " + std::to_string(version) + ": 2 to 5 are read");
            return true;
        case 0x95:  // FRAME: how many bytes follow is of no use here
            number(8);
            return true;
        case '.':
            return false;  // STOP
        case '(':
            push(PickleKind::mark, {});
            return true;  // MARK
        case '0':
            pop();
            return true;  // POP
        case '1':
            above_mark();
            return true;  // POP_MARK
        case '2':
            push(stack_.empty() ? pop() : stack_.back());
            return true;  // DUP
        case 'N':
            push(PickleKind::none, {});
            return true;  // NONE
        case 0x88:
            push({PickleKind::boolean, 1, 0, {}, {}});
            return true;  // NEWTRUE
        case 0x89:
            push({PickleKind::boolean, 0, 0, {}, {}});
            return true;  // NEWFALSE
        case 'J':
            push_integer(static_cast<std::int32_t>(number(4)));
            return true;  // BININT
        case 'K':
            push_integer(static_cast<std::int64_t>(number(1)));
            return true;  // BININT1
        case 'M':
            push_integer(static_cast<std::int64_t>(number(2)));
            return true;  // BININT2
        case 0x8a:
            long_integer(number(1));
            return true;  // LONG1
        case 0x8b:
            long_integer(number(4));
            return true;  // LONG4
        case 'G': {       // BINFLOAT: big-endian
            const Bytes b = take(8, "a number");
            std::uint64_t bits = 0;
            for (const std::byte x : b) bits = bits << 8 | std::to_integer<std::uint64_t>(x);
            push({PickleKind::real, 0, std::bit_cast<double>(bits), {}, {}});
            return true;
        }
        case 'X':
            push(PickleKind::text, text(number(4)));
            return true;  // BINUNICODE
        case 0x8c:
            push(PickleKind::text, text(number(1)));
            return true;  // SHORT_BINUNICODE
        case 0x8d:
            push(PickleKind::text, text(number(8)));
            return true;  // BINUNICODE8
        case 'U':
            push(PickleKind::text, text(number(1)));
            return true;  // SHORT_BINSTRING, of Python 2
        case 'T':
            push(PickleKind::text, text(number(4)));
            return true;  // BINSTRING
        case 'B':
            push(PickleKind::bytes, text(number(4)));
            return true;  // BINBYTES
        case 'C':
            push(PickleKind::bytes, text(number(1)));
            return true;  // SHORT_BINBYTES
        case 0x8e:
            push(PickleKind::bytes, text(number(8)));
            return true;  // BINBYTES8
        case ')':
            push(PickleKind::tuple, {});
            return true;  // EMPTY_TUPLE
        case ']':
            push(PickleKind::list, {});
            return true;  // EMPTY_LIST
        case '}':
            push(PickleKind::dict, {});
            return true;  // EMPTY_DICT
        case 0x8f:
            push(PickleKind::set, {});
            return true;  // EMPTY_SET
        case 0x85:
            tuple(1);
            return true;  // TUPLE1
        case 0x86:
            tuple(2);
            return true;  // TUPLE2
        case 0x87:
            tuple(3);
            return true;  // TUPLE3
        case 't':
            push({PickleKind::tuple, 0, 0, {}, above_mark()});
            return true;  // TUPLE
        case 0x91:
            push({PickleKind::set, 0, 0, {}, above_mark()});
            return true;  // FROZENSET
        case 'a': {       // APPEND
            const PickleRef value = pop();
            add({value}, PickleKind::list);
            return true;
        }
        case 'e':
            add(above_mark(), PickleKind::list);
            return true;  // APPENDS
        case 0x90:
            add(above_mark(), PickleKind::set);
            return true;  // ADDITEMS
        case 's': {       // SETITEM
            const PickleRef value = pop(), key = pop();
            add({key, value}, PickleKind::dict);
            return true;
        }
        case 'u':
            add(above_mark(), PickleKind::dict);
            return true;  // SETITEMS
        case 'c': {       // GLOBAL
            const std::string_view module = line();
            global(module, line());
            return true;
        }
        case 0x93: {  // STACK_GLOBAL
            const PickleRef name = pop(), module = pop();
            if (at(name).kind != PickleKind::text || at(module).kind != PickleKind::text)
                refuse_pickle("names a global by what is no text");
            global(at(module).text, at(name).text);
            return true;
        }
        case 'R':     // REDUCE
        case 0x81: {  // NEWOBJ
            const PickleRef arguments = pop(), function = pop();
            call(function, arguments);
            return true;
        }
        case 'b':  // BUILD: attributes, which hold no tensors of a checkpoint
            pop();
            if (stack_.empty()) refuse_pickle("builds nothing");
            return true;
        case 'Q': {  // BINPERSID
            const PickleRef known_by = pop();
            push({PickleKind::persistent, 0, 0, {}, at(known_by).items});
            return true;
        }
        case 'q':
            remember(number(1));
            return true;  // BINPUT
        case 'r':
            remember(number(4));
            return true;  // LONG_BINPUT
        case 0x94:
            remember(memo_.size());
            return true;  // MEMOIZE
        case 'h':
            recall(number(1));
            return true;  // BINGET
        case 'j':
            recall(number(4));
            return true;  // LONG_BINGET
        default:
            break;
    }
    const auto* const known = std::find_if(refused_opcodes.begin(), refused_opcodes.end(),
                                           [&](const RefusedOpcode& r) { return r.code == code; });
    constexpr std::string_view digits = "0123456789abcdef";
    refuse_pickle("has the opcode " + (known == refused_opcodes.end() ? "" : std::string(known->name) + " ") +
                  "(0x" + digits[code >> 4U] + digits[code & 15U] +
                  "), which is not read: nothing of a pickle is ever run");
}

Pickle Machine::run() {
    while (step()) {
    }
    out_.root = pop();
    out_.size = at_;
    return std::move(out_);
}

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes) { return Machine(bytes).run(); }

}  // namespace attn
