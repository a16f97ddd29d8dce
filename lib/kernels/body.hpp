#pragma once
#include "lib/kernels/backward.hpp"
#include "lib/kernels/draws.hpp"
#include "lib/kernels/rows.hpp"
#include "lib/kernels/streams.hpp"

namespace attn::kernels {

/// The table of an instruction set.
template <class T, class Arch>
struct Body {
    using P = Streams<T, Arch>;
    using R = RowKernels<T, Arch>;
    using B = BackwardKernels<T, Arch>;

    static constexpr Table<T> make(const char* name) {
        return {name,
                {P::width, P::tile_rows, P::tile_vectors},
                &P::dot_rows,
                &P::multiply,
                &P::packed_size,
                &P::pack_columns,
                &P::pack_rows,
                &P::turn,
                &P::multiply_packed,
                &P::add_packed,
                &P::dot_stream,
                &P::multiply_stream,
                &R::add_rest,
                &R::add_exactly,
                &R::scale,
                &R::copy_past,
                &R::settle,
                &R::scale_past,
                &R::all_finite,
                &R::add_outer,
                &R::dot_tanh,
                &R::divide,
                &R::exponentials,
                &R::weigh,
                &R::rounding,
                &B::dot_exactly,
                &B::send_back,
                DrawKernels<Arch>::table};
    }
};

}  // namespace attn::kernels
