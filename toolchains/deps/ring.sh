# Of ring only the assembly of SHA-256, which it has from OpenSSL by way of BoringSSL.
case $("$COMPILER" -dumpmachine) in
  x86_64*) file=sha256-x86_64-elf.S ;;
  aarch64*) file=sha256-armv8-linux64.S ;;
  arm*) file=sha256-armv4-linux32.S ;;
esac
mkdir include/ring_core_generated
: >include/ring_core_generated/prefix_symbols_asm.h # no prefixes
EXTRA=(-Iinclude)
compile_archive "$PREFIX/lib/libring.a" "pregenerated/$file"
