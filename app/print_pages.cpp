// attn-pages: what the build and the documents take from the tables of commands, options and architectures.
//
//   attn-pages manual FILE     attn-calc.1
//   attn-pages manuals DIR     the same there, and attn-calc-run.1 and so on
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
        if (page != "manual" && page != "manuals" && page != "commands" && page != "models")
            fail_usage("attn-pages manual|manuals|commands|models FILE");
        const auto write = [](const std::string& path, const std::string& text) {
            const auto output = open_output(path);
            output->write(text);
            output->commit();
        };
        const std::string path = arguments[2];
        if (page == "manuals") {
            write(path + "/attn-calc.1", manual_page());
            for (const CommandRow& c : all_commands())
                write(path + "/attn-calc-" + std::string(c.name) + ".1", manual_page(c.command));
        } else {
            write(path, page == "manual"     ? manual_page()
                        : page == "commands" ? commands_page()
                                             : architectures_page());
        }
    } catch (const Error& error) {
        std::fprintf(stderr, "attn-pages: %s\n", error.what());
        return static_cast<int>(error.code);
    }
    return 0;
}
