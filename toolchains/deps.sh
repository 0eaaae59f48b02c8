#!/bin/bash
# Builds the third-party libraries of toolchains/deps.lock as static libraries.
#   deps.sh TARGET          download, verify, build and install what is missing for TARGET (toolchains/targets)
#   deps.sh --fetch         only download and verify the archives
#   deps.sh --paths TARGET  print "name prefix" for each library, built or not
# Everything lives under ${WHERRY_CACHE:-~/.cache/wherry}: src/<sha256> and <target>/<name>-<version>-<key>, where the key
# covers the lock entry, the recipe toolchains/deps/<name>.*, the target's flags, the compiler and the libraries it uses.
# A library is named by its lock entry and built by toolchains/deps/<name>.sh, which sees: TARGET TRIPLE CC AR RANLIB
# COMPILER CFLAGS CMAKE PREFIX FINAL RECIPES JOBS, prefix_of NAME, compile_archive OUT FILE..., and runs in the unpacked source.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
CACHE=${WHERRY_CACHE:-${HOME:-/root}/.cache/wherry}
RECIPES=$HERE/deps
JOBS=2

# Libraries another one is compiled against; everything else stands alone.
declare -A USES=([mbedtls]="ring" [curl]="mbedtls cares")

die() { echo "deps.sh: $*" >&2; exit 1; }

lock_entry() { awk -v n="$1" '$1 == n' "$HERE/deps.lock"; }
lock_names() { awk '!/^#/ && NF {print $1}' "$HERE/deps.lock"; }

select_target() {
  local row
  row=$(awk -v t="$1" '$1 == t' "$HERE/targets")
  [ -n "$row" ] || die "unknown target '$1'"
  TARGET=$1
  TRIPLE=$(awk '{print $2}' <<<"$row")
  local prefix=""
  if [ "$TRIPLE" = - ]; then TRIPLE=""; else prefix=$TRIPLE-; fi
  COMPILER=${prefix}gcc
  command -v "$COMPILER" >/dev/null || die "$COMPILER is missing: install $(awk '{print $3}' <<<"$row")"
  CC=$COMPILER
  AR=${prefix}gcc-ar
  RANLIB=${prefix}gcc-ranlib
  LIBC=$(awk '{print $4}' <<<"$row")
  CFLAGS="$(cut -d' ' -f5- <<<"$(tr -s ' ' <<<"$row")") -Os -g0 -DNDEBUG -fomit-frame-pointer -ffunction-sections -fdata-sections"
  CFLAGS+=" -fvisibility=hidden -fno-unwind-tables -fno-asynchronous-unwind-tables -fstack-protector-strong"
  COMPILER_ID=$("$COMPILER" -dumpfullversion)$("$COMPILER" -dumpmachine)
  CMAKE=(-G Ninja ${TRIPLE:+-DCMAKE_SYSTEM_NAME=Linux} -DCMAKE_C_COMPILER="$COMPILER" -DCMAKE_BUILD_TYPE=None)
}

# The library NAME is compiled against when the target's C library is one of ours.
c_library_of() { [ "$LIBC" != musl ] || [ "$1" = musl ] || echo musl; }

# Compiles and links against musl from here on.
use_musl() {
  prefix_of musl
  CFLAGS+=" -nostdinc -isystem $PREFIX_OF/include -isystem $("$COMPILER" -print-file-name=include)"
  CFLAGS+=" -isystem $PREFIX_OF/kernel"
  CMAKE+=("-DCMAKE_EXE_LINKER_FLAGS=-static -no-pie -specs=$PREFIX_OF/musl.specs")
}

# The key of library NAME for the selected target.
declare -A KEY=()
compute_key() {
  [ -z "${KEY[$1]:-}" ] || return 0
  local used uses=""
  for used in ${USES[$1]:-} $(c_library_of "$1"); do
    compute_key "$used"
    uses+=" ${KEY[$used]}"
  done
  KEY[$1]=$({ lock_entry "$1"; cat "$RECIPES/$1".*; echo "$COMPILER_ID $CFLAGS $uses"; } | sha256sum | cut -c1-12)
}

prefix_of() {
  compute_key "$1"
  PREFIX_OF=$CACHE/$TARGET/$1-$(lock_entry "$1" | awk '{print $2}')-${KEY[$1]}
}

# The package mirrors this machine is configured for, most general first.
mirrors() {
  {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages'
    grep -rhoE '^(URIs: *|deb (\[[^]]*\] *)?)https?://[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d |
      grep -oE 'https?://[^ ]+'
  } 2>/dev/null | sed 's,/*$,/,' | awk '!seen[$0]++' || true
}

download() { # NAME: leaves the verified archive at $ARCHIVE
  local name version licence sha pool upstream url
  read -r name version licence sha pool upstream <<<"$(lock_entry "$1")"
  ARCHIVE=$CACHE/src/$sha
  [ ! -e "$ARCHIVE" ] || return 0
  mkdir -p "$CACHE/src"
  local candidates=()
  while read -r url; do candidates+=("$url$pool"); done < <(mirrors)
  [ "$upstream" = - ] || candidates+=("$upstream")
  for url in "${candidates[@]}"; do
    rm -f "$ARCHIVE.part"
    if /usr/lib/apt/apt-helper download-file "$url" "$ARCHIVE.part" "SHA256:$sha" >"$CACHE/src/$name.log" 2>&1 &&
      echo "$sha  $ARCHIVE.part" | sha256sum -c --quiet; then
      mv "$ARCHIVE.part" "$ARCHIVE"
      rm -f "$CACHE/src/$name.log"
      return 0
    fi
  done
  die "no mirror has $pool with the SHA-256 of deps.lock; see $CACHE/src/$name.log"
}

# Compiles each FILE with CFLAGS (and the flags in the array EXTRA) and puts the objects into the archive OUT.
compile_archive() {
  local out=$1; shift
  mkdir -p obj "$(dirname "$out")"
  printf '%s\n' "$@" | xargs -P "$JOBS" -I{} bash -c \
    'o=${1//\//_}; shift; exec "$@" -o "obj/$o.o"' _ {} $CC $CFLAGS "${EXTRA[@]}" -c {}
  $AR rcs "$out" $(printf '%s\n' "$@" | sed 's,/,_,g; s,^,obj/,; s,$,.o,')
}

build() { # NAME
  local name=$1 work log
  prefix_of "$name"
  [ ! -d "$PREFIX_OF" ] || return 0
  FINAL=$PREFIX_OF
  download "$name"
  echo "building $name for $TARGET"
  work=$(mktemp -d "$CACHE/build.XXXXXX")
  log=$CACHE/$TARGET-$name.log
  # In the background, because "set -e" has no effect inside a condition.
  (
    set -euo pipefail
    mkdir "$work/src" && tar -xf "$ARCHIVE" -C "$work/src" --strip-components=1
    cd "$work/src"
    PREFIX=$work/out
    mkdir -p "$PREFIX/include" "$PREFIX/lib"
    CFLAGS+=" -ffile-prefix-map=$work/src=$name"
    EXTRA=()
    [ -z "$(c_library_of "$name")" ] || use_musl
    . "$RECIPES/$name.sh"
  ) >"$log" 2>&1 &
  if ! wait $!; then
    tail -n 30 "$log" >&2
    rm -rf "$work"
    die "building $name for $TARGET failed; log: $log"
  fi
  mkdir -p "$CACHE/$TARGET"
  mv "$work/out" "$FINAL"
  rm -rf "$work" "$log"
}

# Two at once: configuring keeps one core busy.
build_all() {
  local name used
  local -A started=()
  for name in $(lock_names); do
    compute_key "$name"
    for used in ${USES[$name]:-} $(c_library_of "$name"); do
      wait "${started[$used]}" || exit 1
    done
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
      wait -n || exit 1
    done
    build "$name" &
    started[$name]=$!
  done
  for name in "${!started[@]}"; do
    wait "${started[$name]}" || exit 1
  done
}

case "${1:-}" in
  --fetch)
    for name in $(lock_names); do download "$name"; done ;;
  --paths)
    select_target "${2:?target}"
    for name in $(lock_names); do prefix_of "$name"; echo "$name $PREFIX_OF"; done ;;
  ''|-*)
    sed -n '2,4p' "$0"; exit 2 ;;
  *)
    select_target "$1"
    mkdir -p "$CACHE"
    exec 9>"$CACHE/$TARGET.lock"
    flock 9
    build_all ;;
esac
