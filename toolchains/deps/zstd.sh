# Compression is in the archive too: what no one calls is not linked.
CFLAGS=${CFLAGS/-Os/-O2}
EXTRA=(-DZSTD_DISABLE_ASM -DZSTD_LEGACY_SUPPORT=0 -DZSTDLIB_VISIBLE= -DZSTDERRORLIB_VISIBLE= -DXXH_NAMESPACE=ZSTD_)
compile_archive "$PREFIX/lib/libzstd.a" lib/common/*.c lib/compress/*.c lib/decompress/*.c
cp lib/zstd.h lib/zstd_errors.h "$PREFIX/include/"
