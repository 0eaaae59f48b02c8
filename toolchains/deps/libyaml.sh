# The parser alone: what writes and what makes documents stays out; api.c refers to nothing of it but by functions that the linker drops.
EXTRA=(-Iinclude -Isrc -DYAML_DECLARE_STATIC -DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5 '-DYAML_VERSION_STRING="0.2.5"')
compile_archive "$PREFIX/lib/libyaml.a" src/api.c src/parser.c src/reader.c src/scanner.c
cp include/yaml.h "$PREFIX/include/"
