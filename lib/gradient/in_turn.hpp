#pragma once
#include <condition_variable>
#include <mutex>

#include "lib/shape.hpp"

namespace attn::gradient {

/// Numbered jobs of several workers, begun in that order, hand over their results in it.
class InTurn {
  public:
    /// Calls f when all jobs before this one have had their turn, and nobody else meanwhile.
    template <class F>
    void take(Index job, const F& f) {
        std::unique_lock lock(mutex_);
        next_came_.wait(lock, [&] { return next_ == job || failed_; });
        if (failed_) return;
        f();
        ++next_;
        next_came_.notify_all();
    }
    bool has_failed() {
        const std::lock_guard lock(mutex_);
        return failed_;
    }
    /// A job has none: nobody waits for it.
    void fail() {
        const std::lock_guard lock(mutex_);
        failed_ = true;
        next_came_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable next_came_;
    Index next_ = 0;
    bool failed_ = false;
};

}  // namespace attn::gradient
