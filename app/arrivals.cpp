#include "app/arrivals.hpp"

#include <algorithm>
#include <utility>

#include "lib/plan/machine.hpp"

namespace attn {
namespace {

constexpr std::size_t read_ahead = 256 * 1024;
/// A longer document is read where it lies, by all threads.
constexpr std::size_t small_document = 256 * 1024;
/// Of a mapped file, after which what has been done leaves memory.
constexpr std::size_t worth_letting_go = 1 << 20;
constexpr std::string_view space = " \t\r\n", byte_order_mark = "\xEF\xBB\xBF";
constexpr std::size_t most_of_strange = 64 * 1024;

bool is_start(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

Arrivals::Arrivals(const std::string& name, std::size_t most_bytes, ParseOptions reading)
    : file_(name), most_bytes_(most_bytes), reading_(reading), mapped_(file_.map()), ended_(mapped_) {
    if (!mapped_) most_bytes_ = std::min(most_bytes_, static_cast<std::size_t>(memory_available()) / 4);
}

/// Reads more; false: there is no more, or none yet and nobody waits.
bool Arrivals::fill(bool wait) {
    if (ended_ || (!wait && !file_.is_ready())) return false;
    if (at_ > 0) {
        buffer_.erase(0, at_);
        passed_ += std::exchange(at_, 0);
    }
    const std::size_t filled = buffer_.size();
    if (filled > most_bytes_) give_up();
    buffer_.resize(filled + std::max(read_ahead, filled / 2));
    const std::size_t got = file_.read(buffer_.data() + filled, buffer_.size() - filled);
    buffer_.resize(filled + got);
    ended_ = got == 0;
    return !ended_;
}

/// What holds no document may have no end.
void Arrivals::refuse_endless(std::size_t begun) {
    if (!mapped_ && bytes_done() - begun > most_bytes_) give_up();
}

void Arrivals::give_up() {
    ended_ = true;
    buffer_.clear();
    at_ = 0;
    refuse_size(file_.name(), most_bytes_);
}

void Arrivals::advance(std::size_t bytes) {
    const std::string_view passed = rest().substr(0, bytes);
    const auto lines = std::count(passed.begin(), passed.end(), '\n');
    if (lines > 0) columns_ = 0;
    lines_ += lines;
    const std::string_view last = passed.substr(passed.rfind('\n') + 1);
    columns_ += std::count_if(last.begin(), last.end(), is_start);
    at_ += bytes;
    if (!mapped_ || at_ - held_ < worth_letting_go) return;
    mapped_->let_go(mapped_->text.substr(held_, at_ - held_));
    held_ = at_;
}

/// True: something that is no white space comes next.
bool Arrivals::skip_space(bool wait) {
    const std::size_t begun = bytes_done();
    do {
        refuse_endless(begun);
        const std::string_view left = rest();
        const std::size_t first = std::min(left.find_first_not_of(space), left.size());
        if (first > 0) advance(first);
        if (first < left.size()) return true;
    } while (fill(wait));
    return false;
}

/// Goes to the next line that begins with `{`. False: there is none, or none yet.
bool Arrivals::skip_to_line(bool wait) {
    const std::size_t begun = bytes_done();
    do {
        refuse_endless(begun);
        const std::string_view left = rest();
        if (columns_ == 0 && left.starts_with('{')) return true;
        const std::size_t end = left.find("\n{");
        // A line end at the very end of what is there may be the one.
        advance(end != std::string_view::npos ? end + 1
                : left.empty()                ? 0
                                              : left.size() - (left.back() == '\n' && !ended_ ? 1 : 0));
        if (end != std::string_view::npos) return true;
    } while (wait && fill(wait));  // a text without an end may be skipped
    return false;
}

/// The next `size` bytes as a text of their own.
Arrival Arrivals::piece(std::size_t size, bool cut) {
    const std::int64_t lines = lines_, columns = columns_;
    advance(size);
    Arrival out{{file_.name(), taken(size)}, {}, {}, number_++, {}};
    out.source.lines_before = lines;
    out.source.columns_before = columns;
    out.source.cut = cut;
    splitter_.reset();
    skipping_ = cut;
    if (cut) stop_at_no_text(out.source.text);
    return out;
}

/// What follows a NUL is no text, and may be without an end.
void Arrivals::stop_at_no_text(std::string_view read) {
    if (!is_hopeless(read, Reads::text)) return;
    ended_ = true;
    skipping_ = false;
    at_ = text().size();
}

/// The `size` bytes before at_; many of them leave the buffer without being copied.
std::string Arrivals::taken(std::size_t size) {
    if (mapped_ || size < small_document) return std::string(text().substr(at_ - size, size));
    std::string behind = buffer_.substr(at_);
    buffer_.resize(at_);
    buffer_.erase(0, at_ - size);
    passed_ += std::exchange(at_, 0);
    return std::exchange(buffer_, std::move(behind));
}

/// Something that is no document: its line, or at the very start all that is there.
Arrival Arrivals::strange() {
    std::size_t size = rest().size();
    if (number_ > 0) size = std::min({size, rest().find('\n'), most_of_strange});
    Arrival out = piece(size, false);
    skipping_ = true;
    stop_at_no_text(out.source.text);
    return out;
}

/// A mapped document that is long: where it ends is known when it has been read.
Arrival Arrivals::take_large() {
    Arrival out{{file_.name(), rest(), mapped_->keeper}, {}, {}, number_, {}};
    out.source.let_go = mapped_->let_go;
    out.source.lines_before = lines_;
    out.source.columns_before = columns_;
    const std::string_view left = rest();
    try {
        if (left.size() > most_bytes_) refuse_size(file_.name(), most_bytes_);
        out.document = parse_document(out.source, reading_);
    } catch (const Error&) {
        // Its fault is told when it is read again, as a text that ends where it does.
        if (!splitter_->look(left)) splitter_->finish(left);
        if (splitter_->end() > most_bytes_) refuse_size(file_.name(), most_bytes_);
        return piece(splitter_->end(), splitter_->is_cut());
    }
    ++number_;
    splitter_.reset();
    const std::size_t end = out.document->end;
    if (left.find_first_not_of(space, end) == std::string_view::npos) {
        at_ = text().size();
    } else {
        advance(end);
    }
    return out;
}

std::optional<Arrival> Arrivals::next(bool wait) {
    if (passed_ + at_ == 0) {
        while (rest().size() < byte_order_mark.size() && fill(wait)) {
        }
        if (rest().starts_with(byte_order_mark)) at_ = byte_order_mark.size();
    }
    if (skipping_ && !skip_to_line(wait)) return std::nullopt;
    skipping_ = false;
    if (!skip_space(wait)) return ended_ && number_ == 0 ? std::optional(piece(0, false)) : std::nullopt;
    if (rest().front() != '{' && rest().front() != '[') {
        while (number_ > 0 && rest().size() < most_of_strange &&
               rest().find('\n') == std::string_view::npos && fill(wait)) {
        }
        return strange();
    }
    if (!splitter_) splitter_.emplace();
    while (!splitter_->look(mapped_ ? rest().substr(0, small_document) : rest())) {
        if (mapped_ && rest().size() > small_document) return take_large();
        // Those that have arrived do not wait for a long one.
        if (!ended_ && !wait && rest().size() >= small_document) return std::nullopt;
        if (fill(wait)) continue;
        if (!ended_) return std::nullopt;
        splitter_->finish(rest());
        break;
    }
    return piece(splitter_->end(), splitter_->is_cut());
}

bool Arrivals::is_over() { return skipping_ ? ended_ && !skip_to_line(false) : !skip_space(true); }

}  // namespace attn
