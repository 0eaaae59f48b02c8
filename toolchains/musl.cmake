# How C++ is compiled and linked against the musl of toolchains/deps.lock with the compiler of a glibc target: musl's and the
# kernel's headers take the place of the system's, and a specs file that of its start files and libc.a. libstdc++ is the
# compiler's: what it was built for differs from musl in locales and iostreams, which are banned (tests/lint/rules.py), and
# in the version of glibc its configuration asks for.
#   WHERRY_MUSL_COMPILE, WHERRY_MUSL_LINK  options
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=include
  OUTPUT_VARIABLE _builtin OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(WHERRY_MUSL_COMPILE ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
list(FILTER WHERRY_MUSL_COMPILE INCLUDE REGEX "/c\\+\\+/")
list(APPEND WHERRY_MUSL_COMPILE ${WHERRY_MUSL}/include ${_builtin} ${WHERRY_MUSL}/kernel)
list(TRANSFORM WHERRY_MUSL_COMPILE PREPEND "SHELL:-isystem ")
list(PREPEND WHERRY_MUSL_COMPILE -nostdinc "SHELL:-include ${CMAKE_CURRENT_LIST_DIR}/musl/glibc_names.h")
# Stacks of threads: 128 KiB without being asked for, in which hosts and certificates of the wild do not fit.
set(WHERRY_MUSL_LINK -L${WHERRY_MUSL}/lib -specs=${WHERRY_MUSL}/musl.specs -Wl,-z,stack-size=1048576)
