#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/input/numbers.hpp"
#include "lib/input/pickle.hpp"
#include "lib/shape.hpp"

// What the pickle of a torch.save means. Internal to the reader of such files.

namespace attn {

/// The bytes of one or more tensors.
struct TorchStorage {
    std::string type;  ///< "torch.FloatStorage"
    std::string key;
    Index count = 0;  ///< numbers; bytes where the type is torch.storage.UntypedStorage
};

/// A tensor, or what stands in its place.
struct TorchTensor {
    std::string name;
    std::string unread{};  ///< what it is, where its numbers are not read
    TorchStorage storage{};
    Element element = Element::float32;
    Index offset = 0;  ///< in numbers
    Shape shape{}, strides{};
    bool negative = false;  ///< the numbers are minus what is stored
};

struct TorchObject {
    std::vector<TorchTensor> tensors;
    std::vector<std::string> others;  ///< names of values without a tensor in them
};

/// All tensors of an object, by the names that lead to them, in its order. Everything is checked but the
/// storages' sizes. \throws Error (exit 3)
TorchObject torch_object(const Pickle& pickle);

/// Bytes of one of the numbers that TorchStorage::count counts; 0: the type is not known.
Index torch_storage_bytes(std::string_view type);

/// The class that a persistent id of the older form says, with its source; null: it says a storage.
const PickleValue* torch_class(const Pickle& pickle, const PickleValue& id);

/// The storage that a persistent id says. \throws Error
TorchStorage torch_storage(const Pickle& pickle, const PickleValue& id);

}  // namespace attn
