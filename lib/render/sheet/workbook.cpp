// The only file with libxlsxwriter.
#include "lib/render/sheet/workbook.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>
#include <xlsxwriter.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/zip.hpp"
#include "lib/render/sheet/library.hpp"
#include "lib/text.hpp"

namespace attn::sheet {

// clang-format off
#define ATTN_XLSXWRITER_FUNCTIONS(f)                                                                  \
    f(workbook_new_opt) f(workbook_add_worksheet) f(workbook_add_format) f(workbook_define_name)      \
    f(workbook_set_properties) f(workbook_close) f(lxw_workbook_free) f(lxw_strerror)                 \
    f(lxw_worksheet_write_single_row) f(worksheet_set_column) f(worksheet_freeze_panes)               \
    f(worksheet_write_string) f(worksheet_write_number) f(worksheet_write_formula_num)                \
    f(worksheet_write_formula_str) f(worksheet_write_array_formula_num) f(format_set_bold)            \
    f(format_set_italic) f(format_set_font_size) f(format_set_font_color) f(format_set_bg_color)      \
    f(format_set_num_format) f(format_set_align)
// clang-format on

/// The library's functions.
struct Library {
#define ATTN_MEMBER(name) decltype(&::name) name;
    ATTN_XLSXWRITER_FUNCTIONS(ATTN_MEMBER)
#undef ATTN_MEMBER
};

namespace {

[[noreturn]] void refuse_library(const std::string& why) {
    throw Error(Exit::output, "", "cannot write a sheet: " + why,
                "Debian's package libxlsxwriter4 has it; -o FILE.csv needs no library");
}

Library load_library() {
    void* handle = dlopen(ATTN_XLSXWRITER_NAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle) handle = dlopen(ATTN_XLSXWRITER_PATH, RTLD_NOW | RTLD_LOCAL);
    if (!handle) refuse_library(std::string(ATTN_XLSXWRITER_NAME) + " cannot be loaded");
    const auto find = [&](auto& function, const char* name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
        if (!function) refuse_library(std::string(ATTN_XLSXWRITER_NAME) + " has no " + name);
    };
    Library out{};
#define ATTN_FIND(name) find(out.name, #name);
    ATTN_XLSXWRITER_FUNCTIONS(ATTN_FIND)
#undef ATTN_FIND
    return out;
}

constexpr std::time_t first_of_1980 = 315532800;  ///< as the parts of the archive say
constexpr std::size_t longest_text = 32767;       ///< UTF-16 units of a cell

std::string temporary_folder() {
    const char* folder = std::getenv("TMPDIR");
    return folder && *folder ? folder : "/tmp";
}

[[noreturn]] void refuse_temporary(const std::string& why) {
    throw Error(Exit::output, "",
                "temporary files in " + harmless(temporary_folder()) + " cannot be written: " + why,
                "TMPDIR=FOLDER names another folder");
}

/// A file without a name: nothing stays of it, however the program ends.
int open_nameless() {
    std::string name = temporary_folder() + "/attn-calc-XXXXXX";
    const int descriptor = mkostemp(name.data(), O_CLOEXEC);
    if (descriptor < 0) refuse_temporary(std::strerror(errno));
    unlink(name.c_str());
    return descriptor;
}

std::vector<std::byte> bytes_of(int descriptor) {
    const off_t size = lseek(descriptor, 0, SEEK_END);
    std::vector<std::byte> out(static_cast<std::size_t>(std::max<off_t>(size, 0)));
    for (std::size_t done = 0; done < out.size();) {
        const ssize_t got = pread(descriptor, out.data() + done, out.size() - done, static_cast<off_t>(done));
        if (got <= 0) refuse_temporary(got < 0 ? std::strerror(errno) : "it became shorter");
        done += static_cast<std::size_t>(got);
    }
    return out;
}

/// XML whose last tag closes its first one.
bool is_whole(std::string_view xml) {
    const std::size_t prolog = xml.find("?>");
    const std::size_t begin = prolog == std::string_view::npos ? prolog : xml.find('<', prolog);
    if (begin == std::string_view::npos) return false;
    const std::string_view name = xml.substr(begin + 1, xml.find_first_of(" >", begin) - begin - 1);
    if (xml.ends_with('\n')) xml.remove_suffix(1);
    return xml.ends_with("</" + std::string(name) + ">");
}

/// The library does not look whether its temporary files took what it wrote: each part is read again.
/// `rows`: bytes of the rows of each sheet.
void check_parts(const std::vector<std::byte>& archive, const std::vector<long>& rows) {
    constexpr std::string_view sheet = "xl/worksheets/sheet", open = "<sheetData>", close = "</sheetData>";
    const auto holds = [&](const ZipEntry& e) {
        const ZipBytes part = take(e, nullptr, archive);
        const std::string_view xml(reinterpret_cast<const char*>(part.bytes.data()), part.bytes.size());
        if (!is_whole(xml)) return false;
        if (!e.name.starts_with(sheet)) return true;
        const auto number = static_cast<std::size_t>(std::atol(e.name.c_str() + sheet.size()));
        if (number < 1 || number > rows.size()) return false;
        const std::size_t from = xml.find(open), to = xml.rfind(close);
        const std::size_t found =
            from == std::string_view::npos || to == std::string_view::npos ? 0 : to - from - open.size();
        return found == static_cast<std::size_t>(rows[number - 1]);
    };
    try {
        const std::vector<ZipEntry> entries = read_zip(archive);
        if (std::all_of(entries.begin(), entries.end(), holds)) return;
    } catch (const Error&) {  // the archive itself is damaged
    }
    refuse_temporary(std::strerror(ENOSPC));
}

/// XML 1.0 has no U+FFFE and U+FFFF, and readers of cells take _x0041_ for A.
std::string cell_text(std::string_view text, bool& is_whole_text) {
    std::string out;
    std::size_t units = 0, kept = 0;
    const auto is_escape = [](std::string_view s) {
        return s.size() >= 7 && s[0] == '_' && s[1] == 'x' && s[6] == '_' &&
               s.substr(2, 4).find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
    };
    is_whole_text = true;
    for (std::size_t at = 0; at < text.size();) {
        const CodePoint point = decode_utf8(text, at);
        std::string piece(text.substr(at, point.size));
        if (point.value == 0xFFFE || point.value == 0xFFFF)
            piece = point.value == 0xFFFE ? "\\ufffe" : "\\uffff";
        if (is_escape(text.substr(at))) piece = "_x005F_";
        units += piece.size() > point.size ? piece.size() : point.value > 0xFFFF ? 2 : 1;
        if (units > longest_text) {
            is_whole_text = false;
            out.resize(kept);
            return out + "…";
        }
        out += piece;
        if (units < longest_text) kept = out.size();
        at += point.size;
    }
    return out;
}

lxw_row_t to_row(Index row) { return static_cast<lxw_row_t>(row); }
lxw_col_t to_column(Index column) { return static_cast<lxw_col_t>(column); }

}  // namespace

struct Workbook::Parts {
    Library library = load_library();
    std::string folder = temporary_folder();
    int descriptor = open_nameless();
    lxw_workbook* book = nullptr;
    std::vector<lxw_worksheet*> sheets;
    std::array<lxw_format*, 9> looks{};

    Parts() = default;
    Parts(const Parts&) = delete;
    Parts& operator=(const Parts&) = delete;
    ~Parts() {
        if (book) library.lxw_workbook_free(book);
        close(descriptor);
    }

    lxw_format* look(Look l) const { return looks[idx(l)]; }
    void expect(lxw_error error) const {
        if (error != LXW_NO_ERROR) throw std::logic_error(library.lxw_strerror(error));
    }
    lxw_worksheet* sheet(int k) const { return sheets[static_cast<std::size_t>(k)]; }

    void make_looks(int precision) {
        const std::string digits =
            precision > 0 ? "0." + std::string(static_cast<std::size_t>(precision), '0') : "0";
        for (lxw_format*& f : looks)
            if (f = library.workbook_add_format(book); !f) throw std::bad_alloc();
        library.format_set_bold(look(Look::title));
        library.format_set_font_size(look(Look::title), 14);
        library.format_set_italic(look(Look::words));
        library.format_set_bold(look(Look::marked));
        library.format_set_bg_color(look(Look::marked), 0xFFE699);
        library.format_set_bold(look(Look::heading));
        library.format_set_num_format(look(Look::label), "@");
        library.format_set_font_color(look(Look::index), 0x7F7F7F);
        library.format_set_font_color(look(Look::input), 0x0000FF);
        library.format_set_bg_color(look(Look::value), 0xFFE699);
        for (const Look l : {Look::result, Look::value})
            library.format_set_num_format(look(l), digits.c_str());
        for (const Look l : {Look::input, Look::result, Look::value, Look::index})
            library.format_set_align(look(l), LXW_ALIGN_RIGHT);
    }
};

Workbook::Workbook(int precision) : parts_(std::make_unique<Parts>()) {
    // By the descriptor's own name, since the file has none.
    const std::string name = "/proc/self/fd/" + std::to_string(parts_->descriptor);
    lxw_workbook_options options{};
    options.constant_memory = 1;
    options.tmpdir = parts_->folder.data();
    parts_->book = parts_->library.workbook_new_opt(name.c_str(), &options);
    if (!parts_->book) throw std::bad_alloc();
    lxw_doc_properties properties{};
    properties.created = first_of_1980;  // equal documents give equal bytes
    parts_->expect(parts_->library.workbook_set_properties(parts_->book, &properties));
    parts_->make_looks(precision);
}

Workbook::~Workbook() = default;

int Workbook::add_sheet(const std::string& name, Index frozen_columns) {
    lxw_worksheet* sheet = parts_->library.workbook_add_worksheet(parts_->book, name.c_str());
    if (!sheet || !sheet->optimize_tmpfile) refuse_temporary(std::strerror(errno));
    if (frozen_columns > 0) parts_->library.worksheet_freeze_panes(sheet, 0, to_column(frozen_columns));
    parts_->sheets.push_back(sheet);
    return static_cast<int>(parts_->sheets.size()) - 1;
}

void Workbook::set_width(int sheet, Index column, Index last, double characters) {
    parts_->expect(parts_->library.worksheet_set_column(parts_->sheet(sheet), to_column(column),
                                                        to_column(last), characters, nullptr));
}

void Workbook::define(const std::string& name, const std::string& sheet, const std::string& cell) {
    parts_->expect(
        parts_->library.workbook_define_name(parts_->book, name.c_str(), ("=" + sheet + "!" + cell).c_str()));
}

bool Workbook::text(int sheet, Index row, Index column, std::string_view what, Look look) {
    if (what.empty()) return true;
    bool whole = true;
    const std::string shown_text = cell_text(what, whole);
    parts_->expect(parts_->library.worksheet_write_string(
        parts_->sheet(sheet), to_row(row), to_column(column), shown_text.c_str(), parts_->look(look)));
    return whole;
}

void Workbook::number(int sheet, Index row, Index column, double value, Look look) {
    if (!std::isfinite(value)) {
        text(sheet, row, column, significant(value, 1), look);
        return;
    }
    parts_->expect(parts_->library.worksheet_write_number(parts_->sheet(sheet), to_row(row),
                                                          to_column(column), value, parts_->look(look)));
}

void Workbook::formula(int sheet, Index row, Index column, const std::string& words, double result) {
    lxw_worksheet* to = parts_->sheet(sheet);
    lxw_format* look = parts_->look(Look::result);
    parts_->expect(std::isfinite(result)
                       ? parts_->library.worksheet_write_formula_num(to, to_row(row), to_column(column),
                                                                     words.c_str(), look, result)
                       : parts_->library.worksheet_write_formula_str(to, to_row(row), to_column(column),
                                                                     words.c_str(), look,
                                                                     significant(result, 1).c_str()));
}

void Workbook::array(int sheet, Index row, Index column, Index last_row, Index last_column,
                     const std::string& words, double result) {
    if (!std::isfinite(result)) return number(sheet, row, column, result, Look::value);
    parts_->expect(parts_->library.worksheet_write_array_formula_num(
        parts_->sheet(sheet), to_row(row), to_column(column), to_row(last_row), to_column(last_column),
        words.c_str(), parts_->look(Look::result), result));
}

void Workbook::finish(Output& output) {
    std::vector<long> rows;
    for (lxw_worksheet* sheet : parts_->sheets) {
        parts_->library.lxw_worksheet_write_single_row(sheet);
        if (std::fflush(sheet->optimize_tmpfile) != 0 || std::ferror(sheet->optimize_tmpfile) != 0)
            refuse_temporary(std::strerror(ENOSPC));
        rows.push_back(std::ftell(sheet->optimize_tmpfile));
    }
    const lxw_error error = parts_->library.workbook_close(std::exchange(parts_->book, nullptr));
    if (error != LXW_NO_ERROR) refuse_temporary(parts_->library.lxw_strerror(error));
    const std::vector<std::byte> archive = bytes_of(parts_->descriptor);
    check_parts(archive, rows);
    output.write({reinterpret_cast<const char*>(archive.data()), archive.size()});
    output.flush();
}

}  // namespace attn::sheet
