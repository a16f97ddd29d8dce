#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lib/gradient/computation.hpp"
#include "lib/input/problem.hpp"
#include "lib/input/value.hpp"
#include "lib/plan/plan.hpp"
#include "lib/render/render.hpp"
#include "lib/trace/recorder.hpp"

#ifndef ATTN_TEST_DATA
#define ATTN_TEST_DATA "tests/data"
#endif
#ifndef ATTN_DATA
#define ATTN_DATA "data"
#endif
#ifndef ATTN_SOURCE
#define ATTN_SOURCE "."
#endif

namespace attn::test {

/// An output that keeps what is written.
class Text : public Output {
  public:
    void write(std::string_view bytes) override { text += bytes; }
    std::string text;
};

/// The whole of a file; fails the test run where it cannot be read.
std::string read_file(const std::string& path);

/// The plan of the only document of a text. Throws what planning throws.
Plan plan_of(const std::string& document, const Request& request = {});

/// Runs the only document of a text, everything shown unless the request says otherwise.
Recorder record(const std::string& document, const Request& request = {},
                bool one_stage_after_another = false);

/// The error that a document is refused with; an Error with an empty message where it is accepted.
Error refusal(const std::string& document, const Request& request = {});

}  // namespace attn::test
