# Shared by tools/run, tools/test and .ci/run; sourced, never run. It changes to the project's root,
# so that every path below it is written from there.
#
#   heading TEXT        a step begins
#   say TEXT            one line of news
#   give_up TEXT…       each argument a line on standard error; exit 1
#   need_packages P…    installs the Debian packages that are missing, or says what to do; exit 1
#   build PRESET [TARGET…]   configures and builds; what the compiler says is shown, and its answer

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C.UTF-8 LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

# What the program is built from…
BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config liburing-dev liblmdb-dev
    libcurl4-openssl-dev libmsgpack-dev libssl-dev node-llhttp libcjson-dev libcyaml-dev libyaml-dev
    libzstd-dev ca-certificates)
# …and shown and tested with. Python is Debian's own, whatever else is on the PATH.
DEMO_PACKAGES=(python3)
TEST_PACKAGES=(python3 python3-pytest python3-pytest-xdist libcmocka-dev openssl curl)
CI_PACKAGES=(clang-14 clang-format-14 libclang-rt-14-dev valgrind python3-venv)
PYTHON=/usr/bin/python3

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
else
    BOLD='' DIM='' RED='' GREEN='' PLAIN=''
fi

heading() { printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }
say() { printf '%s\n' "$*"; }
give_up() {
    printf "$RED%s$PLAIN\n" "$1" >&2
    shift
    (($#)) && printf '%s\n' "$@" >&2
    exit 1
}

missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            echo "$package"
    done
}

need_packages() {
    if ! command -v dpkg-query apt-get >/dev/null; then
        say "No apt here: going on with what there is. Needed, by their names in Debian 12: $*"
        return
    fi
    local missing=() as_root=()
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    local line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    if ((EUID != 0)); then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
            as_root=(sudo)
            line="sudo apt-get update && sudo ${line#*&& }"
        else
            give_up "Some packages are missing, and installing them needs root or sudo." \
                "Run this as root, then start again:" "" "  $line"
        fi
    fi
    heading "Installing ${#missing[@]} packages with apt"
    say "${missing[*]}"
    local log
    log=$(mktemp)
    # A failed update (no network) is no reason to stop: what is cached may be enough.
    as_root+=(env DEBIAN_FRONTEND=noninteractive)
    "${as_root[@]}" apt-get update -qq </dev/null >"$log" 2>&1 || true
    if ! "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        </dev/null >>"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        give_up "apt could not install them; the reason is above. Is there a network?" \
            "Once these packages are there, no network is needed:" "" "  $line"
    fi
    rm -f "$log"
}

build() {
    local preset=$1 log=build/$1/configure.log targets=() quiet=()
    shift
    (($#)) && targets=(--target "$@")
    [[ -t 1 ]] || quiet=(-- --quiet)
    mkdir -p "build/$preset"
    if ! cmake --preset "$preset" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        return 1
    fi
    cmake --build --preset "$preset" "${targets[@]}" "${quiet[@]}"
}
