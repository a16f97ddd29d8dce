#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "app/options.hpp"
#include "lib/error.hpp"
#include "lib/input/file_references.hpp"
#include "lib/input/value.hpp"

namespace attn {

/// KEY=JSON. \throws Error (exit 2) for what is neither
Override override_value(std::string_view flag, std::string_view word);

/// Puts the members of --set into a document, one after another, after all that other options put there.
///
/// A key goes down into objects that are there, at each level by the longest name that fits, so that names
/// with points are met whole; what is left names the member that is put. Files of tensors are opened between
/// put_first() and put_rest(): a member of a reference ("rope.cos.name") is put before, and one of the
/// weights that a file holds after. A reference to a file among the values is one of the document's, and
/// trusted as all that the command line names.
class Overrides {
  public:
    Overrides(const Options& options, Value& root, FileReferences& files)
        : options_(options), root_(root), files_(files) {}

    /// Up to the first that goes into what a file holds.
    void put_first();
    /// The others; the files that they name are put in.
    void put_rest();

    /// Of an error in what --set has put: names the option as its place. \return whether it is one
    bool say_place(Error& error) const;
    /// "KEY=JSON" as they were typed, for the plan.
    std::vector<std::string> said() const;

  private:
    /// Where one was put, and what helps where there is no such key.
    struct Put {
        std::string pointer, key, hint;
    };

    /// \return false: the files have to be read first
    bool put(const Override& one, bool files_are_read);
    bool waits_for_files(const Value& object, std::string_view rest) const;

    const Options& options_;
    Value& root_;
    FileReferences& files_;
    std::vector<Put> put_;
};

}  // namespace attn
