compile_archive "$PREFIX/lib/libcjson.a" cJSON.c
cp cJSON.h "$PREFIX/include/"
