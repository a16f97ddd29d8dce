# Sourced by app/run.sh, tests/run.sh and tests/bench/run.sh, which set $root: what has to be installed, and the builds that they share.
# Everything said here goes to standard error, and nothing here reads standard input: both belong to the program.

builds=${ATTN_BUILD:-$root/build}

say() { printf 'attn-calc: %s\n' "$*" >&2; }

# found PROBE: a command, a header, or python:MODULE
found() {
    case $1 in
        # Of the Python that runs the tests: the distribution's where there is one, as in CMakeLists.txt.
        python:*) "$(PATH=/usr/bin:$PATH command -v python3 || echo false)" -c "import ${1#python:}" 2>/dev/null ;;
        *.hpp | *.h)
            prefixes=/usr:/usr/local:${CMAKE_PREFIX_PATH:-}
            saved=$IFS
            IFS=':;'
            for prefix in $prefixes; do
                [ -e "$prefix/include/$1" ] && IFS=$saved && return 0
            done
            IFS=$saved
            return 1
            ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

# need PACKAGE PROBE...: one of the probes is enough
missing=
need() {
    package=$1
    shift
    for probe in "$@"; do
        found "$probe" && return 0
    done
    missing="$missing $package"
}

need_to_build() {
    need g++ "${CXX:-c++}"
    need cmake cmake
    need ninja-build ninja make
    need libcli11-dev CLI/CLI.hpp
    need nlohmann-json3-dev nlohmann/json.hpp
    need libxtensor-dev xtensor/xtensor.hpp xtensor/containers/xtensor.hpp
    need libxsimd-dev xsimd/xsimd.hpp
    need zlib1g-dev zlib.h
    need libxlsxwriter-dev xlsxwriter.h
}

# install_missing: what `need` found missing, from the distribution's packages; false when that cannot be
install_missing() {
    [ -n "$missing" ] || return 0
    packages=$missing
    missing=
    as_root=
    if [ "$(id -u)" != 0 ]; then
        as_root=sudo
    fi
    if ! found apt-get || { [ -n "$as_root" ] && ! found sudo; }; then
        say "not found, please install (names of Debian's packages):$packages"
        return 1
    fi
    say "installing$packages"
    # The words of $packages are the arguments.
    # shellcheck disable=SC2086
    {
        $as_root apt-get -qq update || say "the package lists could not be renewed"
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends $packages
    } </dev/null >&2 || { say "could not be installed:$packages"; return 1; }
}

# quietly LOG COMMAND...: the command's words are shown only when it fails
quietly() {
    log=$1
    shift
    "$@" </dev/null >"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

# configure PRESET [-DNAME=VALUE...]: nothing when the folder is already so
configure() {
    preset=$1
    shift
    folder=$builds/$preset
    cache=$folder/CMakeCache.txt
    mkdir -p "$folder"
    if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then
        say "$folder was made for another place, starting it anew"
        rm -rf "$folder"
        mkdir -p "$folder"
    fi
    ready=yes
    [ -f "$folder/build.ninja" ] || [ -f "$folder/Makefile" ] || ready=no
    for setting in "$@"; do
        grep -qxE "$(echo "${setting#-D}" | sed 's/=/:[A-Z]+=/')" "$cache" 2>/dev/null || ready=no
    done
    [ $ready = yes ] && return 0
    if [ ! -f "$cache" ] && [ -z "${CMAKE_GENERATOR:-}" ] && found ninja; then
        export CMAKE_GENERATOR=Ninja
    fi
    cd "$root" # where cmake looks for presets
    status=0
    quietly "$folder/configure.log" cmake --preset "$preset" -B "$folder" "$@" || status=1
    cd "$OLDPWD"
    return $status
}

# configure_release: a new folder without the tests, which need doctest; tests/run.sh turns them on in the same folder
configure_release() {
    if [ ! -f "$builds/release/CMakeCache.txt" ]; then
        configure release -DATTN_TESTS=OFF
    else
        configure release
    fi
}

# build PRESET FILE TARGET...: shows its progress when FILE is not there yet; $keep_going: not only the first mistake
keep_going=
build() {
    folder=$builds/$1
    file=$folder/$2
    shift 2
    set -- cmake --build "$folder" --parallel "$(nproc 2>/dev/null || echo 2)" --target "$@"
    [ -n "$keep_going" ] && [ -f "$folder/build.ninja" ] && set -- "$@" -- -k 0
    if [ -e "$file" ]; then
        quietly "$folder/build.log" "$@"
    else
        say "building in $folder"
        "$@" </dev/null >&2
    fi
}

# One build at a time: `sh app/run.sh a.json | sh app/run.sh -` starts two.
lock() {
    mkdir -p "$builds"
    exec 9>"$builds/.lock"
    if found flock; then
        flock 9
    fi
}
unlock() { exec 9>&-; }
