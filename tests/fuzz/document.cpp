// A document: refused with an error, or planned; small plans run, and write every stage that was planned.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "lib/error.hpp"
#include "lib/gradient/computation.hpp"
#include "lib/input/problem.hpp"
#include "lib/input/value.hpp"
#include "lib/plan/plan.hpp"
#include "lib/trace/recorder.hpp"

using namespace attn;

namespace {

constexpr double small_work = 2e6;
constexpr Index small_memory = 16 << 20;

void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

void take(const Value& root) {
    Request request;
    request.max_memory = small_memory;
    request.threads = 1;
    const Plan plan = make_plan(read_problem(root), request);
    double numbers = 0;
    for (const PlannedStage& s : plan.stages)
        numbers += static_cast<double>(element_count(s.shape).value_or(1LL << 40));
    if (plan.flops > small_work || numbers > small_work) return;
    Recorder recorder;
    attn::run(plan, recorder);
    for (const PlannedStage& s : plan.stages)
        if (s.shown) expect(recorder.stages().contains(s.name), "a planned stage was not written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Source source{"fuzz.json", {reinterpret_cast<const char*>(data), size}};
    try {
        for (const Document& document : parse_documents(source)) {
            try {
                take(document.root);
            } catch (Error& error) {
                locate(error, source, document);
                expect(error.code == Exit::input && !error.message.empty(),
                       "an error without words, or of another kind");
            }
        }
    } catch (const Error& error) {
        expect(error.code == Exit::input && error.place.line > 0, "an error of the text without its place");
    }
    return 0;
}
