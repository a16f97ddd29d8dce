#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "app/diagnostics.hpp"
#include "app/options.hpp"
#include "lib/theirs/dump.hpp"
#include "lib/theirs/given_array.hpp"

namespace attn {

/// One side of a comparison. What it holds stays where it is: layers point into it.
struct Side {
    std::string file;
    TextFile text;
    bool input = false;
    std::vector<Dump> dumps;
    std::vector<Value> settings;     ///< of documents that were computed
    std::vector<std::string> aside;  ///< of a folder: what is not read, in words
};

bool is_folder(const std::string& name);

/// The files of a folder by what they are paired by; hidden ones are none. \throws Error (exit 3)
std::map<std::string, std::string> files_of_folder(const std::string& folder);

/// Reads a file of numbers, or an input. \throws Error (exit 3)
void open_side(Side& side, const std::string& name, TextSide which, const Options& options);

/// Computes the documents of THEIRS, by what they say alone: --set, --embeddings, --model and their kin
/// change OURS. \throws Error with its place
void compute_side(Side& side, const Options& options, const Diagnostics& diagnostics);

/// Reads a folder of layers: the layer of a file is the number in its name, unless names in it say one. Files
/// that documents use (`used`, without links) are none of them. \throws Error (exit 3)
void open_folder(Side& side, const std::string& folder, const std::set<std::string>& used,
                 const Options& options);

/// Adds the files that a document names, links followed. `folder`: its own.
void add_files_used(const Value& document, const std::string& folder, std::set<std::string>& used);
/// A path, links followed.
std::string path_without_links(const std::string& path);

}  // namespace attn
