# Sourced by nginx/run, apache/run and Tests/run: what they need on this machine, and how to get it.
#
#   require PACKAGE COMMAND...    PACKAGE is missing unless COMMAND succeeds
#   require_build, require_server, require_apache WAY, require_python, require_swift
#   install_missing               installs them, or says what to run, and fails
#   install_python VENV NAME...   Python packages, into a virtual environment of their own

missing=()

say() { printf '== %s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

require() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

# What compiles and links the programs. The server runs git.
require_build() {
    require pkg-config command -v pkg-config
    require libfcgi-dev pkg-config --exists fcgi
    require libcurl4-openssl-dev pkg-config --exists libcurl
    require libssl-dev pkg-config --exists libcrypto
    require zlib1g-dev pkg-config --exists zlib
    require libexpat1-dev pkg-config --exists expat
    require git command -v git
}

# What runs the demonstration: nginx, openssl for a password, curl to ask whether it is there.
require_server() {
    require nginx command -v nginx
    require openssl command -v openssl
    require curl command -v curl
    require ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    require git command -v git
}

# The same with Apache, for one way of running the program: fcgid, proxy or cgi.
require_apache() {
    require apache2 command -v apache2
    [[ $1 != fcgid ]] || require libapache2-mod-fcgid test -e /usr/lib/apache2/modules/mod_fcgid.so
    require openssl command -v openssl
    require curl command -v curl
    require git command -v git
}

require_python() {
    require python3 command -v python3
    require python3-venv python3 -c 'import ensurepip, venv'
}

require_swift() {
    command -v swift >/dev/null 2>&1 \
        || fail "There is no 'swift' on the PATH. Install Swift 6.1 or newer: https://www.swift.org/install/linux/"
}

install_missing() {
    ((${#missing[@]})) || return 0
    local packages
    packages=$(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')
    local by_hand="apt-get update && apt-get install -y --no-install-recommends $packages"
    command -v apt-get >/dev/null 2>&1 \
        || fail "Missing here, by their names in Debian: $packages"

    local as_root=()
    if ((EUID != 0)); then
        if ! sudo -n true >/dev/null 2>&1; then
            fail "Some packages are missing. As root, run: $by_hand"
        fi
        as_root=(sudo -n)
    fi
    say "installing $packages"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 </dev/null \
        && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
            --no-install-recommends $packages >&2 </dev/null \
        || fail "The installation failed. By hand, as root: $by_hand"
    missing=()
}

# Debian's own Python takes no packages from outside (PEP 668): a virtual environment does.
install_python() {
    local venv=$1
    shift
    if [[ -e $venv/installed && $(<"$venv/installed") == "$*" ]]; then return 0; fi
    say "installing $* into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv" >&2 \
        && "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2 </dev/null \
        || fail "Could not install $* with pip."
    printf '%s\n' "$*" >"$venv/installed"
}
