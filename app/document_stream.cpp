#include "app/document_stream.hpp"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "app/model_source.hpp"
#include "app/source.hpp"
#include "lib/error.hpp"

namespace attn {
namespace {

std::vector<std::string> file_names(const Options& options) {
    std::vector<std::string> names = options.words;
    if (names.empty()) names.emplace_back("-");
    if (std::count(names.begin(), names.end(), "-") > 1)
        fail_usage("standard input (-) can be read only once");
    return names;
}

/// The documents of a model's layers.
std::vector<Arrival> arrivals_of_layers(const Options& options, const Diagnostics& diagnostics) {
    std::vector<Arrival> out;
    for (ModelLayer& layer : model_layers(options, diagnostics)) {
        Arrival& arrival = out.emplace_back(Arrival{std::move(layer.source), {}, {}, 0, {}});
        arrival.options = std::make_shared<const Options>(std::move(layer.options));
    }
    return out;
}

}  // namespace

DocumentStream::DocumentStream(const Options& options, const Diagnostics& diagnostics) : options_(options) {
    if (options.model) {
        layers_ = arrivals_of_layers(options, diagnostics);
        return;
    }
    names_ = file_names(options);
    if (options.keep_going) return;
    // One that is not there is told before any other is computed.
    for (const std::string& name : names_)
        if (name != "-" && access(name.c_str(), R_OK) != 0) const OpenSource missing(name);
}

/// Opens the next file; false: there is none. Where it cannot be, its fault stands in fault_.
bool DocumentStream::open_next() {
    arrivals_.reset();
    if (file_ == names_.size()) return false;
    try {
        arrivals_.emplace(names_[file_++], most_source_bytes(options_.request), parsing(options_));
    } catch (const Error& error) {
        fault_ = error;
    }
    return true;
}

std::optional<Arrival> DocumentStream::next(bool wait) {
    if (options_.model)
        return layer_ < layers_.size() ? std::optional(std::move(layers_[layer_++])) : std::nullopt;
    while (true) {
        if (fault_) {
            arrivals_.reset();
            return Arrival{{fault_->place.file, std::string()}, {}, std::exchange(fault_, {}), 0, {}};
        }
        if (!arrivals_ && !open_next()) return std::nullopt;
        if (!arrivals_) continue;
        try {
            if (std::optional<Arrival> arrival = arrivals_->next(wait)) return arrival;
            if (!wait && !arrivals_->has_ended()) return std::nullopt;
            arrivals_.reset();
        } catch (const Error& error) {
            fault_ = error;
        }
    }
}

bool DocumentStream::shows_several() const {
    return options_.model || names_.size() > 1 || !arrivals_ || arrivals_->is_regular();
}

bool DocumentStream::has_several() {
    if (options_.model) return layers_.size() > 1;
    if (names_.size() > 1) return true;
    try {
        return arrivals_ && !arrivals_->is_over();
    } catch (const Error& error) {
        fault_ = error;
        return true;
    }
}

std::optional<double> DocumentStream::share() const {
    if (!arrivals_ || names_.size() > 1 || arrivals_->bytes() == 0) return std::nullopt;
    return static_cast<double>(arrivals_->bytes_done()) / static_cast<double>(arrivals_->bytes());
}

}  // namespace attn
