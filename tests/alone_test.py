"""Every .cpp of app/ and lib/ is valid alone: the release build compiles those of a room together, where a missing #include is
not seen. Those that the build compiles alone anyway are not tried again.

What each file uses of the standard library is read from its text, by the table below. Then a sixth of the files, drawn anew each
time, is compiled with the standard headers compiled before; all of them with --all.

    alone_test.py [--all] [--seed N]
"""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

SOURCE, BUILD = os.environ["ATTN_SOURCE"], os.path.dirname(os.path.dirname(os.environ["ATTN_PROGRAM"]))
GENERATED = os.path.join(BUILD, "generated")
# header: names of std that it declares (the C++ standard, headers' synopses); what any of several declares stands in each
STANDARD = {
    "algorithm": "adjacent_find all_of any_of binary_search clamp copy copy_if copy_n count count_if equal fill fill_n find find_if find_if_not "
                 "generate is_sorted iter_swap lower_bound max max_element merge min min_element minmax_element mismatch move next_permutation "
                 "none_of nth_element partial_sort remove remove_if replace reverse rotate search sort stable_partition stable_sort swap_ranges "
                 "transform unique upper_bound",
    "array": "array", "atomic": "atomic atomic_flag memory_order_relaxed", "bit": "bit_cast bit_ceil bit_width countl_zero countr_zero endian has_single_bit popcount rotl rotr",
    "cctype": "isalnum isalpha isdigit isspace tolower toupper", "charconv": "chars_format from_chars to_chars", "chrono": "chrono milli",
    "cmath": "abs acos atan2 ceil copysign cos erf exp exp2 expm1 fabs floor fma fmod frexp hypot isfinite isinf isnan ldexp llround log log10 "
             "log1p log2 lround nearbyint nextafter pow remainder rint round signbit sin sqrt tanh trunc",
    "complex": "arg complex conj norm", "concepts": "integral", "condition_variable": "condition_variable",
    "cstddef": "byte max_align_t nullptr_t ptrdiff_t size_t to_integer",
    "cstdint": "int16_t int32_t int64_t int8_t uint16_t uint32_t uint64_t uint8_t uintptr_t",
    "cstdio": "FILE fclose ferror fflush fgets fopen fprintf fread fscanf fseek ftell fwrite remove rename snprintf sscanf",
    "cstdlib": "abort abs atexit atof atoi atol calloc exit free getenv malloc realloc size_t strtod strtof strtol strtoll",
    "cstring": "memchr memcmp memcpy memmove memset size_t strchr strcmp strerror strlen", "cstdarg": "va_list", "ctime": "time_t",
    "deque": "deque", "exception": "current_exception exception exception_ptr rethrow_exception terminate", "filesystem": "filesystem",
    "functional": "function greater hash less plus", "future": "async future", "initializer_list": "initializer_list",
    "iterator": "back_inserter begin distance end input_iterator_tag inserter make_move_iterator next prev size", "limits": "numeric_limits", "list": "list",
    "map": "map multimap", "memory": "make_shared make_unique shared_ptr unique_ptr weak_ptr",
    "mutex": "call_once lock_guard mutex once_flag scoped_lock unique_lock", "new": "align_val_t bad_alloc hardware_destructive_interference_size set_new_handler",
    "numbers": "numbers", "numeric": "accumulate gcd inner_product iota lcm", "optional": "nullopt optional", "queue": "queue",
    "random": "mt19937 mt19937_64", "set": "multiset set", "span": "as_bytes dynamic_extent span",
    "sstream": "istringstream ostringstream stringstream", "stdexcept": "invalid_argument logic_error out_of_range runtime_error", "stop_token": "stop_token",
    "string": "getline stod stof stoi stol stoll stoul stoull string to_string u32string",
    "string_view": "string_view u32string_view u8string_view", "system_error": "errc error_code generic_category system_category system_error",
    "thread": "jthread thread", "tuple": "apply get make_tuple tie tuple tuple_size_v",
    "type_traits": "conditional_t decay_t enable_if_t invoke_result_t is_convertible_v is_enum_v is_floating_point_v is_integral_v is_same_v "
                   "make_unsigned_t remove_const_t remove_cvref_t remove_reference_t underlying_type_t",
    "unordered_map": "unordered_map", "unordered_set": "unordered_set",
    "vector": "vector", "utility": "as_const exchange forward get index_sequence integer_sequence make_index_sequence make_integer_sequence make_pair move pair swap",
    "variant": "get_if holds_alternative monostate variant visit",
}
ANY_OF_THEM = "begin end erase erase_if size swap size_t"  # each container's header declares them, or has members of them
DECLARED_BY = {}
for header, names in [*STANDARD.items(), *((h, ANY_OF_THEM) for h in ("array", "string", "string_view", "span", "vector", "map", "set")),
                      *((h, "size_t") for h in ("algorithm", "bit", "limits", "memory")), ("charconv", "errc"), ("filesystem", "error_code")]:
    for name in names.split():
        DECLARED_BY.setdefault(name, set()).add(header)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.S)


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def headers_of(path, known):
    """All that a file includes: standard headers by name, what its own headers include too."""
    if path not in known:
        known[path] = set()  # a circle ends here
        for quote, header in INCLUDE.findall(text_of(path)):
            if quote == "<":
                known[path].add(header)
                continue
            own = next((p for p in (os.path.join(SOURCE, header), os.path.join(GENERATED, header)) if os.path.exists(p)), None)
            if own:
                known[path] |= headers_of(own, known)
    return known[path]


def standard_names_missed(path, known):
    """Names of std that a file uses without a header that declares them."""
    text = NOT_CODE.sub(" ", text_of(path))
    headers = headers_of(path, known)
    for name in sorted(set(re.findall(r"\bstd::(\w+)", text))):
        if name not in DECLARED_BY:
            yield f"{path}: std::{name} stands in no row of this test's table"
        elif not DECLARED_BY[name] & headers:
            yield f"{path}: std::{name} without <{'> or <'.join(sorted(DECLARED_BY[name]))}>"


def command_of_unit(commands):
    """The compiler's words, without the file and what is made of it."""
    unit = next(c for c in commands if "attn_lib.dir/Unity/" in c["command"])
    words = unit["command"].split()
    words = words[:words.index("-o")]
    return [w for w in words if not re.match(r"-O\d", w)] + ["-w"]


def wrong(command, file):
    done = subprocess.run([*command, "-fsyntax-only", file], cwd=SOURCE, capture_output=True, text=True, check=False)
    return f"{os.path.relpath(file, SOURCE)} alone:\n{done.stderr[:2000]}" if done.returncode else None


def with_standard_headers(command, folder, known):
    """The compiler's words with the standard headers of the tree compiled before. (<filesystem> brings std::quoted, which calls of
    our own function of that name would find too.)"""
    used = sorted({h for headers in known.values() for h in headers if h in STANDARD} - {"filesystem"})
    path = os.path.join(folder, "standard.hpp")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"#include <{h}>\n" for h in used))
    subprocess.run([*command, "-x", "c++-header", path, "-o", path + ".gch"], cwd=SOURCE, check=True)
    return [*command, "-include", path]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="compile every file")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    options = parser.parse_args()
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    compiled = {c["file"] for c in commands}
    every = sorted(os.path.join(folder, name) for top in ("app", "lib") for folder, _, names in os.walk(os.path.join(SOURCE, top))
                   for name in names if name.endswith((".cpp", ".hpp")))
    files = [f for f in every if f.endswith(".cpp") and f not in compiled]
    if not files:
        print("every file is compiled alone in this build")
        return 0
    if not options.all:
        print(f"seed {options.seed}")
        files = random.Random(options.seed).sample(files, len(files) // 6)
    known = {}
    found = [problem for f in every for problem in standard_names_missed(f, known)]
    with tempfile.TemporaryDirectory() as folder:
        command = with_standard_headers(command_of_unit(commands), folder, known)
        planted = os.path.join(folder, "planted.cpp")  # the test itself: what is missing is seen
        for text, look in (("std::vector<int> numbers;\n", lambda: list(standard_names_missed(planted, {}))),
                           ("attn::Shape shape;\n", lambda: wrong(command, planted))):
            with open(planted, "w", encoding="utf-8") as file:
                file.write(text)
            if not look():
                found.append(f"a missing #include is not seen: {text}")
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found += [w for w in pool.map(lambda f: wrong(command, f), files) if w]
    print("\n".join(found) or f"{len(every)} files include what they use of std, {len(files)} are valid alone")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
