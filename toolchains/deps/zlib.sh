CFLAGS=${CFLAGS/-Os/-O2}
EXTRA=(-DHAVE_UNISTD_H -DHAVE_STDARG_H -D_LARGEFILE64_SOURCE)
cp zconf.h.in zconf.h
compile_archive "$PREFIX/lib/libz.a" adler32.c crc32.c deflate.c inffast.c inflate.c inftrees.c trees.c zutil.c
cp zlib.h zconf.h "$PREFIX/include/"
