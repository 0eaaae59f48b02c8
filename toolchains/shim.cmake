# wherry-shim is linked against musl and without libstdc++: its resident memory is a tenth of a static glibc program's.
# The C++ headers may be used as far as everything in them is inline; what needs libstdc++ (containers, new, exceptions,
# iostreams) fails to link. _GNU_SOURCE interfaces are musl's and the kernel's.
function(wherry_shim_executable NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES")
  wherry_existing_sources(_sources ${ARG_SOURCES})
  if(NOT _sources OR NOT CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    return()
  endif()
  add_executable(${NAME} ${_sources})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  target_include_directories(${NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(${NAME} PRIVATE _GNU_SOURCE)
  target_compile_options(${NAME} PRIVATE ${WHERRY_MUSL_COMPILE} ${WHERRY_TARGET_FLAGS} ${WHERRY_PATHS} -fno-pie -Os -g1 -ffunction-sections -fdata-sections -fno-exceptions -fno-rtti
    -fno-unwind-tables -fno-asynchronous-unwind-tables -fno-threadsafe-statics -fvisibility=hidden
    -fstack-protector-strong -U_FORTIFY_SOURCE ${WHERRY_WARNINGS})
  set(_lib ${WHERRY_MUSL}/lib)
  target_link_options(${NAME} PRIVATE -static -no-pie -nostdlib -nostartfiles ${_lib}/crt1.o ${_lib}/crti.o
    -Wl,--gc-sections,-z,noseparate-code,-z,max-page-size=16384,-z,norelro,--build-id,--fatal-warnings
    -Wl,-Map=${CMAKE_BINARY_DIR}/${NAME}.map)
  target_link_libraries(${NAME} PRIVATE -Wl,--start-group ${_lib}/libc.a -lgcc -Wl,--end-group ${_lib}/crtn.o)
  wherry_strip(${NAME})
endfunction()
