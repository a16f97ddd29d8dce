#include "lib/theirs/events.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "lib/input/read_tensor.hpp"
#include "lib/plan/stage.hpp"

namespace attn {
namespace {

constexpr TensorRule a_block{1, 2, Elements::additive, "rows of numbers"};

/// Rows of a stage by their place (batch, head, key of a state, row), until the whole shape is known.
class Assembly {
  public:
    using Spot = std::array<Index, 4>;

    /// \return false: a row that is there already, or one of another length
    bool add(const Spot& spot, std::vector<double> row) {
        if (!rows_.empty() && row.size() != rows_.begin()->second.size()) return false;
        return rows_.emplace(spot, std::move(row)).second;
    }

    /// `tokens`: keys that are shown and not cached. \return false: rows are missing
    bool finish(Index tokens, GivenArray& out) {
        std::array<std::set<Index>, 4> places;
        for (const auto& [spot, row] : rows_)
            for (std::size_t axis = 0; axis < 4; ++axis) places[axis].insert(spot[axis]);
        std::size_t product = 1;
        for (const auto& p : places) product *= p.size();
        if (product != rows_.size()) return false;
        Shape lengths;  // batch, head, key of a state, row, column
        for (const auto& p : places) lengths.push_back(static_cast<Index>(p.size()));
        lengths.push_back(static_cast<Index>(rows_.begin()->second.size()));
        set_shape(lengths, tokens, out);
        for (const auto& [spot, row] : rows_) out.values.insert(out.values.end(), row.begin(), row.end());
        return true;
    }

  private:
    /// The axes that the stage of that name has, as other formats say them; without one, all but a lone key.
    /// A number for each token is a row of all tokens here, a number for each column a row for each token.
    static void set_shape(const Shape& lengths, Index tokens, GivenArray& out) {
        const auto stage = stage_named(out.name);
        std::optional<StageShape> family;
        if (stage) family = info_of(*stage).shape;
        const bool many = lengths[3] > 1 || (tokens == 1 && lengths[4] > 1);
        if (family == StageShape::per_key && many) family = StageShape::key_dim;
        const bool fits = family && (has_heads(*family) || lengths[1] == 1) &&
                          (family == StageShape::states || lengths[2] == 1) &&
                          (!has_one_row(*family) || lengths[3] == 1);
        out.shape = {lengths[0]};
        if (!fits || has_heads(*family)) out.shape.push_back(lengths[1]);
        if (fits ? family == StageShape::states : lengths[2] > 1) out.shape.push_back(lengths[2]);
        if (!fits || !has_one_row(*family)) out.shape.push_back(lengths[3]);
        out.shape.push_back(lengths[4]);
        if (fits)
            for (const Axis axis : axes_of(*family)) out.axes.emplace_back(name_of(axis));
    }

    std::map<Spot, std::vector<double>> rows_;
};

Index integer_of(const Value& event, std::string_view name) {
    const Value* value = event.find(name);
    return value && value->kind == Value::Kind::integer ? value->integer : 0;
}

/// What has come of one document of an NDJSON trace.
struct Begun {
    Dump dump;
    std::optional<Element> type;
    std::vector<std::pair<std::string, Assembly>> stages;
    Index tokens = 0;  ///< keys that are shown and not cached, where the trace says it
    bool ended = false;

    Assembly& stage(const std::string& name) {
        for (auto& [other, assembly] : stages)
            if (other == name) return assembly;
        return stages.emplace_back(name, Assembly{}).second;
    }
};

void begin(const Value& event, Begun& begun) {
    const Value* plan = event.find("plan");
    const Value* type = plan && plan->kind == Value::Kind::object ? plan->find("dtype") : nullptr;
    if (type && type->kind == Value::Kind::string) begun.type = type_named(type->text);
    read_about(event, begun.dump);
    const Value* tokens = event.find("tokens");
    const Value* keys = tokens && tokens->kind == Value::Kind::object ? tokens->find("key") : nullptr;
    if (!keys || !is_list(*keys)) return;
    // Tokens that are all called NaN or Infinity come as a row of numbers.
    std::vector<Index> shown = counted(
        keys->kind == Value::Kind::row ? keys->row.numbers.size() : static_cast<Index>(keys->items.size()));
    for (const AxisPart& part : begun.dump.selection)
        if (part.axis == name_of(Axis::key)) shown = part.indices;
    begun.tokens =
        std::count_if(shown.begin(), shown.end(), [&](Index k) { return k >= begun.dump.axes.cached_keys; });
}

void end(const Value& event, Begun& begun) {
    begun.ended = true;
    const Value* count = event.find("stages");
    const auto found = static_cast<Index>(begun.stages.size());
    // A stage of which the selected keys leave no row has no event: keys and values beside a cache.
    const Selection& selection = begun.dump.selection;
    const bool may_be_empty = std::any_of(selection.begin(), selection.end(),
                                          [](const auto& part) { return part.axis == name_of(Axis::key); });
    if (count && count->kind == Value::Kind::integer &&
        (found > count->integer || (found < count->integer && !may_be_empty)))
        fail("/stages", "says " + std::to_string(count->integer) + " stages, but " + std::to_string(found) +
                            " came before it");
}

/// The rows that an event says: [first, end] are as many as its numbers, and so is "shape".
Index first_row(const Value& event, const Shape& shape, Index count) {
    if (const Value* said = event.find("shape")) {
        const Shape whole = read_integers(*said, "/shape", 0, "[rows, columns]");
        if (whole != shape && whole != Shape{count, shape.back()})
            fail("/shape", "says " + to_string(whole) + ", but the data is " + to_string(shape));
    }
    const Value* rows = event.find("rows");
    if (!rows) return 0;
    const std::vector<Index> range = read_integers(*rows, "/rows", 0, "[first, end]");
    if (range.size() != 2 || range[1] - range[0] != count)
        fail("/rows", "says " + to_string(range) + ", but the data has " + std::to_string(count) +
                          (count == 1 ? " row" : " rows"));
    return range[0];
}

void add_rows(const Value& event, Begun& begun) {
    const std::string& name = read_string(need(event, {}, "name", "the name of a stage"), "/name", "a name");
    const TensorSource block = read_tensor(need(event, {}, "data", "the numbers"), "/data", a_block);
    std::vector<double> values;
    copy_as(begun.type, block.numbers, values);
    const Index count = block.shape.size() == 2 ? block.shape[0] : 1;
    const Index first = first_row(event, block.shape, count);
    const auto columns = static_cast<std::ptrdiff_t>(block.shape.back());
    for (Index k = 0; k < count; ++k) {
        const Assembly::Spot spot{integer_of(event, "batch"), integer_of(event, "head"),
                                  integer_of(event, "key"), first + k};
        const auto from = values.begin() + k * columns;
        if (!begun.stage(name).add(spot, {from, from + columns}))
            fail("/data",
                 "holds row " + std::to_string(first + k) + " of " + name + " again, or with another length");
    }
}

[[noreturn]] void refuse_trace(const Source& source, std::string message, std::string hint = {}) {
    Error error(Exit::input, {}, std::move(message), std::move(hint));
    error.place.file = source.name;
    throw error;
}

void finish(const Source& source, Begun& part, bool several) {
    const std::string of = several ? " of document " + std::to_string(part.dump.number.value_or(0)) : "";
    if (!part.ended)
        refuse_trace(source, "lacks the last event, \"end\"" + of + ": the trace was cut short",
                     "run it again: every event is a line, and \"end\" is the last one");
    const bool ordered = !part.dump.order.empty();
    for (auto& [name, assembly] : part.stages) {
        GivenArray& array = part.dump.arrays.emplace_back();
        array.name = name;
        array.type = part.type;
        if (!assembly.finish(part.tokens, array))
            refuse_trace(source, "lacks rows of " + name + ": it was cut, or only a part was written");
        if (!ordered) part.dump.order.push_back(name);
    }
}

}  // namespace

bool is_event(const Value& root) { return root.kind == Value::Kind::object && root.find("event"); }

std::vector<Dump> read_events(const Source& source, std::span<const Document> documents) {
    std::map<Index, Begun> begun;
    for (const Document& document : documents) {
        try {
            const Value& event = document.root;
            const Value* kind = event.find("event");
            if (!kind || kind->kind != Value::Kind::string) fail("", "is not an event of a trace");
            if (kind->text == "error") continue;  // of a document that has no trace
            Begun& part = begun[integer_of(event, "document")];
            if (event.find("document")) part.dump.number = integer_of(event, "document");
            if (kind->text == "begin") begin(event, part);
            if (kind->text == "stage") add_rows(event, part);
            if (kind->text == "end") end(event, part);
        } catch (Error& error) {
            error.place.file = source.name;
            locate(error, source, document);
            throw;
        }
    }
    std::vector<Dump> dumps;
    for (auto& [number, part] : begun) {
        finish(source, part, begun.size() > 1);
        dumps.push_back(std::move(part.dump));
    }
    return dumps;
}

}  // namespace attn
