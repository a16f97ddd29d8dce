#pragma once
#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "lib/shape.hpp"

namespace attn {

/// Workers that take numbered jobs; the caller works too. One worker or fewer: no thread is started.
class Pool {
  public:
    explicit Pool(int workers);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int workers() const { return static_cast<int>(threads_.size()) + 1; }
    /// Runs job(k, worker) for k in 0 ... count - 1, each once and begun in that order, and returns when all
    /// are done. Jobs of the same worker (0 ... workers() - 1) never overlap. Rethrows the first exception.
    void run(Index count, const std::function<void(Index, int)>& job);
    /// Is told now and then, by the caller's thread, which share of a run's jobs has been begun. Empty:
    /// nobody is.
    void watch(std::function<void(double)> watcher) { watcher_ = std::move(watcher); }

  private:
    Pool() = default;
    void work(int worker);
    void take_jobs(std::unique_lock<std::mutex>& lock, int worker);

    /// Counts the calls of run() and the end: what a worker looks at for some microseconds before it sleeps,
    /// since the next call often comes at once.
    std::atomic<unsigned> calls_{0};
    std::atomic<Index> unfinished_{0};  ///< jobs of the call under way
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(Index, int)>* job_ = nullptr;
    std::function<void(double)> watcher_;
    Index next_ = 0, count_ = 0;
    bool stop_ = false;
    std::exception_ptr failure_;
    std::vector<std::thread> threads_;
};

/// A pool whose threads are started when it is first asked for: work that may turn out to be small.
class LatePool {
  public:
    explicit LatePool(int workers = 1) : workers_(workers) {}

    int workers() const { return workers_; }
    Pool& get() {
        if (!pool_) pool_ = std::make_unique<Pool>(workers_);
        return *pool_;
    }

  private:
    int workers_;
    std::unique_ptr<Pool> pool_;
};

}  // namespace attn
