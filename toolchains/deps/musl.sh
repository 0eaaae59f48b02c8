# Headers, start files and libc.a; the kernel's headers are those of the target's own C library.
CC=$CC AR=$AR RANLIB=$RANLIB CFLAGS=${CFLAGS/-fstack-protector-strong/} ./configure \
  --prefix="$PREFIX" --disable-shared --disable-wrapper ${TRIPLE:+--target="$TRIPLE"}
make -j"$JOBS"
make install
libc_headers=/usr/${TRIPLE:+$TRIPLE/}include
mkdir -p "$PREFIX/kernel"
ln -s "$libc_headers/linux" "$libc_headers/asm-generic" "$PREFIX/kernel/"
asm=$libc_headers/asm
[ -d "$asm" ] || asm=$libc_headers/$($COMPILER -dumpmachine)/asm
ln -s "$asm" "$PREFIX/kernel/asm"
# Makes gcc link against this library; which headers are seen is a matter of compiler options.
cat >"$PREFIX/musl.specs" <<EOF
*startfile:
%{static-pie:$FINAL/lib/rcrt1.o;:$FINAL/lib/crt1.o} $FINAL/lib/crti.o %{static-pie:crtbeginS.o%s;:crtbeginT.o%s}

*endfile:
%{static-pie:crtendS.o%s;:crtend.o%s} $FINAL/lib/crtn.o

*lib:
$FINAL/lib/libc.a

*libgcc:
-lgcc

EOF
