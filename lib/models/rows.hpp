#pragma once
#include <string_view>
#include <vector>

#include "lib/models/architecture.hpp"

namespace attn {

/// Parts of THE TABLE: each adds its rows.
void add_llamas(std::vector<Architecture>& rows);
void add_later_decoders(std::vector<Architecture>& rows);
void add_gpts(std::vector<Architecture>& rows);
void add_recurrent(std::vector<Architecture>& rows);
void add_encoders(std::vector<Architecture>& rows);

/// The row that a GGUF file's layers are read by.
Architecture architecture_of(const GgufRow& row);

/// What most decoders are: rotary positions, an rms norm before, a causal mask.
Architecture llama_row();

/// The same row with some fields changed.
template <class Change>
Architecture with(Architecture row, Change change) {
    change(row);
    return row;
}

/// Adds a row of another type, `base` with some fields changed; what docs/models.md says of `base` is not
/// said of it. \return the row
template <class Change>
Architecture add_row(std::vector<Architecture>& rows, const Architecture& base, std::string_view type,
                     Change change) {
    rows.push_back(with(base, [&](Architecture& a) {
        a.type = type;
        a.said = {};
        change(a);
    }));
    return rows.back();
}

}  // namespace attn
