#include "app/diagnostics.hpp"

#include <unistd.h>

#include "app/terminal.hpp"
#include "lib/render/terminal.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::size_t most_bytes_shown = 2000, most_of_file = 300, most_of_pointer = 250,
                      most_of_message = 700, most_of_hint = 400;
constexpr std::size_t number_columns = 5;
constexpr int longest_line = 110;

constexpr std::string_view red = "\033[1;31m", yellow = "\033[1;33m", bold = "\033[1m", faint = "\033[2m",
                           plain = "\033[0m";

/// At most `most` bytes, cut between characters.
std::string cut(std::string text, std::size_t most) {
    if (text.size() <= most) return text;
    std::size_t end = most - std::string_view("…").size();
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    return text.substr(0, end) + "…";
}

/// A JSON string of at most about `most` bytes.
std::string cut_json(std::string_view text, std::size_t most) {
    std::string out = json_string(text);
    for (std::size_t keep = most; out.size() > most; keep = keep * 3 / 4)
        out = json_string(cut(std::string(text), keep));
    return out;
}

/// Messages continue their pointer ("/weights has ..."); what is said of the whole document begins alike.
std::string sentence(const Error& error) {
    const bool continues = error.message.starts_with("has ") || error.message.starts_with("is ") ||
                           error.message.starts_with("needs ");
    return (error.pointer.empty() && continues ? "the document " : "") + error.message;
}

std::string painted(std::string_view text, std::string_view paint, bool colour) {
    return colour ? std::string(paint) + std::string(text) + std::string(plain) : std::string(text);
}

std::string padded(const std::string& text) {
    return std::string(number_columns - std::min(number_columns, text.size()), ' ') + text;
}

std::string excerpt_text(const Place& place, bool colour) {
    const std::string number = padded(std::to_string(place.line));
    const std::string carets(static_cast<std::size_t>(std::max(place.caret_width, 1)), '^');
    return painted(number + " | ", faint, colour) + place.excerpt + "\n" +
           painted(std::string(number.size(), ' ') + " | ", faint, colour) +
           std::string(static_cast<std::size_t>(std::max(place.caret, 0)), ' ') +
           painted(carets, red, colour) + "\n";
}

/// "document 3: ", where there are several.
std::string document_text(std::int64_t number) {
    return number < 0 ? std::string() : "document " + std::to_string(number) + ": ";
}

}  // namespace

std::string DocumentName::words() const {
    return std::string(file) + (document < 0 ? "" : ", document " + std::to_string(document));
}

std::string error_text(const Error& error, bool colour, std::string_view try_line) {
    const Place& place = error.place;
    std::string head = painted("attn-calc: ", bold, colour) + painted("error: ", red, colour);
    if (!place.file.empty()) {
        head += cut(visible(place.file), most_of_file) + ":";
        if (place.line > 0) head += std::to_string(place.line) + ":" + std::to_string(place.column) + ":";
        head += " ";
    }
    head += document_text(place.document);
    if (!error.pointer.empty() && !error.at_key) head += cut(visible(error.pointer), most_of_pointer) + " ";
    head += cut(harmless(sentence(error)), most_of_message) + "\n";
    std::string tail;
    if (!error.hint.empty())
        tail += wrapped("hint: " + cut(harmless(error.hint), most_of_hint), longest_line, 2, 8);
    if (!try_line.empty()) tail += "  try: " + std::string(try_line) + "\n";
    std::string excerpt;
    if (place.line > 0 && !place.excerpt.empty()) excerpt = excerpt_text(place, colour);
    if (head.size() + excerpt.size() + tail.size() > most_bytes_shown) excerpt.clear();
    return head + excerpt + tail;
}

std::string error_members(const Error& error) {
    const Place& place = error.place;
    const auto number = [](std::int64_t n) { return n > 0 ? std::to_string(n) : std::string("null"); };
    return "\"code\":" + std::to_string(static_cast<int>(error.code)) +
           ",\"file\":" + (place.file.empty() ? "null" : cut_json(place.file, most_of_file)) +
           (place.document < 0 ? "" : ",\"document\":" + std::to_string(place.document)) +
           ",\"line\":" + number(place.line) + ",\"column\":" + number(place.column) +
           ",\"pointer\":" + cut_json(error.pointer, most_of_pointer) +
           ",\"message\":" + cut_json(sentence(error), most_of_message) +
           ",\"hint\":" + cut_json(error.hint, most_of_hint);
}

std::string error_json(const Error& error, std::string_view level) {
    return "{\"level\":\"" + std::string(level) + "\"," + error_members(error) + "}\n";
}

Diagnostics::Diagnostics(const Options& options)
    : form_(options.messages),
      colour_(options.messages == Messages::text && use_colour(STDERR_FILENO, options.colour)),
      quiet_(options.quiet),
      try_("attn-calc " +
           std::string(options.command_named ? std::string(name_of(options.command)) + " " : "") + "--help") {
}

void Diagnostics::error(const Error& error) const {
    if (form_ == Messages::json) return print(error_json(error, "error"));
    print(error_text(error, colour_, error.code == Exit::usage ? try_ : std::string_view{}));
}

void Diagnostics::print(const std::string& text) const {
    if (kept_) {
        *kept_ += text;
        return;
    }
    // Nobody is left to be told when standard error cannot be written.
    [[maybe_unused]] const ssize_t sent = ::write(STDERR_FILENO, text.data(), text.size());
}

void Diagnostics::line(std::string_view level, const DocumentName& document, std::string_view message) const {
    if (quiet_) return;
    if (form_ == Messages::json) {
        Error object(Exit::ok, {}, std::string(message));
        object.place.file = document.file;
        object.place.document = document.document;
        return print(error_json(object, level));
    }
    print(painted("attn-calc: ", bold, colour_) + painted(std::string(level) + ": ", yellow, colour_) +
          (document.file.empty() ? "" : cut(visible(document.file), most_of_file) + ": ") +
          document_text(document.document) + cut(harmless(message), most_of_message) + "\n");
}

void Diagnostics::warning(const DocumentName& document, std::string_view message) const {
    line("warning", document, message);
}

void Diagnostics::note(std::string_view message) const { line("note", "", message); }

}  // namespace attn
