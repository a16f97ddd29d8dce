#pragma once
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace attn {

/// Workers that take numbered jobs; the caller works too. One worker or fewer: no thread is started.
class Pool {
  public:
    explicit Pool(int workers);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int workers() const { return static_cast<int>(threads_.size()) + 1; }
    /// Runs job(0) ... job(count - 1), each once, and returns when all are done. Rethrows the first
    /// exception.
    void run(int count, const std::function<void(int)>& job);

  private:
    void work();
    void take_jobs(std::unique_lock<std::mutex>& lock);

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int)>* job_ = nullptr;
    int next_ = 0, count_ = 0, running_ = 0;
    bool stop_ = false;
    std::exception_ptr failure_;
    std::vector<std::thread> threads_;
};

}  // namespace attn
