# cmake -DFOLDER=data/examples -DOUTPUT=examples.cpp -P embed_examples.cmake
# Writes a C++ file that holds every FOLDER/*.json (see app/examples.hpp).
file(GLOB files ${FOLDER}/*.json)
list(SORT files)
set(rows "")
foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} text)
    string(APPEND rows "    {\"${name}\", R\"json(${text})json\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Generated from data/examples: edit those.
#include \"app/examples.hpp\"

namespace attn {
namespace {

constexpr Example all[] = {
${rows}};

}  // namespace

std::span<const Example> examples() { return all; }

}  // namespace attn
")
