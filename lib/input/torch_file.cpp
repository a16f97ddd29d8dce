#include "lib/input/torch_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/torch_objects.hpp"
#include "lib/input/zip.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Bytes = std::span<const std::byte>;

/// A tensor that repeats numbers of its storage is laid out in memory up to here.
constexpr Index most_repeated = Index{1} << 28;

/// Numbers one after another, as they are read.
bool is_row_major(const TorchTensor& t) {
    Index step = 1;
    for (std::size_t k = t.shape.size(); k-- > 0;) {
        if (t.shape[k] != 1 && t.strides[k] != step) return false;
        step *= t.shape[k];
    }
    return true;
}

/// Holds a tensor against the numbers that its storage has.
void check_extent(const TorchTensor& t, Index stored) {
    const auto refuse = [&](const std::string& what) { fail("", "holds " + shown(t.name) + ", " + what); };
    const std::optional<Index> count = element_count(t.shape);
    if (!count) refuse("whose size " + clip(to_string(t.shape), 60) + " has more than 63 bits of numbers");
    if (*count == 0) return;
    Index last = t.offset;
    for (std::size_t k = 0; k < t.shape.size(); ++k) {
        const Index steps = t.shape[k] - 1, stride = t.strides[k];
        if (stride > 0 && steps > (std::numeric_limits<Index>::max() - last) / stride)
            refuse("whose strides lead past the end of its storage, and past 63 bits");
        last += steps * stride;
    }
    if (last >= stored)
        refuse("whose last number is number " + std::to_string(last) + ", past the end of its storage of " +
               std::to_string(stored) + " numbers");
    if (*count > stored && *count > most_repeated)
        refuse("which is " + std::to_string(stored) + " numbers expanded to " + std::to_string(*count) +
               ": that is too large to be laid out in memory");
}

/// The numbers of a tensor one after another, signs turned where it says so.
std::vector<std::byte> laid_out(const TorchTensor& t, Bytes storage, Index count, bool big_endian) {
    const auto size = static_cast<std::size_t>(size_of(t.element));
    std::vector<std::byte> out(static_cast<std::size_t>(count) * size);
    std::vector<Index> at(t.shape.size(), 0);
    Index from = t.offset;
    for (std::size_t to = 0; to < out.size(); to += size) {
        std::memcpy(out.data() + to, storage.data() + static_cast<std::size_t>(from) * size, size);
        if (t.negative) out[to + (big_endian ? 0 : size - 1)] ^= std::byte{0x80};
        for (std::size_t k = at.size(); k-- > 0;) {
            from += t.strides[k];
            if (++at[k] < t.shape[k]) break;
            from -= t.strides[k] * t.shape[k];
            at[k] = 0;
        }
    }
    return out;
}

/// Where the bytes of a storage are.
struct Stored {
    Bytes bytes;                         ///< as they stand in the file
    std::optional<ZipEntry> entry = {};  ///< of an archive: with a checksum
};

class TorchFile : public TensorFile {
  public:
    TorchFile(std::shared_ptr<const void> keeper, Bytes bytes) : keeper_(std::move(keeper)), bytes_(bytes) {
        constexpr std::string_view zip = "PK";
        const bool is_zip =
            bytes.size() >= zip.size() && std::memcmp(bytes.data(), zip.data(), zip.size()) == 0;
        if (is_zip) {
            read_archive();
        } else {
            read_legacy();
        }
    }
    std::string_view format() const override { return "PyTorch"; }
    const std::vector<StoredTensor>& tensors() const override { return tensors_; }
    std::vector<std::string> besides() const override {
        std::vector<std::string> out;
        for (const std::string& name : object_.others)
            out.push_back(name.empty() ? "no tensor" : shown(name));
        return out;
    }
    Numbers take(std::size_t k) const override;

  private:
    /// PyTorch can leave the checksums 0, and does not look at them. Here they are looked at once: a storage
    /// may have many tensors.
    ZipBytes member(const ZipEntry& e) const {
        const bool is_checked = e.crc == 0 || checked_.contains(e.begin);
        if (is_checked && !e.deflated) return {keeper_, bytes_.subspan(e.begin, e.stored), true};
        ZipBytes out = attn::take(e, keeper_, bytes_);
        checked_.insert(e.begin);
        return out;
    }
    void read_archive();
    void read_legacy();
    void list();
    void check_byte_order(std::string_view order);

    std::shared_ptr<const void> keeper_;
    Bytes bytes_;
    bool big_endian_ = false;
    TorchObject object_;
    std::map<std::string, Stored, std::less<>> storages_;
    mutable std::set<std::size_t> checked_;  ///< where members begin
    std::vector<StoredTensor> tensors_;
};

void TorchFile::read_archive() {
    std::vector<ZipEntry> entries = read_zip(bytes_);
    const auto ends = [](const ZipEntry& e, std::string_view with) { return e.name.ends_with(with); };
    constexpr std::string_view pickle_name = "/data.pkl", script = "/constants.pkl";
    const auto pickle_entry =
        std::find_if(entries.begin(), entries.end(), [&](const ZipEntry& e) { return ends(e, pickle_name); });
    const bool scripted = std::any_of(entries.begin(), entries.end(), [&](const ZipEntry& e) {
        return ends(e, script) || e.name.find("/code/") != std::string::npos;
    });
    if (scripted)
        fail("",
             "is TorchScript (torch.jit.save), with constants.pkl, code/ and classes such as __torch__....: "
             "not read",
             "torch.save(module.state_dict(), ...) writes its tensors alone");
    if (pickle_entry == entries.end())
        fail("", "is a zip archive without data.pkl: torch.save wrote something else");
    const std::string folder =
        pickle_entry->name.substr(0, pickle_entry->name.size() - (pickle_name.size() - 1));
    for (const ZipEntry& e : entries) {
        if (!e.name.starts_with(folder)) continue;
        const std::string name = e.name.substr(folder.size());
        if (name == "byteorder") {
            const ZipBytes said = member(e);
            check_byte_order(
                {reinterpret_cast<const char*>(said.bytes.data()), said.bytes.size()});  // NOLINT
        }
        constexpr std::string_view data = "data/";
        if (name.starts_with(data))
            storages_[name.substr(data.size())] = {bytes_.subspan(e.begin, e.stored), e};
    }
    const ZipBytes text = member(*pickle_entry);
    object_ = torch_object(read_pickle(text.bytes));
    list();
}

void TorchFile::check_byte_order(std::string_view order) {
    while (!order.empty() && order.back() == '\n') order.remove_suffix(1);
    if (order != "little" && order != "big")
        fail("", "says the byte order " + shown(order) + ", not little or big");
    big_endian_ = order == "big";
}

/// Five pickles: a number that says what it is, a version, the machine, the object, the keys; then the
/// storages.
void TorchFile::read_legacy() {
    constexpr std::array<unsigned char, 10> torch_magic{0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                                        0x20, 0x6a, 0xa8, 0x50, 0x19};
    constexpr std::size_t tar_mark = 257;
    if (bytes_.size() > tar_mark + 5 && std::memcmp(bytes_.data() + tar_mark, "ustar", 5) == 0)
        fail("", "is a tar archive, as PyTorch wrote before 0.1.10: save it anew");
    if (bytes_.empty() || bytes_[0] != std::byte{0x80})
        fail("", "is no file of torch.save: neither a zip archive nor a pickle");
    std::size_t at = 0;
    const auto next = [&] {
        Pickle out = read_pickle(bytes_.subspan(at));
        at += out.size;
        return out;
    };
    const Pickle first = next();
    if (first.top().text !=
        std::string_view(reinterpret_cast<const char*>(torch_magic.data()), torch_magic.size()))  // NOLINT
        fail("", "is a pickle, but not one of torch.save");
    const Pickle version = next();
    if (version.top().integer != 1001)
        fail("", "is of protocol version " + std::to_string(version.top().integer) +
                     " of torch.save: 1001 is read");
    const Pickle machine = next();
    const std::vector<PickleRef>& said = machine.top().items;
    for (std::size_t k = 0; k + 1 < said.size(); k += 2)
        if (machine[said[k]].text == "little_endian") big_endian_ = machine[said[k + 1]].integer == 0;
    const Pickle pickle = next();
    object_ = torch_object(pickle);
    std::map<std::string, std::string> types;  // of storages, by their keys
    for (const PickleValue& v : pickle.values)
        if (v.kind == PickleKind::persistent && !torch_class(pickle, v)) {
            TorchStorage s = torch_storage(pickle, v);
            types[std::move(s.key)] = std::move(s.type);
        }
    const Pickle keys = next();
    for (const PickleRef k : keys.top().items) {
        const std::string key(keys[k].text);
        const auto found = types.find(key);
        const Index size = found == types.end() ? 0 : torch_storage_bytes(found->second);
        if (size == 0)
            fail("", "lists the storage " + shown(key) +
                         ", whose type is not known: what follows it cannot be found");
        if (bytes_.size() - at < 8) fail("", "ends before the storage " + shown(key));
        std::uint64_t count = little_endian(bytes_.subspan(at, 8));
        if (big_endian_) count = __builtin_bswap64(count);
        at += 8;
        if (count > (bytes_.size() - at) / static_cast<std::size_t>(size))
            fail("", "is too short: the storage " + shown(key) + " has " + std::to_string(count) +
                         " numbers of " + how_many(size, "byte", "bytes") + ", but " +
                         std::to_string(bytes_.size() - at) + " bytes are left");
        const std::size_t bytes = static_cast<std::size_t>(count) * static_cast<std::size_t>(size);
        storages_[key] = {bytes_.subspan(at, bytes)};
        at += bytes;
    }
    list();
    if (at != bytes_.size())
        fail("", "has " + std::to_string(bytes_.size() - at) + " unused bytes at its end");
}

void TorchFile::list() {
    for (TorchTensor& t : object_.tensors) {
        const std::string& key = t.storage.key;
        const bool floating = t.element == Element::float64 || t.element == Element::float32 ||
                              t.element == Element::float16 || t.element == Element::bfloat16;
        if (t.unread.empty() && t.negative && !floating) t.unread = "integers whose signs are turned";
        if (t.unread.empty()) {
            const auto found = storages_.find(key);
            if (found == storages_.end())
                fail("", "holds " + shown(t.name) + ", whose storage " + shown(key) + " is not in the file");
            const std::size_t bytes =
                found->second.entry ? found->second.entry->size : found->second.bytes.size();
            const Index promised = t.storage.count, of_type = torch_storage_bytes(t.storage.type);
            if (promised > static_cast<Index>(bytes) / of_type ||
                promised * of_type != static_cast<Index>(bytes))
                fail("",
                     "holds " + shown(t.name) + ", whose storage " + shown(key) + " has " +
                         std::to_string(bytes) + " bytes, not " + std::to_string(promised) + " numbers of " +
                         how_many(of_type, "byte", "bytes") +
                         (promised < (Index{1} << 40) ? ", which are " + std::to_string(promised * of_type)
                                                      : ""));
            check_extent(t, static_cast<Index>(bytes) / size_of(t.element));
        }
        tensors_.push_back({t.name, t.shape, t.element, t.unread, 0});
    }
}

Numbers TorchFile::take(std::size_t k) const {
    const TorchTensor& t = object_.tensors[k];
    if (!t.unread.empty())
        fail("",
             "holds " + (t.name.empty() ? "an object" : shown(t.name)) + ", which is " + t.unread +
                 ": not read, and never run",
             "tensors that are read are dense, of floating types, integers and booleans");
    const Stored& stored = storages_.find(t.storage.key)->second;
    const ZipBytes data = stored.entry ? member(*stored.entry) : ZipBytes{keeper_, stored.bytes, true};
    const Index count = *element_count(t.shape);
    const bool swapped =
        big_endian_ == (std::endian::native == std::endian::little) && size_of(t.element) > 1;
    if (count == 0) return {nullptr, nullptr, 0, t.element, false, false};
    if (is_row_major(t) && !t.negative)
        return {data.keeper,   data.bytes.data() + t.offset * size_of(t.element), count, t.element, swapped,
                data.is_mapped};
    auto own = std::make_shared<std::vector<std::byte>>(laid_out(t, data.bytes, count, big_endian_));
    const std::byte* begin = own->data();
    return {std::move(own), begin, count, t.element, swapped, false};
}

}  // namespace

std::unique_ptr<TensorFile> read_torch_file(std::shared_ptr<const void> keeper, Bytes bytes) {
    return std::make_unique<TorchFile>(std::move(keeper), bytes);
}

}  // namespace attn
