#include "app/commands/run_documents.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <utility>

#include "app/commands/common.hpp"
#include "app/commands/compute.hpp"
#include "app/document_stream.hpp"
#include "app/named_files.hpp"
#include "app/progress.hpp"
#include "app/terminal.hpp"
#include "lib/plan/machine.hpp"
#include "lib/pool.hpp"

namespace attn {
namespace {

/// Of a batch: enough that no thread waits long for the last one.
constexpr std::size_t most_jobs = 256, most_text = 1 << 20;
/// Results that wait for their turn.
constexpr std::int64_t most_waiting_bytes = 8 << 20;
/// More than one thread should do while others wait: bytes of text, operations, numbers shown, bytes of
/// memory.
constexpr std::size_t large_text = 256 * 1024;
constexpr double large_work = 2e7, large_result = 2e5, large_memory = 8e6;

/// A document of a batch.
struct Job {
    enum class State { waiting, done, large };

    Arrival arrival;
    std::int64_t number = 0;  ///< among all documents
    State state = State::waiting;
    std::optional<Error> fault;       ///< once it is done: it is wrong
    std::vector<Destination> places;  ///< once it is done: texts, one for each destination
    std::vector<std::string> paths;   ///< of its own files, one for each destination; empty: those of all
    std::string messages;
};

class DocumentRun {
  public:
    DocumentRun(const Options& options, const Diagnostics& diagnostics)
        : options_(options),
          diagnostics_(diagnostics),
          stream_(options, diagnostics),
          threads_(options.request.threads > 0 ? options.request.threads : processors_available()),
          pool_(threads_) {}

    Exit run();

  private:
    void gather();
    void begin();
    void work(Job& job);
    void deliver(Job& job);
    void compute_alone(Job& job);
    void refuse(Job& job, Error error);
    PlannedDocument plan(Job& job, const Request& request) const;
    void take_paths(Job& job);
    void open_own(const Job& job);
    void finish_own();
    void show_progress();
    void place(std::vector<Destination>& places, const PlannedDocument& document, const Job& job) const;
    void open();
    static void write(Destination& to, std::string_view bytes);
    void flush();
    bool has_reader() const {
        return std::any_of(destinations_.begin(), destinations_.end(),
                           [](const Destination& d) { return !d.closed || d.by_document; });
    }

    const Options& options_;
    const Diagnostics& diagnostics_;
    DocumentStream stream_;
    int threads_;
    LatePool pool_;
    std::deque<Job> jobs_;
    std::vector<Destination> destinations_;
    std::int64_t count_ = 0;  ///< documents that have arrived
    bool several_ = false;    ///< the outputs' form is that of several documents
    bool tells_ = false;      ///< messages tell numbers from the first document on
    bool opened_ = false, failed_ = false;
    NamedFiles names_;
    std::vector<std::unique_ptr<FinishedOutput>> complete_;  ///< files of documents that wait for the end
    std::optional<DocumentProgress> progress_;
    std::atomic<std::int64_t> waiting_bytes_ = 0;
};

/// The next documents: those that are there, one at least.
void DocumentRun::gather() {
    std::size_t text = 0;
    while (jobs_.size() < most_jobs && text < most_text) {
        std::optional<Arrival> arrival = stream_.next(jobs_.empty());
        if (!arrival) return;
        text += arrival->source.text.size();
        Job& job = jobs_.emplace_back();
        if (arrival->document || arrival->source.text.size() > large_text) job.state = Job::State::large;
        job.arrival = std::move(*arrival);
        job.number = count_++;
        if (job.state == Job::State::large) return;
    }
}

/// Decides the form of outputs, with the first documents. Where whoever writes a pipe may be waiting for the
/// first result, formats in which it does not tell whether others follow take it for one of several.
void DocumentRun::begin() {
    const std::vector<Target> targets = targets_of(options_);
    const bool waits = std::any_of(targets.begin(), targets.end(), [](const Target& t) {
        return t.format != Format::json && t.format != Format::ndjson && !names_documents(t.path);
    });
    if (count_ > 1) {
        several_ = tells_ = true;
    } else if (waits || stream_.shows_several()) {
        several_ = stream_.has_several();
        tells_ = several_ && !stream_.is_lost();
    } else {
        several_ = true;
    }
    for (const Target& t : targets)
        if (!names_documents(t.path)) refuse_many(*t.format, several_ ? 2 : 1);
    destinations_ = destinations_of(options_, targets);
    bool terminal = false;
    for (Destination& d : destinations_) {
        d.by_document = names_documents(d.path);
        d.form.heading = several_ && !d.by_document;
        terminal = terminal || (d.standard && is_terminal(STDOUT_FILENO));
    }
    if (!options_.quiet && !terminal && is_terminal(STDERR_FILENO)) progress_.emplace();
}

void DocumentRun::show_progress() {
    if (progress_ && count_ > 1) progress_->show(static_cast<double>(count_), stream_.share());
}

PlannedDocument DocumentRun::plan(Job& job, const Request& request) const {
    PlannedDocument document = plan_arrival(job.arrival, options_, request);
    if (tells_ || job.number > 0) document.told = job.number;
    job.paths.clear();
    for (const Destination& to : destinations_) {
        if (const auto refuse = row_of(to.format).refuse) refuse(document.plan);
        job.paths.push_back(to.by_document
                                ? path_of_document(to.path, {document.plan.id, document.file, job.number})
                                : std::string());
    }
    return document;
}

/// The files of a document are its own. \throws Error: exit 3, exit 2 for one of the files read
void DocumentRun::take_paths(Job& job) {
    for (const std::string& path : job.paths) {
        if (path.empty()) continue;
        refuse_overwriting(path, options_.words);
        names_.take(path, job.number);
    }
}

void DocumentRun::open_own(const Job& job) {
    for (std::size_t k = 0; k < destinations_.size(); ++k) {
        if (!destinations_[k].by_document) continue;
        destinations_[k].output = open_output(job.paths[k]);
        destinations_[k].closed = false;
    }
}

/// Files of one document are complete. They take their places with all others, or at once with --keep-going.
void DocumentRun::finish_own() {
    for_open(destinations_, [this](Destination& to) {
        if (!to.by_document) return;
        to.output->finish();
        if (options_.keep_going) {
            to.output->publish();
            to.output.reset();
        } else {
            complete_.push_back(std::move(to.output));
        }
    });
}

/// Tells outputs which document comes.
void DocumentRun::place(std::vector<Destination>& places, const PlannedDocument& document,
                        const Job& job) const {
    for (Destination& to : places) {
        to.form.source_name = document.file;
        if (several_ && !to.by_document) to.form.document = job.number;
    }
}

/// Computes a small document into texts.
void DocumentRun::work(Job& job) {
    if (waiting_bytes_ > most_waiting_bytes) return;  // its turn is after some have been written
    const Diagnostics kept(diagnostics_, job.messages);
    try {
        Request alone = options_.request;
        alone.threads = 1;
        const PlannedDocument document = plan(job, alone);
        const Plan& plan = document.plan;
        if (plan.flops > large_work || shown_elements(plan) > large_result ||
            static_cast<double>(plan.peak_bytes) > large_memory) {
            job.state = Job::State::large;
            return;
        }
        std::vector<TextOutput*> texts;
        for (const Destination& d : destinations_) {
            auto text = std::make_unique<TextOutput>();
            texts.push_back(text.get());
            job.places.push_back(
                {d.format, d.path, d.standard, d.by_document, std::move(text), d.form, d.closed});
        }
        place(job.places, document, job);
        compute(job.places, document, options_, kept, make_sink, false);
        for (const TextOutput* t : texts) waiting_bytes_ += static_cast<std::int64_t>(t->text.size());
    } catch (const Error& error) {
        job.fault = error;
    }
    job.state = Job::State::done;
}

void DocumentRun::open() {
    if (std::exchange(opened_, true)) return;
    for (Destination& d : destinations_) {
        if (d.by_document) continue;
        d.output = open_output(d.path);
        if (several_) write(d, row_of(d.format).before_several);
    }
}

void DocumentRun::write(Destination& to, std::string_view bytes) {
    try {
        if (!to.closed) to.output->write(bytes);
    } catch (const ClosedPipe&) {
        to.closed = true;
    }
}

void DocumentRun::flush() {
    for_open(destinations_, [](Destination& to) {
        if (to.output) to.output->flush();
    });
}

void DocumentRun::deliver(Job& job) {
    if (job.fault) return refuse(job, std::move(*job.fault));
    if (job.state == Job::State::large) return compute_alone(job);
    try {
        take_paths(job);
    } catch (const Error& error) {
        return refuse(job, error);
    }
    open();
    open_own(job);
    for (std::size_t k = 0; k < destinations_.size(); ++k) {
        const std::string& text = static_cast<const TextOutput&>(*job.places[k].output).text;
        waiting_bytes_ -= static_cast<std::int64_t>(text.size());
        write(destinations_[k], text);
    }
    finish_own();
    if (progress_ && !job.messages.empty()) progress_->wipe();
    diagnostics_.pass(job.messages);
}

void DocumentRun::compute_alone(Job& job) {
    std::optional<PlannedDocument> document;
    try {
        document = plan(job, options_.request);
        take_paths(job);
    } catch (const Error& error) {
        return refuse(job, error);
    }
    open();
    open_own(job);
    place(destinations_, *document, job);
    if (progress_) progress_->wipe();
    compute(destinations_, *document, options_, diagnostics_, make_sink);
    finish_own();
}

/// A wrong document: the end, or with --keep-going a message.
void DocumentRun::refuse(Job& job, Error error) {
    if (tells_ || job.number > 0) error.place.document = job.number;
    if (error.place.file.empty() && error.code == Exit::input) {
        if (!options_.model) locate(error, job.arrival.source, {});
        error.place.file = job.arrival.source.name;
    }
    const bool goes_on = options_.keep_going && (error.code == Exit::input || error.code == Exit::usage);
    if (!goes_on) {
        flush();
        throw error;
    }
    failed_ = true;
    if (progress_) progress_->wipe();
    diagnostics_.error(error);
    error.place.document = job.number;
    open();
    for (Destination& d : destinations_)
        if (d.format == Format::ndjson && !d.by_document)
            write(d, "{\"event\": \"error\", " + error_members(error) + "}\n");
}

Exit DocumentRun::run() {
    refuse_stages(options_);
    for (gather(); !jobs_.empty(); gather()) {
        if (destinations_.empty()) begin();
        while (!jobs_.empty() && has_reader()) {
            if (jobs_.size() == 1 && jobs_.front().state == Job::State::waiting) {
                jobs_.front().state = Job::State::large;
            } else {
                pool_.get().run(static_cast<Index>(jobs_.size()), [this](Index k, int) {
                    Job& job = jobs_[static_cast<std::size_t>(k)];
                    if (job.state == Job::State::waiting) work(job);
                });
            }
            for (; !jobs_.empty() && jobs_.front().state != Job::State::waiting; jobs_.pop_front())
                deliver(jobs_.front());
        }
        if (!has_reader()) break;
        flush();
        show_progress();
    }
    progress_.reset();
    std::erase_if(destinations_, [](const Destination& d) { return d.output == nullptr; });
    commit_all(destinations_);
    for (const auto& file : complete_) file->publish();
    return failed_ ? Exit::input : Exit::ok;
}

}  // namespace

Exit run_documents(const Options& options, const Diagnostics& diagnostics) {
    return DocumentRun(options, diagnostics).run();
}

}  // namespace attn
