cd third-party/llhttp
EXTRA=(-Iinclude)
compile_archive "$PREFIX/lib/libllhttp.a" src/api.c src/http.c src/llhttp.c
cp include/llhttp.h "$PREFIX/include/"
