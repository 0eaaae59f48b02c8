# A handler sees the line number; values are not limited to a line buffer on the stack; comments only at the start of a line.
EXTRA=(-DINI_HANDLER_LINENO=1 -DINI_ALLOW_MULTILINE=0 -DINI_ALLOW_INLINE_COMMENTS=0 -DINI_USE_STACK=1 -DINI_MAX_LINE=4096 -DINI_STOP_ON_FIRST_ERROR=0)
sed -i '/#ifndef INI_HANDLER_LINENO/,/#endif/s/#define INI_HANDLER_LINENO 0/#define INI_HANDLER_LINENO 1/' ini.h
compile_archive "$PREFIX/lib/libinih.a" ini.c
cp ini.h "$PREFIX/include/"
