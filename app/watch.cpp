#include "app/watch.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <tuple>

#include "app/commands/diff_side.hpp"
#include "app/model_source.hpp"
#include "app/source.hpp"
#include "app/terminal.hpp"
#include "lib/input/tensor_file.hpp"

namespace attn {
namespace {

namespace fs = std::filesystem;

constexpr int tick = 100;            ///< milliseconds between two looks
constexpr int longest_absence = 20;  ///< ticks that a file may be gone before that is a change
constexpr std::array<int, 3> ending{SIGINT, SIGTERM, SIGHUP};
constexpr std::string_view cleared_screen = "\033[H\033[2J\033[3J";

/// What tells that a file is another one: its device, number, size, seconds and nanoseconds.
using State = std::tuple<dev_t, ino_t, off_t, time_t, long>;
using States = std::map<std::string, State>;

std::atomic<pid_t> running_process = 0;

extern "C" void end_both(int number) {
    // It clears up after itself: unfinished files are gone when it has ended.
    if (const pid_t process = running_process; process > 0) {
        kill(process, number);
        waitpid(process, nullptr, 0);
    }
    _exit(128 + number);
}

/// While these signals wait, the process that they end is known.
class SignalsWait {
  public:
    SignalsWait() {
        sigset_t set;
        sigemptyset(&set);
        for (const int number : ending) sigaddset(&set, number);
        pthread_sigmask(SIG_BLOCK, &set, &before_);
    }
    SignalsWait(const SignalsWait&) = delete;
    SignalsWait& operator=(const SignalsWait&) = delete;
    ~SignalsWait() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

/// The handlers of the process that watches; those that were there are for the ones that run.
class Handlers {
  public:
    Handlers() {
        for (std::size_t k = 0; k < ending.size(); ++k) {
            sigaction(ending[k], nullptr, &before_[k]);
            if (before_[k].sa_handler == SIG_IGN) continue;
            struct sigaction action {};
            action.sa_handler = end_both;
            sigaction(ending[k], &action, nullptr);
        }
    }
    void put_back() const {
        for (std::size_t k = 0; k < ending.size(); ++k) sigaction(ending[k], &before_[k], nullptr);
    }

  private:
    std::array<struct sigaction, ending.size()> before_{};
};

/// The files that a document names; `names` stay as they are where it is wrong just now.
void add_named(const std::string& file, const Options& options, std::set<std::string>& names) {
    const std::string folder = fs::path(file).parent_path().string();
    try {
        const Source source = read_source(file, most_source_bytes(options.request));
        for (const Document& d : parse_documents(source, {options.request.dtype, true, 1}))
            add_files_used(d.root, folder.empty() ? "." : folder, names);
    } catch (const Error&) {
    }
    for (const Override& one : options.overrides)
        add_files_used(one.value, folder.empty() ? "." : folder, names);
}

/// All that the command reads; `known`: from before, for documents that are wrong just now.
std::set<std::string> files_read(const Options& options, std::set<std::string> known) {
    for (const std::string& word : options.words) {
        known.insert(word);
        if (!names_tensor_file(word)) add_named(word, options, known);
    }
    if (options.weights) known.insert(*options.weights);
    for (const auto* file : {&options.embeddings, &options.block, &options.key_embeddings})
        if (*file) known.insert(tensor_file_of(**file));
    if (!options.model) return known;
    std::error_code ignored;
    known.insert(options.model->folder);
    if (fs::is_directory(options.model->folder, ignored))
        for (const auto& [name, path] : files_of_folder(options.model->folder)) known.insert(path);
    return known;
}

States states_of(const std::set<std::string>& files) {
    States out;
    for (const std::string& file : files) {
        struct stat s {};
        if (stat(file.c_str(), &s) == 0)
            out[file] = {s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
    }
    return out;
}

/// Waits a tick. \return false: the reader of standard output has left
bool wait_a_tick() {
    pollfd out{STDOUT_FILENO, 0, 0};
    return poll(&out, 1, tick) <= 0 || (out.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

/// Waits until the files have changed and stand still again. \return false: the reader has left
bool wait_for_change(const std::set<std::string>& files, const States& read) {
    States last = read;
    int absent = 0;
    while (wait_a_tick()) {
        States now = states_of(files);
        const bool still = now == last;
        last = std::move(now);
        if (last == read || !still) {
            absent = 0;
        } else if (last.size() >= read.size() || ++absent > longest_absence) {
            return true;
        }
    }
    return false;
}

/// Starts a run. \return its process; 0 in itself
pid_t start(const Handlers& handlers) {
    const SignalsWait wait;
    const pid_t process = fork();
    if (process < 0) throw std::system_error(errno, std::generic_category());
    if (process == 0)
        handlers.put_back();
    else
        running_process = process;
    return process;
}

void wait_for_end(pid_t process) {
    siginfo_t info;
    while (waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    const SignalsWait wait;
    waitpid(process, nullptr, 0);
    running_process = 0;
}

}  // namespace

Exit watch(const Options& options, const Diagnostics& diagnostics, const std::function<Exit()>& work) {
    const Handlers handlers;
    std::set<std::string> files;
    for (bool first = true;; first = false) {
        files = files_read(options, std::move(files));
        const States read = states_of(files);
        if (!first && is_terminal(STDOUT_FILENO)) {
            [[maybe_unused]] const ssize_t sent =
                write(STDOUT_FILENO, cleared_screen.data(), cleared_screen.size());
        }
        const pid_t process = start(handlers);
        if (process == 0) return work();
        wait_for_end(process);
        if (first)
            diagnostics.note("watching " + std::to_string(files.size()) +
                             (files.size() == 1 ? " file" : " files") + ", until Ctrl-C");
        if (!wait_for_change(files, read)) return Exit::ok;
    }
}

}  // namespace attn
