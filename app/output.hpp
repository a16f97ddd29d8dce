#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/render/render.hpp"

namespace attn {

/// Standard output was closed by its reader (`| head`): the work ends quietly.
struct ClosedPipe {};

/// Lets signals that end the program remove unfinished files first (exit 128 + the signal's number), lets a
/// closed pipe be an error of write(), and keeps descriptors 0 to 2 from being given to files. Where memory
/// runs out, the program ends with its line (an object of JSON if `json_messages`) and exit 5, unfinished
/// files removed.
void prepare_process(bool json_messages);

/// An output that comes to an end.
class FinishedOutput : public Output {
  public:
    /// Writes what is left and closes. \throws Error (exit 4), ClosedPipe. Without it the rest is lost.
    virtual void finish() {}
    /// After finish(): what was written takes its place. \throws Error (exit 4)
    virtual void publish() {}
    void commit() {
        finish();
        publish();
    }
};

/// A text in memory: the same bytes as a file would get.
class TextOutput : public FinishedOutput {
  public:
    void write(std::string_view bytes) override { text += bytes; }
    bool is_seekable() const override { return true; }
    void write_at(Index offset, std::string_view bytes) override {
        const auto from = static_cast<std::size_t>(offset);
        if (text.size() < from + bytes.size()) text.resize(from + bytes.size());
        text.replace(from, bytes.size(), bytes);
    }

    std::string text;
};

/// A descriptor with a buffer.
class DescriptorOutput : public FinishedOutput {
  public:
    /// `name` is for messages.
    DescriptorOutput(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}
    DescriptorOutput(const DescriptorOutput&) = delete;
    DescriptorOutput& operator=(const DescriptorOutput&) = delete;
    ~DescriptorOutput() override;

    void write(std::string_view bytes) override;
    void flush() override;
    void finish() override;

  protected:
    [[noreturn]] void refuse(int error) const;
    /// Writes all of `bytes` where the descriptor stands, or at `offset` of a file.
    void send(std::string_view bytes, std::optional<Index> offset = {});

    int descriptor_;
    std::string name_;

  private:
    std::string buffer_;
};

struct Unfinished;

/// A new file beside `path`, renamed over it by publish() and removed otherwise; links are followed.
class FileOutput : public DescriptorOutput {
  public:
    FileOutput(int descriptor, std::string name, std::string path, std::string unfinished, Unfinished* slot);
    ~FileOutput() override;
    bool is_seekable() const override { return true; }
    void write_at(Index offset, std::string_view bytes) override { send(bytes, offset); }
    void publish() override;

  private:
    std::string path_, unfinished_;
    Unfinished* slot_;
    bool done_ = false;
};

std::unique_ptr<DescriptorOutput> open_standard_output();

/// Writes a text to standard output. \throws Error (exit 4), ClosedPipe
void print_text(std::string_view text);

/// "-" is standard output; pipes and devices are written directly, everything else through a FileOutput.
/// \throws Error (exit 4).
std::unique_ptr<DescriptorOutput> open_output(const std::string& path);

/// A file that must not exist yet, made with its whole content. \throws Error (exit 4).
void write_new_file(const std::string& path, std::string_view content);

}  // namespace attn
