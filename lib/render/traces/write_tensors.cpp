#include "lib/render/traces/write_tensors.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/option_words.hpp"
#include "lib/plan/stage.hpp"
#include "lib/render/bytes.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/traces/tensor_layout.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr Index piece = 1 << 16;  // numbers

bool is_integer(Element e) { return e >= Element::int8 && e <= Element::uint64; }

/// numpy has no bfloat16; float32 holds it as it is.
bool is_widened(Format format, Element e) {
    return (format == Format::npz || format == Format::npy) && !has_numpy_type(e);
}

Element written_type(Format format, const FileTensor& t, std::optional<Element> type) {
    if (t.element() == Element::boolean) return Element::boolean;
    const Element wanted = type.value_or(t.element());
    return is_widened(format, wanted) ? Element::float32 : wanted;
}

/// Calls f(bytes, numbers) with the stored numbers of a tensor, piece by piece. Where the type that is asked
/// for is narrower than the one that is written, numbers are narrowed first.
template <class F>
void for_pieces(const FileTensor& t, std::optional<Element> type, Element written, Losses& losses, F&& f) {
    const Element asked = t.element() == Element::boolean ? written : type.value_or(t.element());
    std::string bytes;
    for (Index from = 0; from < t.numbers.size(); from += piece) {
        const Index count = std::min(piece, t.numbers.size() - from);
        bytes.clear();
        store(t, from, count, asked, bytes, losses);
        if (asked != written) {
            auto keeper = std::make_shared<const std::string>(std::move(bytes));
            const auto* data = reinterpret_cast<const std::byte*>(keeper->data());
            const FileTensor narrow{t.name, {count}, Numbers(keeper, data, count, asked, false, false)};
            bytes = {};
            Losses none;
            store(narrow, 0, count, written, bytes, none);
        }
        f(std::string_view(bytes), count);
    }
}

void write_binary(Format format, const std::vector<FileTensor>& tensors, std::optional<Element> type,
                  Bytes& out, Losses& losses) {
    std::vector<TensorHeader> headers;
    for (const FileTensor& t : tensors) headers.push_back({t.name, t.shape, written_type(format, t, type)});
    std::vector<std::uint32_t> crcs(tensors.size());
    // A header comes before the numbers whose CRC-32 it holds: they are converted twice.
    for (std::size_t k = 0; format == Format::npz && k < tensors.size(); ++k) {
        Crc32 crc;
        Losses none;
        Index left = headers[k].bytes();
        for_pieces(tensors[k], type, headers[k].element, none, [&](std::string_view bytes, Index) {
            left -= static_cast<Index>(bytes.size());
            crc.add(bytes, left);
        });
        crcs[k] = crc.value();
    }
    const TensorLayout layout = format == Format::npz   ? npz_layout(headers, crcs, {}, {})
                                : format == Format::npy ? npy_layout(headers.front())
                                                        : safetensors_layout(headers, {}, 0);
    for (const std::size_t k : layout.order) {
        out.text += layout.parts[k].before;
        for_pieces(tensors[k], type, headers[k].element, losses, [&](std::string_view bytes, Index) {
            out.text += bytes;
            out.pass();
        });
    }
    out.text += layout.after;
}

template <class T>
T loaded(const char* at) {
    T v;
    std::memcpy(&v, at, sizeof v);
    return v;
}

/// A stored number as text that reads back to it.
void append_stored(std::string& out, const char* at, Element element, NonFinite policy, bool words) {
    switch (element) {
        case Element::float64:
            return append_number(out, loaded<double>(at), policy);
        case Element::float32:
            return append_number(out, loaded<float>(at), policy);
        case Element::float16:
            return append_number(out, from_float16(loaded<std::uint16_t>(at)), policy);
        case Element::bfloat16:
            return append_number(out, from_bfloat16(loaded<std::uint16_t>(at)), policy);
        case Element::int8:
            out += std::to_string(loaded<std::int8_t>(at));
            return;
        case Element::int16:
            out += std::to_string(loaded<std::int16_t>(at));
            return;
        case Element::int32:
            out += std::to_string(loaded<std::int32_t>(at));
            return;
        case Element::int64:
            out += std::to_string(loaded<std::int64_t>(at));
            return;
        case Element::uint8:
            out += std::to_string(loaded<std::uint8_t>(at));
            return;
        case Element::uint16:
            out += std::to_string(loaded<std::uint16_t>(at));
            return;
        case Element::uint32:
            out += std::to_string(loaded<std::uint32_t>(at));
            return;
        case Element::uint64:
            out += std::to_string(loaded<std::uint64_t>(at));
            return;
        case Element::boolean:
            out += *at == 0 ? (words ? "false" : "0") : (words ? "true" : "1");
            return;
    }
}

/// Calls f(text of one number, its place) for all numbers of a tensor.
template <class F>
void for_texts(const FileTensor& t, std::optional<Element> type, NonFinite policy, bool words, Losses& losses,
               F&& f) {
    const Element element = written_type(Format::json, t, type);
    std::string text;
    Index place = 0;
    for_pieces(t, type, element, losses, [&](std::string_view bytes, Index count) {
        for (Index k = 0; k < count; ++k) {
            text.clear();
            append_stored(text, bytes.data() + k * size_of(element), element, policy, words);
            f(text, place++);
        }
    });
}

void write_json(const std::vector<FileTensor>& tensors, std::optional<Element> type, Bytes& out,
                Losses& losses) {
    out.text += "{";
    for (const FileTensor& t : tensors) {
        out.text += (&t == tensors.data() ? "\n  " : ",\n  ") + json_string(t.name) + ": ";
        if (t.numbers.empty()) {  // nested arrays would not tell the axes behind one of length 0
            out.text += "{\"shape\": " + to_string(t.shape) + ", \"data\": []}";
            continue;
        }
        std::vector<Index> periods;  // numbers after which an axis closes, the innermost first
        Index numbers = 1;
        for (std::size_t a = t.shape.size(); a-- > 0;) periods.push_back(numbers *= t.shape[a]);
        for_texts(t, type, NonFinite::string, true, losses, [&](const std::string& text, Index place) {
            std::size_t opened = 0, closed = 0;
            for (const Index p : periods) {
                opened += place % p == 0;
                closed += (place + 1) % p == 0;
            }
            if (place > 0) out.text += opened > 0 ? ",\n    " : ", ";
            out.text.append(opened, '[').append(text).append(closed, ']');
            out.pass();
        });
    }
    out.text += tensors.empty() ? "}\n" : "\n}\n";
}

bool is_states(const FileTensor& t) { return t.name == "states" && t.shape.size() == 5; }

/// Which of the columns batch, head, row, column the axes of a tensor fill: as a trace does where the name is
/// a stage's, else from the right. An axis of tokens (states) is counted together with the rows.
std::array<Index, 4> columns_of(const FileTensor& t) {
    std::array<Index, 4> length{-1, -1, -1, -1};
    const auto stage = stage_named(t.name);
    const bool is_stage = stage && axes_of(info_of(*stage).shape).size() == t.shape.size();
    const std::size_t rank = t.shape.size();
    if (is_states(t)) return {t.shape[0], t.shape[1], t.shape[2] * t.shape[3], t.shape[4]};
    if (is_stage && rank == 3) {
        const bool merged = !has_heads(info_of(*stage).shape);
        return {t.shape[0], merged ? -1 : t.shape[1], merged ? t.shape[1] : -1, t.shape[2]};
    }
    for (std::size_t a = 0; a < rank; ++a) length[4 - rank + a] = t.shape[a];
    return length;
}

void write_csv(const std::vector<FileTensor>& tensors, std::optional<Element> type, Bytes& out,
               Losses& losses) {
    out.text += "stage,batch,head,row,column,row_token,column_token,value\r\n";
    for (const FileTensor& t : tensors) {
        const std::array<Index, 4> length = columns_of(t);
        const std::string name = csv_cell(t.name);
        for_texts(t, type, NonFinite::csv, false, losses, [&](const std::string& text, Index place) {
            std::array<std::string, 4> cells;
            for (std::size_t a = 4; a-- > 0;) {
                if (length[a] < 0) continue;
                cells[a] = std::to_string(place % length[a]);
                place /= length[a];
            }
            out.text += name;
            for (const std::string& c : cells) (out.text += ',') += c;
            out.text.append(",,,").append(text).append("\r\n");
            out.pass();
        });
    }
}

void add_types(Format format, const std::vector<FileTensor>& tensors, std::optional<Element> type,
               std::vector<std::string>& notes) {
    const auto count = [&](auto is_one) { return std::count_if(tensors.begin(), tensors.end(), is_one); };
    const auto told = [](auto n) { return n == 1 ? "1 tensor" : std::to_string(n) + " tensors"; };
    if (const auto n = count([&](const FileTensor& t) { return type && is_integer(t.element()); }); n > 0)
        notes.push_back(told(n) + " of integers became " + std::string(name_of(*type)));
    const auto widened = count([&](const FileTensor& t) {
        return t.element() != Element::boolean && is_widened(format, type.value_or(t.element()));
    });
    if (widened > 0)
        notes.push_back(told(widened) +
                        " of bfloat16 became float32, which numpy has: the values are the same");
    const auto untyped = count([&](const FileTensor& t) {
        const Element e = written_type(format, t, type);
        return e != Element::float64 && !(e == Element::boolean && format == Format::json);
    });
    if (!is_binary(format) && untyped > 0)
        notes.push_back("the type of " + told(untyped) + " is not written: " + std::string(name_of(format)) +
                        " is read as float64");
    const auto empty = count([](const FileTensor& t) { return t.numbers.empty(); });
    if (format == Format::csv && empty > 0) notes.push_back(told(empty) + " without numbers left no line");
    if (format == Format::npy && !tensors.front().name.empty())
        notes.push_back("the name " + tensors.front().name + " is not written: npy has none");
}

}  // namespace

bool holds_tensors(Format format) {
    return is_binary(format) || format == Format::json || format == Format::csv;
}

void check_tensors(Format format, const std::vector<FileTensor>& tensors) {
    if (!holds_tensors(format))
        fail_usage("attn-calc convert does not write " + std::string(name_of(format)),
                   "it writes json, csv, npz, npy and safetensors");
    if (format == Format::npy && tensors.size() != 1)
        fail_usage("the format npy holds one tensor, and there are " + std::to_string(tensors.size()),
                   option::stages + " NAME chooses one; npz holds several");
    for (const FileTensor& t : tensors)
        if (format == Format::csv && t.shape.size() > 4 && !is_states(t))
            fail_usage(t.name + " has " + std::to_string(t.shape.size()) + " axes, and csv holds up to 4",
                       "npz and safetensors hold any number");
}

Written write_tensors(Format format, const std::vector<FileTensor>& tensors, std::optional<Element> type,
                      Output& output) {
    Written written;
    Bytes out(output);
    if (format == Format::json) {
        write_json(tensors, type, out, written.losses);
    } else if (format == Format::csv) {
        write_csv(tensors, type, out, written.losses);
    } else {
        write_binary(format, tensors, type, out, written.losses);
    }
    out.flush();
    add_types(format, tensors, type, written.notes);
    return written;
}

}  // namespace attn
