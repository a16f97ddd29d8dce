#include "lib/models/disentangled.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "lib/error.hpp"
#include "lib/models/tree.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Rows of numbers.
struct Matrix {
    Index rows = 0, columns = 0;
    std::vector<double> numbers;
    double at(Index row, Index column) const { return numbers[idx(row * columns + column)]; }
};

Matrix matrix_of(const ModelFolder& folder, const std::string& tensor) {
    const Shape shape = folder.tensor(tensor).shape;
    const Numbers numbers = folder.numbers(tensor);
    Matrix out{shape.empty() ? 1 : shape.front(),
               shape.empty() ? 1 : numbers.size() / std::max<Index>(shape.front(), 1),
               std::vector<double>(idx(numbers.size()))};
    numbers.copy(std::span<double>(out.numbers));
    return out;
}

/// x · Wᵀ + b
Matrix projected(const LayerReader& reader, const Matrix& x, const std::string& module) {
    const Matrix weight = matrix_of(reader.folder(), reader.path_of(module) + ".weight");
    const std::string bias_name = reader.path_of(module) + ".bias";
    std::optional<Matrix> bias;
    if (reader.has(bias_name)) bias = matrix_of(reader.folder(), bias_name);
    if (weight.columns != x.columns)
        fail("", "has " + shown(module) + " of " + std::to_string(weight.columns) +
                     " columns, but the states have " + std::to_string(x.columns));
    Matrix out{x.rows, weight.rows, std::vector<double>(idx(x.rows * weight.rows))};
    for (Index i = 0; i < x.rows; ++i)
        for (Index j = 0; j < weight.rows; ++j) {
            double sum = bias ? bias->numbers[idx(j)] : 0;
            for (Index k = 0; k < x.columns; ++k) sum += x.at(i, k) * weight.at(j, k);
            out.numbers[idx(i * weight.rows + j)] = sum;
        }
    return out;
}

void layer_norm(Matrix& x, const Matrix& weight, const Matrix& bias, double eps) {
    const auto columns = static_cast<double>(x.columns);
    for (Index i = 0; i < x.rows; ++i) {
        double mean = 0, variance = 0;
        for (Index k = 0; k < x.columns; ++k) mean += x.at(i, k) / columns;
        for (Index k = 0; k < x.columns; ++k) variance += (x.at(i, k) - mean) * (x.at(i, k) - mean) / columns;
        for (Index k = 0; k < x.columns; ++k)
            x.numbers[idx(i * x.columns + k)] =
                (x.at(i, k) - mean) / std::sqrt(variance + eps) * weight.numbers[idx(k)] +
                bias.numbers[idx(k)];
    }
}

/// Near distances are their own bucket, far ones share buckets that grow with them.
Index bucket_of(Index distance, Index buckets, Index most) {
    const Index middle = buckets / 2, size = std::abs(distance);
    if (buckets <= 0 || size <= middle) return distance;
    const auto half = static_cast<double>(middle);
    const double place = std::ceil(std::log(static_cast<double>(size) / half) /
                                   std::log(static_cast<double>(most - 1) / half) * (half - 1));
    const Index bucket = static_cast<Index>(place) + middle;
    return distance < 0 ? -bucket : bucket;
}

/// The embeddings of relative positions, through the encoder's norm where the configuration says so.
Matrix relative_embeddings(LayerReader& reader) {
    const auto find = [&](const std::string& end) {
        for (const std::string& name : reader.folder().names())
            if (name == end || name.ends_with("." + end)) return name;
        fail("", "has no tensor " + shown(end) + ", the embeddings of relative positions or their norm");
    };
    Matrix out = matrix_of(reader.folder(), find("encoder.rel_embeddings.weight"));
    const auto norm = reader.config().text("norm_rel_ebd");
    if (!norm || norm->value.find("layer_norm") == std::string::npos) return out;
    const auto eps = reader.config().number("layer_norm_eps");
    layer_norm(out, matrix_of(reader.folder(), find("encoder.LayerNorm.weight")),
               matrix_of(reader.folder(), find("encoder.LayerNorm.bias")), eps ? eps->value : 1e-7);
    return out;
}

}  // namespace

void disentangled_bias(LayerReader& reader) {
    const Config& config = reader.config();
    const auto integer = [&](std::string_view key) {
        const auto found = config.integer(key, -1);
        return found ? found->value : Index{-1};
    };
    bool by_keys = false, by_queries = false;
    if (const ConfigKey kinds = config.given("pos_att_type")) {
        // A list, or words between |.
        const auto note = [&](std::string_view word) {
            by_keys = by_keys || word == "c2p";
            by_queries = by_queries || word == "p2c";
        };
        if (kinds.value->kind == Value::Kind::string)
            each_of(kinds.value->text, '|', note);
        else
            for (const Value& v : Config::list_of(kinds)) note(v.text);
    }
    const double parts = 1 + (by_keys ? 1 : 0) + (by_queries ? 1 : 0);
    const double scale = 1 / std::sqrt(parts * static_cast<double>(reader.sizes().dim.value));
    reader.set("scale", tree_number(scale), "1/sqrt of the kinds of pos_att_type and one, times dim");
    const auto relative = config.boolean("relative_attention"), shared = config.boolean("share_att_key");
    const Index buckets = integer("position_buckets");
    Index most = integer("max_relative_positions");
    if (most < 1) most = integer("max_position_embeddings");
    if (most < 1) most = 512;
    if (!relative || !relative->value || parts == 1) return;
    const Index span = buckets > 0 ? buckets : most;
    const LayerStates states = reader.states();
    const Matrix positions = relative_embeddings(reader);
    if (positions.rows < 2 * span)
        fail("", "has " + std::to_string(positions.rows) + " embeddings of relative positions, expected " +
                     std::to_string(2 * span));
    const bool same = shared && shared->value;
    const Matrix keys_of = projected(reader, positions, same ? "key_proj" : "pos_key_proj"),
                 queries_of = projected(reader, positions, same ? "query_proj" : "pos_query_proj");
    const Index heads = reader.sizes().heads.value, dim = reader.sizes().dim.value, tokens = states.tokens;
    std::vector<Value> items;
    for (Index item = 0; item < states.items; ++item) {
        Matrix x{tokens, states.width, {}};
        const auto first = states.numbers.begin() + item * tokens * states.width;
        x.numbers.assign(first, first + tokens * states.width);
        const Matrix queries = projected(reader, x, "query_proj"), keys = projected(reader, x, "key_proj");
        std::vector<Value> of_heads;
        for (Index h = 0; h < heads; ++h) {
            std::vector<Value> rows;
            for (Index i = 0; i < tokens; ++i) {
                std::vector<double> row;
                for (Index j = 0; j < tokens; ++j) {
                    const Index place =
                        std::clamp(bucket_of(i - j, buckets, most) + span, Index{0}, 2 * span - 1);
                    double sum = 0;
                    for (Index c = h * dim; c < (h + 1) * dim; ++c) {
                        if (by_keys) sum += queries.at(i, c) * keys_of.at(place, c);
                        if (by_queries) sum += keys.at(j, c) * queries_of.at(place, c);
                    }
                    row.push_back(sum * scale);
                }
                rows.push_back(tree_numbers(row));
            }
            of_heads.push_back(tree_list(std::move(rows)));
        }
        items.push_back(tree_list(std::move(of_heads)));
    }
    reader.set("position_bias", tree_list(std::move(items)), "made from the embeddings: pos_att_type");
}

}  // namespace attn
