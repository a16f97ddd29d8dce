#include "lib/input/onnx.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/onnx_tensor.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Fields of messages (onnx.proto3).
namespace onnx_model {
constexpr std::uint32_t graph = 7, training_info = 20, functions = 25;
}
namespace onnx_graph {
constexpr std::uint32_t node = 1, initializer = 5, sparse_initializer = 15;
}
namespace onnx_node {
constexpr std::uint32_t output = 2, op_type = 4, attribute = 5, domain = 7;
}
namespace onnx_attribute {
constexpr std::uint32_t name = 1, number = 2, integer = 3, tensor = 5, graph = 6, graphs = 11;
}
namespace onnx_sparse {
constexpr std::uint32_t values = 1, dims = 3;
}
constexpr OnnxList floats_list{7, Wire::fixed32, "floats"}, ints_list{8, Wire::varint, "ints"};

using OnnxSpan = std::span<const std::byte>;

/// An attribute of a Constant node. What counts is what its name says.
struct ConstantValue {
    std::string name;
    OnnxTensorProto tensor;
    bool has_tensor = false;
    std::array<std::byte, 4> number{};
    std::uint64_t integer = 0;
    OnnxListSeen floats, ints;
    OnnxSpan message;
};

ConstantValue constant_value(OnnxSpan message) {
    ConstantValue out;
    out.message = message;
    WireReader in(message, "an attribute");
    while (const auto f = in.next()) {
        switch (f->number) {
            case onnx_attribute::name:
                out.name = onnx_text(*f, "the name of an attribute");
                break;
            case onnx_attribute::number:
                expect_wire(*f, Wire::fixed32, "f");
                std::copy(f->bytes.begin(), f->bytes.end(), out.number.begin());
                break;
            case onnx_attribute::integer:
                expect_wire(*f, Wire::varint, "i");
                out.integer = f->value;
                break;
            case onnx_attribute::tensor:
                expect_wire(*f, Wire::bytes, "t");
                out.tensor.read(f->bytes);
                out.has_tensor = true;
                break;
            case floats_list.field:
                out.floats.add(*f, floats_list);
                break;
            case ints_list.field:
                out.ints.add(*f, ints_list);
                break;
            default:
                break;
        }
    }
    return out;
}

class OnnxFile : public TensorFile {
  public:
    OnnxFile(const FilesBeside& beside, std::shared_ptr<const void> keeper, std::string_view format)
        : format_(format), keeper_(std::move(keeper)), files_(beside) {}
    std::string_view format() const override { return format_; }
    const std::vector<StoredTensor>& tensors() const override { return listed_; }
    std::vector<std::string> besides() const override { return besides_; }
    Numbers take(std::size_t k) const override { return tensors_[k].numbers(); }

    void read_model(OnnxSpan bytes);
    void read_tensor(OnnxSpan bytes);

  private:
    void read_graph(OnnxSpan message);
    void read_node(OnnxSpan message);
    bool add_constant(const std::string& name, const ConstantValue& value);
    void add_sparse(OnnxSpan message);
    void add(OnnxTensor tensor);
    void add_list(const std::string& name, const ConstantValue& value, const OnnxListSeen& seen,
                  const OnnxList& list, Element element);
    /// A number that stands in no bytes of the file as it is used.
    template <std::size_t size>
    void add_number(const std::string& name, Element element, const std::array<std::byte, size>& bytes);

    std::string_view format_;
    std::shared_ptr<const void> keeper_;
    OnnxFiles files_;
    std::vector<OnnxTensor> tensors_;
    std::vector<StoredTensor> listed_;
    std::set<std::string, std::less<>> names_;
    std::vector<std::string> besides_;
    std::size_t nodes_ = 0, inner_graphs_ = 0;
};

void OnnxFile::add(OnnxTensor tensor) {
    if (!names_.insert(tensor.name).second) fail("", "holds the tensor " + shown(tensor.name) + " twice");
    listed_.push_back({tensor.name, tensor.shape, tensor.element, tensor.unread, tensor.unread_bytes, {}, 0});
    tensors_.push_back(std::move(tensor));
}

void OnnxFile::add_list(const std::string& name, const ConstantValue& value, const OnnxListSeen& seen,
                        const OnnxList& list, Element element) {
    OnnxTensor out;
    out.name = name;
    out.shape = {seen.count};
    out.element = element;
    if (seen.count > 0) {
        out.messages = {value.message};
        out.list = &list;
    }
    add(std::move(out));
}

template <std::size_t size>
void OnnxFile::add_number(const std::string& name, Element element,
                          const std::array<std::byte, size>& bytes) {
    const auto own = std::make_shared<const std::array<std::byte, size>>(bytes);
    OnnxTensor out;
    out.name = name;
    out.element = element;
    out.keeper = own;
    out.data = *own;
    add(std::move(out));
}

/// \return whether it holds numbers
bool OnnxFile::add_constant(const std::string& name, const ConstantValue& value) {
    if (value.name == "value" && value.has_tensor) {
        add(value.tensor.tensor(name, keeper_, files_));
    } else if (value.name == "value_float") {
        add_number(name, Element::float32, value.number);
    } else if (value.name == "value_int") {
        std::array<std::byte, 8> bytes{};
        std::uint64_t left = value.integer;
        for (std::byte& b : bytes) {
            b = static_cast<std::byte>(left & 0xFFU);
            left >>= 8U;
        }
        add_number(name, Element::int64, bytes);
    } else if (value.name == "value_floats") {
        add_list(name, value, value.floats, floats_list, Element::float32);
    } else if (value.name == "value_ints") {
        add_list(name, value, value.ints, ints_list, Element::int64);
    } else {
        return false;
    }
    return true;
}

void OnnxFile::read_node(OnnxSpan message) {
    std::string type, domain, output;
    std::vector<OnnxSpan> attributes;
    bool has_output = false;
    WireReader in(message, "a node");
    while (const auto f = in.next()) {
        switch (f->number) {
            case onnx_node::output:
                if (!has_output) output = onnx_text(*f, "the output of a node");
                has_output = true;
                break;
            case onnx_node::op_type:
                type = onnx_text(*f, "the type of a node");
                break;
            case onnx_node::domain:
                domain = onnx_text(*f, "the domain of a node");
                break;
            case onnx_node::attribute:
                expect_wire(*f, Wire::bytes, "attribute");
                attributes.push_back(f->bytes);
                break;
            default:
                break;
        }
    }
    const bool is_constant = type == "Constant" && (domain.empty() || domain == "ai.onnx") && !output.empty();
    bool found = false;
    for (const OnnxSpan attribute : attributes) {
        if (is_constant) {
            found = add_constant(output, constant_value(attribute)) || found;
            continue;
        }
        WireReader inside(attribute, "an attribute");
        while (const auto f = inside.next())
            if (f->number == onnx_attribute::graph || f->number == onnx_attribute::graphs) ++inner_graphs_;
    }
    if (!found) ++nodes_;
}

/// Listed by the name of its values; its numbers are not read.
void OnnxFile::add_sparse(OnnxSpan message) {
    OnnxTensorProto values;
    OnnxTensor out;
    WireReader in(message, "a sparse_initializer");
    while (const auto f = in.next()) {
        if (f->number == onnx_sparse::values) {
            expect_wire(*f, Wire::bytes, "values");
            values.read(f->bytes);
        } else if (f->number == onnx_sparse::dims && f->wire == Wire::bytes) {
            for (WireReader packed(f->bytes, "dims"); !packed.at_end() && out.shape.size() < 64;)
                out.shape.push_back(static_cast<Index>(packed.varint()));
        } else if (f->number == onnx_sparse::dims && out.shape.size() < 64) {
            out.shape.push_back(static_cast<Index>(f->value));
        }
    }
    out.name = values.name();
    out.unread = onnx_sparse_word;
    out.unread_bytes = static_cast<Index>(message.size());
    add(std::move(out));
}

void OnnxFile::read_graph(OnnxSpan message) {
    WireReader in(message, "the graph");
    while (const auto f = in.next()) {
        if (f->number == onnx_graph::node) {
            expect_wire(*f, Wire::bytes, "node");
            read_node(f->bytes);
        } else if (f->number == onnx_graph::initializer) {
            expect_wire(*f, Wire::bytes, "initializer");
            OnnxTensorProto tensor;
            tensor.read(f->bytes);
            if (tensor.name().empty()) fail("", "holds an initializer without a name");
            add(tensor.tensor(tensor.name(), keeper_, files_));
        } else if (f->number == onnx_graph::sparse_initializer) {
            expect_wire(*f, Wire::bytes, "sparse_initializer");
            add_sparse(f->bytes);
        }
    }
}

void OnnxFile::read_model(OnnxSpan bytes) {
    bool has_graph = false;
    std::size_t functions = 0, training = 0;
    WireReader in(bytes, "the model");
    while (const auto f = in.next()) {
        if (f->number == onnx_model::graph) {
            expect_wire(*f, Wire::bytes, "graph");
            has_graph = true;
            read_graph(f->bytes);
        }
        if (f->number == onnx_model::functions) ++functions;
        if (f->number == onnx_model::training_info) ++training;
    }
    if (!has_graph)
        fail("", bytes.empty() ? "is empty: it has no graph" : "is no ONNX model: it has no graph");
    const auto note = [&](std::size_t n, std::string_view one, std::string_view many) {
        if (n > 0) besides_.push_back(how_many(n, one, many));
    };
    note(nodes_, "node", "nodes");
    note(inner_graphs_, "graph inside a node, whose tensors are not listed",
         "graphs inside nodes, whose tensors are not listed");
    note(functions, "function, whose tensors are not listed", "functions, whose tensors are not listed");
    note(training, "graph of training, whose tensors are not listed",
         "graphs of training, whose tensors are not listed");
}

void OnnxFile::read_tensor(OnnxSpan bytes) {
    if (bytes.empty()) fail("", "is empty: it has no tensor");
    OnnxTensorProto tensor;
    tensor.read(bytes);
    if (!tensor.has_type())
        fail("", "is no TensorProto: it says no data_type", ".onnx holds a model, .pb one tensor");
    add(tensor.tensor(tensor.name(), keeper_, files_));
}

}  // namespace

std::unique_ptr<TensorFile> read_onnx_model(const FilesBeside& beside, std::shared_ptr<const void> keeper,
                                            std::span<const std::byte> bytes) {
    auto out = std::make_unique<OnnxFile>(beside, std::move(keeper), "onnx");
    out->read_model(bytes);
    return out;
}

std::unique_ptr<TensorFile> read_onnx_tensor(const FilesBeside& beside, std::shared_ptr<const void> keeper,
                                             std::span<const std::byte> bytes) {
    auto out = std::make_unique<OnnxFile>(beside, std::move(keeper), "TensorProto");
    out->read_tensor(bytes);
    return out;
}

}  // namespace attn
