// attn-pages: what the build and the documents take from the tables of commands, options and architectures.
//
//   attn-pages manual FILE     attn-calc.1
//   attn-pages commands FILE   docs/commands.md
//   attn-pages models FILE     the table of architectures in docs/models.md
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
        if (page != "manual" && page != "commands" && page != "models")
            fail_usage("attn-pages manual|commands|models FILE");
        const auto output = open_output(arguments[2]);
        output->write(page == "manual"     ? manual_page()
                      : page == "commands" ? commands_page()
                                           : architectures_page());
        output->commit();
    } catch (const Error& error) {
        std::fprintf(stderr, "attn-pages: %s\n", error.what());
        return static_cast<int>(error.code);
    }
    return 0;
}
