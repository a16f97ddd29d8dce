# cmake -DFOLDER=data/examples -DOUTPUT=examples.cpp -P embed_examples.cmake
# Writes a C++ file that holds every .json of FOLDER and its folders (see app/examples.hpp).
file(GLOB files RELATIVE ${FOLDER} ${FOLDER}/*.json)
file(GLOB deeper RELATIVE ${FOLDER} ${FOLDER}/*/*.json)
list(SORT files)
list(SORT deeper)
set(rows "")
foreach(file ${files} ${deeper})
    string(REGEX REPLACE "\\.json$" "" name ${file})
    file(READ ${FOLDER}/${file} text)
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
