# wherry-shim is linked against musl and uses no libstdc++: its resident memory is a tenth of a static glibc program's.
# Only musl's headers, the kernel's and the freestanding part of the C++ headers are visible to it.
function(wherry_shim_executable NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES")
  wherry_existing_sources(_sources ${ARG_SOURCES})
  if(NOT _sources)
    return()
  endif()
endfunction()
