#include "lib/pool.hpp"

#include <signal.h>

#include <chrono>
#include <utility>

namespace attn {
namespace {

/// Waking a thread that sleeps takes about 50 microseconds.
constexpr std::chrono::microseconds patience{50};

/// Looks at `ready` for a while; what it returns is only a hint.
template <class F>
bool spin(F&& ready) {
    const auto end = std::chrono::steady_clock::now() + patience;
    do {
        for (int k = 0; k < 64; ++k) {
            if (ready()) return true;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

/// Signals from outside are for the thread that makes a pool: what it does meanwhile is not to be interrupted
/// where it has them wait. Those that a worker's own fault raises are its own.
class SignalsElsewhere {
  public:
    SignalsElsewhere() {
        sigset_t all;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, fault);
        pthread_sigmask(SIG_BLOCK, &all, &before_);
    }
    SignalsElsewhere(const SignalsElsewhere&) = delete;
    SignalsElsewhere& operator=(const SignalsElsewhere&) = delete;
    ~SignalsElsewhere() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

}  // namespace

// Delegates: where a thread cannot be started, those that were are ended by the destructor.
Pool::Pool(int workers) : Pool() {
    const SignalsElsewhere signals;
    for (int k = 1; k < workers; ++k) threads_.emplace_back([this, k] { work(k); });
}

Pool::~Pool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        ++calls_;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
}

void Pool::take_jobs(std::unique_lock<std::mutex>& lock, int worker) {
    while (next_ < count_) {
        const Index k = next_++;
        lock.unlock();
        std::exception_ptr failure;
        try {
            (*job_)(k, worker);
            if (worker == 0 && watcher_) watcher_(static_cast<double>(k + 1) / static_cast<double>(count_));
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        if (failure && !failure_) failure_ = failure;
        if (--unfinished_ == 0) done_.notify_all();
    }
}

void Pool::work(int worker) {
    unsigned seen = 0;
    while (true) {
        spin([&] { return calls_ != seen; });
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || calls_ != seen; });
        if (stop_) return;
        seen = calls_;
        take_jobs(lock, worker);
    }
}

void Pool::run(Index count, const std::function<void(Index, int)>& job) {
    if (count == 0) return;
    std::unique_lock lock(mutex_);
    job_ = &job;
    next_ = 0;
    count_ = count;
    unfinished_ = count;
    if (count > 1 && !threads_.empty()) {
        ++calls_;
        wake_.notify_all();
    }
    take_jobs(lock, 0);
    if (unfinished_ != 0) {
        lock.unlock();
        spin([this] { return unfinished_ == 0; });
        lock.lock();
        done_.wait(lock, [this] { return unfinished_ == 0; });
    }
    count_ = next_ = 0;
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace attn
