#include "lib/render/pictures/page_frame.hpp"

#include "lib/render/base64.hpp"
#include "lib/render/escape.hpp"
#include "lib/render/sha256.hpp"

namespace attn {
namespace {

/// 'sha256-...', as a Content-Security-Policy names what may act (CSP 3, section 2.3.1).
std::string source_hash(std::string_view text) {
    std::string out = "'sha256-";
    append_base64(out, sha256_bytes(text));
    return out + "'";
}

}  // namespace

std::string json_for_html(std::string json) {
    for (std::size_t at = 0; (at = json.find('<', at)) != std::string::npos;) json.replace(at, 1, "\\u003c");
    return json;
}

std::string page_head(std::string_view title, std::string_view styles, std::string_view script) {
    std::string out =
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src " +
        source_hash(script) + "; style-src " + source_hash(styles) +
        "; img-src data: blob:; base-uri 'none'; form-action 'none'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
        xml_text(title) + "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>";
    out += styles;
    return out + "</style>\n</head>\n<body>\n";
}

std::string page_foot(std::string_view script) {
    return "<script type=\"module\">" + std::string(script) + "</script>\n</body>\n</html>\n";
}

}  // namespace attn
