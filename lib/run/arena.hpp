#pragma once
#include <cstddef>
#include <vector>

#include "lib/shape.hpp"

namespace attn {

/// The memory of a run's numbers, aligned to 64 bytes. Every run of a plan takes the same pieces in the same
/// order, so a second run finds them again. Not to be taken from by several threads at once.
class Arena {
  public:
    Arena() = default;
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    /// The next piece that is taken is the first one again.
    void rewind() { next_ = 0; }
    /// `count` numbers, uninitialised. \throws std::bad_alloc
    template <class T>
    T* take(Index count) {
        return static_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
    }
    /// Bytes of all pieces.
    Index bytes() const;

  private:
    struct Piece {
        void* at = nullptr;
        std::size_t bytes = 0;
    };
    void* take_bytes(std::size_t bytes);

    std::vector<Piece> pieces_;
    std::size_t next_ = 0;
};

}  // namespace attn
