#include "lib/run/pool.hpp"

#include <utility>

namespace attn {

Pool::Pool(int workers) {
    for (int k = 1; k < workers; ++k) threads_.emplace_back([this, k] { work(k); });
}

Pool::~Pool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
}

void Pool::take_jobs(std::unique_lock<std::mutex>& lock, int worker) {
    while (next_ < count_) {
        const Index k = next_++;
        ++running_;
        lock.unlock();
        std::exception_ptr failure;
        try {
            (*job_)(k, worker);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        if (failure && !failure_) failure_ = failure;
        --running_;
    }
    if (running_ == 0) done_.notify_all();
}

void Pool::work(int worker) {
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [this] { return stop_ || next_ < count_; });
        if (stop_) return;
        take_jobs(lock, worker);
    }
}

void Pool::run(Index count, const std::function<void(Index, int)>& job) {
    std::unique_lock lock(mutex_);
    job_ = &job;
    next_ = 0;
    count_ = count;
    if (count > 1) wake_.notify_all();
    take_jobs(lock, 0);
    done_.wait(lock, [this] { return next_ >= count_ && running_ == 0; });
    count_ = next_ = 0;
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace attn
