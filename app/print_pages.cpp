// attn-pages: what the build and the documents take from the tables of commands and options.
//
//   attn-pages manual FILE     attn-calc.1
//   attn-pages commands FILE   docs/commands.md
//
// Exit 2: another command; 4: the file cannot be written.
#include <cstdio>
#include <string>
#include <string_view>

#include "app/output.hpp"
#include "app/pages.hpp"
#include "lib/error.hpp"

int main(int count, char** arguments) {
    using namespace attn;
    const std::string_view page = count == 3 ? arguments[1] : "";
    try {
        if (page != "manual" && page != "commands") fail_usage("attn-pages manual|commands FILE");
        const auto output = open_output(arguments[2]);
        output->write(page == "manual" ? manual_page() : commands_page());
        output->commit();
    } catch (const Error& error) {
        std::fprintf(stderr, "attn-pages: %s\n", error.what());
        return static_cast<int>(error.code);
    }
    return 0;
}
