#include "lib/input/torch_objects.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>
#include <utility>

#include "lib/error.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Collections deeper than this are no checkpoint; names more than this neither.
constexpr int deepest = 64;
constexpr std::size_t most_names = 1'000'000;

/// THE TABLE of types: storages of the pickles, and dtypes of _rebuild_tensor_v3.
struct TorchType {
    std::string_view storage, dtype;
    std::optional<Element> element;
    Index unread_bytes = 0;  ///< of a number that is not read
};
constexpr std::array torch_types{
    TorchType{"torch.DoubleStorage", "torch.float64", Element::float64},
    TorchType{"torch.FloatStorage", "torch.float32", Element::float32},
    TorchType{"torch.HalfStorage", "torch.float16", Element::float16},
    TorchType{"torch.BFloat16Storage", "torch.bfloat16", Element::bfloat16},
    TorchType{"torch.CharStorage", "torch.int8", Element::int8},
    TorchType{"torch.ShortStorage", "torch.int16", Element::int16},
    TorchType{"torch.IntStorage", "torch.int32", Element::int32},
    TorchType{"torch.LongStorage", "torch.int64", Element::int64},
    TorchType{"torch.ByteStorage", "torch.uint8", Element::uint8},
    TorchType{"", "torch.uint16", Element::uint16},
    TorchType{"", "torch.uint32", Element::uint32},
    TorchType{"", "torch.uint64", Element::uint64},
    TorchType{"torch.BoolStorage", "torch.bool", Element::boolean},
    TorchType{"torch.ComplexFloatStorage", "torch.complex64", {}, 8},
    TorchType{"torch.ComplexDoubleStorage", "torch.complex128", {}, 16},
    TorchType{"torch.QInt8Storage", "torch.qint8", {}, 1},
    TorchType{"torch.QUInt8Storage", "torch.quint8", {}, 1},
    TorchType{"torch.QInt32Storage", "torch.qint32", {}, 4},
};
constexpr std::string_view untyped = "torch.storage.UntypedStorage";

const TorchType* torch_type(std::string_view name) {
    for (const TorchType& t : torch_types)
        if (!name.empty() && (t.storage == name || t.dtype == name)) return &t;
    return nullptr;
}

/// What a call makes that holds no numbers of a tensor: skipped. Everything else that is called is named.
constexpr std::array<std::string_view, 9> plain_values{
    "torch.Size",          "torch.device",          "torch.serialization._get_layout",
    "collections.Counter", "__builtin__.set",       "builtins.set",
    "_codecs.encode",      "__builtin__.bytearray", "__builtin__.complex"};

/// Modules of Python itself that do things. Nothing is run here; but who loads such a file elsewhere should
/// know of it.
constexpr std::array<std::string_view, 24> acting_modules{
    "os",    "posix",  "nt",     "subprocess", "sys",    "builtins",  "__builtin__",     "importlib",
    "runpy", "socket", "shutil", "webbrowser", "pickle", "functools", "operator",        "types",
    "code",  "ctypes", "pty",    "asyncio",    "io",     "_io",       "multiprocessing", "threading"};

void refuse_acts(const Pickle& pickle) {
    for (const PickleValue& v : pickle.values) {
        if (v.kind != PickleKind::call || pickle[v.items[0]].kind != PickleKind::global) continue;
        const std::string_view called = pickle[v.items[0]].text;
        const std::string_view module = called.substr(0, called.find('.'));
        const auto is_in = [](const auto& list, std::string_view word) {
            return std::find(list.begin(), list.end(), word) != list.end();
        };
        if (is_in(acting_modules, module) && !is_in(plain_values, called))
            fail("",
                 "has a pickle that calls " + std::string(called) +
                     ": no checkpoint does, and nothing of it is run",
                 "do not load this file with Python before you know where it comes from");
    }
}

/// Follows the object to its tensors.
class Walk {
  public:
    explicit Walk(const Pickle& pickle) : pickle_(pickle) {}

    TorchObject run() {
        visit("", pickle_.root, 0);
        return {std::move(out_), std::move(others_)};
    }

  private:
    const PickleValue& at(PickleRef r) const { return pickle_[r]; }
    bool holds(PickleRef r, int depth);
    void visit(const std::string& name, PickleRef r, int depth);
    void call(const std::string& name, const PickleValue& value, int depth);
    void tensor(const std::string& name, const PickleValue& arguments, bool third);
    void add(TorchTensor tensor) {
        if (out_.size() >= most_names) fail("", "holds more than a million names: it is nested too often");
        if (!names_.insert(tensor.name).second)
            fail("",
                 "holds two tensors that are called " + shown(tensor.name) + ": a name stands there twice");
        out_.push_back(std::move(tensor));
    }
    void unread(const std::string& name, std::string what) {
        TorchTensor out;
        out.name = name;
        out.unread = std::move(what);
        add(std::move(out));
    }
    Shape integers(const std::string& name, PickleRef r, const char* what) const;
    std::string function(const PickleValue& value) const {
        const PickleValue& f = at(value.items[0]);
        const PickleValue* const called = f.kind == PickleKind::persistent ? torch_class(pickle_, f) : &f;
        return called && called->kind == PickleKind::global ? std::string(called->text) : "what is no global";
    }

    const Pickle& pickle_;
    std::vector<TorchTensor> out_;
    std::vector<std::string> others_;
    std::set<std::string> names_;
    std::unordered_map<PickleRef, bool> holds_;  ///< a tensor, or what would be named
};

bool is_collection(PickleKind kind) {
    return kind == PickleKind::tuple || kind == PickleKind::list || kind == PickleKind::dict ||
           kind == PickleKind::set;
}

/// Some tensor, storage or call stands in a value: the others are not followed.
bool Walk::holds(PickleRef r, int depth) {
    const PickleValue& value = at(r);
    if (value.kind == PickleKind::persistent || value.kind == PickleKind::call) return true;
    if (!is_collection(value.kind)) return false;
    if (depth > deepest)
        fail("", "has a pickle that is nested deeper than " + std::to_string(deepest) + " levels");
    if (const auto known = holds_.find(r); known != holds_.end()) return known->second;
    holds_[r] = false;  // a collection that holds itself
    const bool out =
        std::any_of(value.items.begin(), value.items.end(), [&](PickleRef x) { return holds(x, depth + 1); });
    holds_[r] = out;
    return out;
}

void Walk::visit(const std::string& name, PickleRef r, int depth) {
    const PickleValue& value = at(r);
    const auto below = [&](const std::string& part) { return name.empty() ? part : name + "." + part; };
    if (!holds(r, depth)) {
        others_.push_back(name);
        return;
    }
    if (value.kind == PickleKind::dict) {
        for (std::size_t k = 0; k + 1 < value.items.size(); k += 2) {
            const PickleValue& key = at(value.items[k]);
            const bool integer = key.kind == PickleKind::integer;
            if (key.kind != PickleKind::text && !integer && key.kind != PickleKind::boolean) {
                if (holds(value.items[k + 1], depth + 1))
                    fail("", "holds " + (name.empty() ? "tensors" : shown(name)) +
                                 " under a key that is neither text nor number");
                continue;
            }
            visit(below(integer                           ? std::to_string(key.integer)
                        : key.kind == PickleKind::boolean ? (key.integer != 0 ? "True" : "False")
                                                          : std::string(key.text)),
                  value.items[k + 1], depth + 1);
        }
    } else if (is_collection(value.kind)) {
        for (std::size_t k = 0; k < value.items.size(); ++k)
            visit(below(std::to_string(k)), value.items[k], depth + 1);
    } else if (value.kind == PickleKind::persistent) {
        unread(name, "a storage that is no tensor (" + torch_storage(pickle_, value).type + ")");
    } else {
        call(name, value, depth);
    }
}

void Walk::call(const std::string& name, const PickleValue& value, int depth) {
    const std::string what = function(value);
    const PickleValue& arguments = at(value.items[1]);
    const auto needs = [&](std::size_t count) {
        if (arguments.items.size() < count)
            fail("", "holds " + shown(name) + ", where " + what + " has " +
                         std::to_string(arguments.items.size()) + " arguments, not at least " +
                         std::to_string(count));
    };
    if (what == "torch._utils._rebuild_tensor_v2") {
        needs(6);
        tensor(name, arguments, false);
    } else if (what == "torch._utils._rebuild_tensor_v3") {
        needs(7);
        tensor(name, arguments, true);
    } else if (what == "torch._utils._rebuild_parameter" ||
               what == "torch._utils._rebuild_parameter_with_state") {
        needs(1);
        if (depth > deepest)
            fail("", "has a pickle that is nested deeper than " + std::to_string(deepest) + " levels");
        visit(name, arguments.items[0], depth + 1);
    } else if (what == "torch._tensor._rebuild_from_type_v2") {
        // A tensor with attributes of Python's, or of a class of somebody's.
        needs(3);
        const PickleValue& type = at(arguments.items[1]);
        const PickleValue& inner = at(arguments.items[0]);
        const PickleValue& of = at(arguments.items[2]);
        const bool plain = type.kind == PickleKind::global && type.text == "torch.Tensor" &&
                           inner.kind == PickleKind::global &&
                           inner.text == "torch._utils._rebuild_tensor_v2" && of.items.size() >= 6;
        if (!plain)
            return unread(name, what + " with " +
                                    (type.kind == PickleKind::global ? std::string(type.text) : "a class"));
        tensor(name, of, false);
    } else if (std::find(plain_values.begin(), plain_values.end(), what) == plain_values.end()) {
        unread(name, "made by " + what);
    }
}

Shape Walk::integers(const std::string& name, PickleRef r, const char* what) const {
    const PickleValue& list = at(r);
    // torch.Size((2, 3)) is one as well.
    const PickleValue& tuple = list.kind == PickleKind::call && at(list.items[1]).items.size() == 1
                                   ? at(at(list.items[1]).items[0])
                                   : list;
    Shape out;
    if (tuple.kind != PickleKind::tuple && tuple.kind != PickleKind::list)
        fail("", "holds " + shown(name) + ", whose " + what + " is no tuple");
    for (const PickleRef k : tuple.items) {
        if (at(k).kind != PickleKind::integer || at(k).integer < 0)
            fail("", "holds " + shown(name) + ", whose " + what + " has " +
                         (at(k).kind == PickleKind::integer ? std::to_string(at(k).integer)
                                                            : "what is no integer of 64 bits") +
                         ", which is not at least 0");
        out.push_back(at(k).integer);
    }
    if (out.size() > 64) fail("", "holds " + shown(name) + ", whose " + what + " has more than 64 axes");
    return out;
}

/// storage, offset, size, strides, requires_grad, hooks, then the dtype (v3), then what is said besides.
void Walk::tensor(const std::string& name, const PickleValue& arguments, bool third) {
    const auto argument = [&](std::size_t k) -> const PickleValue& { return at(arguments.items[k]); };
    if (argument(0).kind != PickleKind::persistent)
        return unread(name, argument(0).kind == PickleKind::call
                                ? "made from what " + function(argument(0)) + " makes"
                                : "made from what is no storage");
    TorchTensor out;
    out.name = name;
    out.storage = torch_storage(pickle_, argument(0));
    const std::string_view type = third ? argument(6).text : out.storage.type;
    const TorchType* known = torch_type(type);
    if (!known || !known->element)
        return unread(name, known ? std::string(known->dtype.substr(6)) + " (" + std::string(type) + ")"
                                  : std::string(type) + (third ? " (torch._utils._rebuild_tensor_v3)" : ""));
    out.element = *known->element;
    if (argument(1).kind != PickleKind::integer || argument(1).integer < 0)
        fail("", "holds " + shown(name) + ", whose offset is not an integer of at least 0");
    out.offset = argument(1).integer;
    out.shape = integers(name, arguments.items[2], "size");
    out.strides = integers(name, arguments.items[3], "stride");
    if (out.shape.size() != out.strides.size())
        fail("", "holds " + shown(name) + ", which has " + std::to_string(out.shape.size()) + " sizes, but " +
                     std::to_string(out.strides.size()) + " strides");
    const std::size_t said = third ? 7 : 6;
    if (arguments.items.size() > said && argument(said).kind == PickleKind::dict) {
        const std::vector<PickleRef>& pairs = argument(said).items;
        for (std::size_t k = 0; k + 1 < pairs.size(); k += 2) {
            const bool is_set = at(pairs[k + 1]).kind == PickleKind::boolean && at(pairs[k + 1]).integer != 0;
            if (at(pairs[k]).text == "neg")
                out.negative = is_set;
            else if (is_set)
                return unread(name, "a tensor with the bit " + shown(at(pairs[k]).text));
        }
    }
    add(std::move(out));
}

}  // namespace

TorchObject torch_object(const Pickle& pickle) {
    refuse_acts(pickle);
    return Walk(pickle).run();
}

Index torch_storage_bytes(std::string_view type) {
    if (type == untyped) return 1;
    const TorchType* t = torch_type(type);
    return !t ? 0 : t->element ? size_of(*t->element) : t->unread_bytes;
}

const PickleValue* torch_class(const Pickle& pickle, const PickleValue& id) {
    const bool said = id.items.size() > 1 && pickle[id.items[0]].text == "module";
    return said ? &pickle[id.items[1]] : nullptr;
}

TorchStorage torch_storage(const Pickle& pickle, const PickleValue& id) {
    const auto part = [&](std::size_t k) -> const PickleValue& { return pickle[id.items[k]]; };
    if (id.items.size() < 5 || part(0).text != "storage" || part(1).kind != PickleKind::global ||
        part(2).kind != PickleKind::text || part(4).kind != PickleKind::integer || part(4).integer < 0)
        fail("", "has a pickle with a reference that is no storage (type, key, place, count)");
    if (id.items.size() > 5 && part(5).kind != PickleKind::none)
        fail("", "has a storage that is a view of another, as PyTorch wrote before 0.4: save it anew");
    return {std::string(part(1).text), std::string(part(2).text), part(4).integer};
}

}  // namespace attn
