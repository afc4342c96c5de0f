# Parts of the emulated machines of tests/suites/nfs and tests/suites/avx512, all from Debian's packages; tests/run also installs with it.
# Sourced, not run.
#
#   stop WORDS…             prints why it cannot go on, and ends
#   packages PROGRAM=PACKAGE…   installs the packages of missing programs
#   kernel                  unpacks the stock kernel into the cache, never into the system; sets image, version, modules
#   with_libraries FILE TO  copies a program and the libraries that it needs into $root
#   BATON_NFS_CACHE         where the kernel stays (default ~/.cache/baton-nfs)
PATH=$PATH:/usr/sbin:/sbin
stop() { echo "${0%/*}: $*" >&2; exit 2; }

packages() {
    local pair as_root missing=
    for pair in "$@"; do
        command -v "${pair%=*}" >/dev/null || [ -e "${pair%=*}" ] || missing="$missing ${pair#*=}"
    done
    [ -n "$missing" ] || return 0
    as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
    # shellcheck disable=SC2086
    $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        stop "apt-get could not install$missing"
}

kernel() {
    local cache=${BATON_NFS_CACHE:-$HOME/.cache/baton-nfs} package
    mkdir -p "$cache"
    if [ ! -d "$cache/kernel/boot" ]; then
        package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
        [ -n "$package" ] || stop "apt knows no linux-image-cloud-amd64"
        (cd "$cache" && apt-get download -qq "$package" 2>/dev/null) || stop "apt-get could not download $package"
        rm -rf "$cache/unpacked" && dpkg -x "$cache/$package"_*.deb "$cache/unpacked"
        rm -f "$cache/$package"_*.deb && mv "$cache/unpacked" "$cache/kernel"
    fi
    image=$(ls "$cache"/kernel/boot/vmlinuz-*)
    version=${image##*/vmlinuz-}
    modules=$cache/kernel/lib/modules/$version
    [ -s "$modules/modules.dep" ] || busybox depmod -b "$cache/kernel" "$version"
}

with_libraries() {
    install -D -m 755 "$(command -v "$1")" "$root$2"
    ldd "$root$2" 2>/dev/null | grep -oE '/[^ )]+' | while read -r library; do
        [ -e "$root$library" ] || install -D -m 755 "$(readlink -f "$library")" "$root$library"
    done
}
