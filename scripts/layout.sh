# shellcheck shell=bash disable=SC2034
# Sourced by install and uninstall: what there is to install and where it goes.

# Whoever sources this has come to the checkout from there.
caller=${OLDPWD}

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

units=(pinion.service pinion@.service)
# Of use beside the program.
shared=(scripts/postgresql.conf systemd/pinion.env systemd/before-253.conf)
for file in systemd/grafana.json systemd/alerts.yml; do
    if [ -e "${file}" ]; then shared+=("${file}"); fi
done
documents=(README.md SECURITY.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs/operations.md docs/upgrade.md docs/alerts.md)

# Sets prefix, staging and dry_run, and what else the caller knows (binary, purge).
parse_layout() {
    prefix=/usr/local staging='' dry_run=''
    while [ $# -gt 0 ]; do
        case "$1" in
        --help | -h) usage && exit 0 ;;
        --dry-run) dry_run=yes ;;
        --purge)
            [ -v purge ] || refuse "$1"
            purge=yes
            ;;
        --prefix | --staging | --binary)
            [ $# -ge 2 ] && [ -n "$2" ] || refuse "$1 needs a value"
            [ "$1" != --binary ] || [ -v binary ] || refuse "$1"
            value=$2
            # Files are named from where the caller is.
            case "$1=${value}" in --prefix=* | --*=/*) ;; *) value=${caller}/${value} ;; esac
            printf -v "${1#--}" %s "${value}"
            shift
            ;;
        *) refuse "$1" ;;
        esac
        shift
    done
    case "${prefix}" in
    /*[!A-Za-z0-9/._+-]*) refuse "--prefix ${prefix}: letters, digits and . _ + - only" ;;
    /?*) ;;
    *) refuse "--prefix ${prefix}: an absolute path" ;;
    esac
    prefix=${prefix%/}
}

refuse() {
    say "what is meant by $1?"
    usage >&2
    exit 2
}

# Sets where each kind of file goes.
find_layout() {
    staging=${staging%/}
    program=${staging}${prefix}/bin/pinion
    share=${staging}${prefix}/share/pinion
    doc=${staging}${prefix}/share/doc/pinion
    config=${staging}/etc/pinion
    if [ "${prefix}" = /usr ]; then
        unit_dir=${staging}/usr/lib/systemd/system
        sysctl_dir=${staging}/usr/lib/sysctl.d
    else
        unit_dir=${staging}/etc/systemd/system
        sysctl_dir=${staging}/etc/sysctl.d
    fi
    if [ -z "${dry_run}" ] && is_this_host && [ "$(id -u)" != 0 ]; then
        fail "this changes /etc and ${prefix}: run it as root, or with --staging DIR or --dry-run"
    fi
}

is_this_host() { [ -z "${staging}" ]; }

has_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }

before_notify_reload() {
    local version
    version=$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    [ -n "${version}" ] && [ "${version}" -lt 253 ]
}

# Runs a command and says which, or only says it.
act() {
    if [ -n "${dry_run}" ]; then
        say "would: $*"
    else
        say "$*"
        "$@"
    fi
}
