# Sourced by run, test and bench: sees to it that what a build and the demo need is there, and what
# the caller adds by a function of its own, more_missing_packages.
#
# Installs through apt where it may (as root, or by sudo without a password); otherwise says which
# packages are missing and ends with 1. Never touches a Postgres that is already installed.

say() { printf '%s\n' "$*" >&2; }

# The directories that pinion itself looks through for a Postgres server, see src/demo/installation.rs.
has_postgres() {
    local server major dirs
    IFS=: read -r -a dirs <<<"${PATH}"
    for server in "${dirs[@]/%//postgres}" /usr/lib/postgresql/*/bin/postgres \
        /usr/pgsql-*/bin/postgres /usr/local/pgsql/bin/postgres; do
        [ -x "${server}" ] || continue
        server=$(readlink -f "${server}")
        [ -x "${server%/*}/initdb" ] || continue
        [ -x "${server%/*}/psql" ] || command -v psql >/dev/null || continue
        major=$("${server}" --version 2>/dev/null | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')
        if [ -n "${major}" ] && [ "${major}" -ge 14 ]; then return 0; fi
    done
    return 1
}

# A script that needs more defines this again: it prints Debian packages as missing_packages does.
more_missing_packages() { :; }

# Prints the Debian packages that are missing, one a line.
missing_packages() {
    # The linker and the compiler of the crates' C parts.
    if ! command -v cc >/dev/null || ! command -v make >/dev/null; then echo build-essential; fi
    # glommio's build script calls it.
    command -v git >/dev/null || echo git
    has_postgres || echo postgresql
    more_missing_packages
}

# Runs a command as root, or fails.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# Debian's postgresql package makes a cluster and starts it as a service when it is installed. The demo
# has its own, so on a machine without a server that is switched off first, by the package's own
# setting. Whoever has set it to anything keeps what was set.
forbid_main_cluster() {
    local conf=/etc/postgresql-common/createcluster.conf
    grep -qs '^[[:space:]]*create_main_cluster' "${conf}" && return 0
    as_root mkdir -p "${conf%/*}"
    as_root tee -a "${conf}" >/dev/null <<'CONF'
# Added by pinion's scripts before the package postgresql was installed, so that no cluster "main" is
# made and started by itself. Remove this line to have one made with the next major version.
create_main_cluster = false
CONF
}

# Debian's prometheus package starts a server on port 9090 when it is installed, which is the port of
# pinion's --admin. The tests start their own; `systemctl unmask prometheus` undoes this.
forbid_prometheus_service() {
    if [ -d /run/systemd/system ]; then as_root systemctl mask --quiet prometheus.service; fi
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    case " $* " in *" postgresql "*) forbid_main_cluster ;; esac
    case " $* " in *" prometheus "*) forbid_prometheus_service ;; esac
    say "installing: $*"
    as_root apt-get update -qq </dev/null
    # confold: createcluster.conf stays as written above when its package brings its own.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Options::=--force-confold "$@" </dev/null >&2
}

# The oldest minor version of Rust 1 that builds pinion: rust-version in Cargo.toml.
RUST_MINOR_MIN=88

find_cargo() {
    # It may be installed but not yet in this shell's PATH.
    local bin="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" minor
    if ! command -v cargo >/dev/null && [ -x "${bin}/cargo" ]; then export PATH="${bin}:${PATH}"; fi
    if command -v cargo >/dev/null; then
        minor=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p')
        [ "${minor:-0}" -ge "${RUST_MINOR_MIN}" ] && return 0
        say "$(cargo --version) is too old."
    else
        say "cargo is missing."
    fi
    say "Install Rust 1.${RUST_MINOR_MIN} or later and run this script again:"
    say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    say "(apt install cargo does as well where the distribution's is that new)"
    return 1
}

prepare_machine() {
    if [ "$(uname -s)" != Linux ]; then
        say "pinion runs on Linux 6.1 or later: it is built on io_uring."
        return 1
    fi
    find_cargo || return 1
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" = 0 ] && return 0
    if ! may_install; then
        say "missing: ${missing[*]}"
        say "install the packages and run this script again, on Debian or Ubuntu:"
        say "    sudo apt-get install ${missing[*]}"
        return 1
    fi
    install_packages "${missing[@]}" || return 1
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" = 0 ] && return 0
    say "still missing after the installation: ${missing[*]}"
    case " ${missing[*]} " in
    *" postgresql "*) say "(pinion needs Postgres 14 or later: see https://www.postgresql.org/download/linux/)" ;;
    esac
    return 1
}
