# cmake -DFOLDER=lib/render/pictures/page -DOUTPUT=page_assets.cpp -P embed.cmake
# Writes a C++ file that holds the pages' style, markup and scripts (see page_frame.hpp). A script is several modules, one
# after the other without their imports, exports and comments; in the folder they are modules that stand alone.
function(read_script result)
    set(all "")
    foreach(name ${ARGN})
        file(READ ${FOLDER}/${name}.js text)
        set(text "\n${text}")
        string(REGEX REPLACE "\nimport [^\n]*" "" text "${text}")
        string(REGEX REPLACE "\nexport " "\n" text "${text}")
        string(REGEX REPLACE "\n *//[^\n]*" "" text "${text}")
        string(REGEX REPLACE "/\\*\\*([^*]|\\*[^/])*\\*/ ?" "" text "${text}")
        string(REGEX REPLACE "\n +" "\n" text "${text}")
        string(REGEX REPLACE "\n\n+" "\n" text "${text}")
        string(APPEND all "${text}")
    endforeach()
    set(${result} "${all}" PARENT_SCOPE)
endfunction()

file(READ ${FOLDER}/page.css style)
file(READ ${FOLDER}/page.html markup)
file(READ ${FOLDER}/comparison.html comparison_markup)
read_script(script data rule tell draw page)
read_script(worksheet_script worksheet)
read_script(comparison_script data draw comparison)

set(code "")
foreach(name style markup script worksheet_script comparison_markup comparison_script)
    string(APPEND code "const std::string_view ${name}{R\"page(${${name}})page\"};\n")
endforeach()
file(WRITE ${OUTPUT} "// Generated from lib/render/pictures/page: edit those.
#include \"lib/render/pictures/page_frame.hpp\"

namespace attn::page {

${code}
}  // namespace attn::page
")
