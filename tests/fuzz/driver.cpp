// The driver of a fuzz target where the compiler brings none: mutates a corpus at random, for some seconds.
#include <sanitizer/common_interface_defs.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t largest_seed = 1 << 16, largest_input = 1 << 17;
constexpr unsigned most_seconds = 20;

std::string input;  // what is run at the moment

void keep_input() {
    if (std::FILE* file = std::fopen("fuzz-failure", "wb")) {
        std::fwrite(input.data(), 1, input.size(), file);
        std::fclose(file);
        std::fputs("the input is in fuzz-failure\n", stderr);
    }
}

extern "C" void too_slow(int) {
    keep_input();
    std::fputs("an input took too long\n", stderr);
    _exit(1);
}

void run(std::string text) {
    input = std::move(text);
    alarm(most_seconds);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    alarm(0);
}

std::string read(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

class Mutator {
  public:
    Mutator(std::uint64_t seed, std::vector<std::string> corpus) : random_(seed), corpus_(std::move(corpus)) {
        // Words in quotes are the names that the inputs are made of.
        for (const std::string& text : corpus_)
            for (std::size_t at = 0; (at = text.find('"', at)) != std::string::npos;) {
                const std::size_t end = text.find('"', at + 1);
                if (end == std::string::npos) break;
                if (end - at < 32) words_.insert(text.substr(at, end - at + 1));
                at = end + 1;
            }
        for (const char* word : {"0", "-1", "1e999", "9223372036854775807", "1e-400", "null", "true", "[]",
                                 "{}", "[[1]]", "\"NaN\"", "0.5", "[", "]", "{", "}", ",", ":"})
            words_.insert(word);
        list_.assign(words_.begin(), words_.end());
    }

    std::string next() {
        std::string text = corpus_[below(corpus_.size())];
        for (std::size_t k = 1 + below(5); k > 0; --k) mutate(text);
        if (text.size() > largest_input) text.resize(largest_input);
        return text;
    }

  private:
    std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }

    void mutate(std::string& text) {
        const std::size_t at = below(text.size() + 1),
                          length = below(std::min<std::size_t>(text.size() - at, 64) + 1);
        switch (below(7)) {
            case 0:
                if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
                break;
            case 1:
                if (at < text.size()) text[at] = static_cast<char>(random_());
                break;
            case 2:
                text.erase(at, length);
                break;
            case 3:
                text.insert(below(text.size() + 1), text.substr(at, length));
                break;
            case 4:
                text.insert(at, list_[below(list_.size())]);
                break;
            case 5: {  // a word for another
                const std::size_t from = text.find('"', at);
                const std::size_t to = from == std::string::npos ? from : text.find('"', from + 1);
                if (to != std::string::npos) text.replace(from, to - from + 1, list_[below(list_.size())]);
                break;
            }
            default: {  // a piece of another input
                const std::string& other = corpus_[below(corpus_.size())];
                const std::size_t from = below(other.size() + 1);
                text.replace(at, length, other.substr(from, below(256)));
            }
        }
    }

    std::mt19937_64 random_;
    std::vector<std::string> corpus_;
    std::set<std::string> words_;
    std::vector<std::string> list_;
};

}  // namespace

int main(int count, char** arguments) {
    double seconds = 30;
    std::uint64_t seed = 1;
    std::vector<std::string> corpus;
    bool one_file = true;
    std::signal(SIGALRM, too_slow);
    __sanitizer_set_death_callback(keep_input);
    for (int k = 1; k < count; ++k) {
        const std::string word = arguments[k];
        if (word == "--seconds" && k + 1 < count) {
            seconds = std::atof(arguments[++k]);
        } else if (word == "--seed" && k + 1 < count) {
            seed = std::strtoull(arguments[++k], nullptr, 10);
        } else if (std::filesystem::is_directory(word)) {
            one_file = false;
            std::set<std::filesystem::path> files;  // in an order that is the same everywhere
            for (const auto& entry : std::filesystem::recursive_directory_iterator(word))
                if (entry.is_regular_file() && entry.file_size() <= largest_seed) files.insert(entry.path());
            for (const auto& file : files) corpus.push_back(read(file));
        } else {
            corpus.push_back(read(word));
        }
    }
    if (corpus.empty()) {
        std::fprintf(stderr, "%s [--seconds N] [--seed N] FILE or FOLDER...\n", arguments[0]);
        return 2;
    }
    for (const std::string& text : corpus) run(text);
    if (one_file && corpus.size() == 1) return 0;
    const std::size_t seeds = corpus.size();
    Mutator mutator(seed, std::move(corpus));
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    unsigned long long runs = 0;
    for (; std::chrono::steady_clock::now() < end; ++runs) run(mutator.next());
    std::printf("%zu seeds, %llu inputs in %.0f s, seed %llu\n", seeds, runs, seconds,
                static_cast<unsigned long long>(seed));
    return 0;
}
