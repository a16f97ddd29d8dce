#include "tests/support.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

namespace attn::test {

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    REQUIRE_MESSAGE(in.good(), "cannot read " << path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

Plan plan_of(const std::string& document, const Request& request) {
    const auto documents = parse_documents({"test.json", document});
    return make_plan(read_problem(documents.at(0).root), request);
}

Recorder record(const std::string& document, const Request& request, bool one_stage_after_another) {
    const Plan plan = plan_of(document, request);
    Recorder recorder(one_stage_after_another);
    run(plan, recorder);
    return recorder;
}

Error refusal(const std::string& document, const Request& request) {
    try {
        record(document, request);
    } catch (const Error& e) {
        return e;
    }
    return {Exit::ok, {}, {}};
}

}  // namespace attn::test
