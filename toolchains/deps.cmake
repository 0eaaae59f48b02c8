# Imported targets for the third-party libraries that toolchains/deps.sh built for WHERRY_TARGET:
# ring mbedtls curl cares cjson inih zstd zlib llhttp libyaml; WHERRY_MUSL is the prefix of musl.
execute_process(
  COMMAND ${CMAKE_SOURCE_DIR}/toolchains/deps.sh --paths ${WHERRY_TARGET}
  OUTPUT_VARIABLE _paths OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  toolchains/deps.sh toolchains/deps.lock toolchains/targets)

string(REPLACE "\n" ";" _paths "${_paths}")
foreach(_line IN LISTS _paths)
  string(REGEX MATCH "^([^ ]+) (.+)$" _ "${_line}")
  set(_name ${CMAKE_MATCH_1})
  set(_prefix ${CMAKE_MATCH_2})
  if(NOT EXISTS ${_prefix})
    message(WARNING "${_name} is not built for ${WHERRY_TARGET}: run toolchains/deps.sh ${WHERRY_TARGET}")
  endif()
  if(_name STREQUAL musl)
    set(WHERRY_MUSL ${_prefix})
    continue()
  endif()
  # Each is one archive. It is a target, so that the linker sees it before what it uses.
  file(GLOB _archive ${_prefix}/lib/*.a)
  add_library(${_name}_archive STATIC IMPORTED)
  set_target_properties(${_name}_archive PROPERTIES IMPORTED_LOCATION "${_archive}")
  add_library(${_name} INTERFACE)
  target_include_directories(${_name} SYSTEM INTERFACE ${_prefix}/include)
  target_link_libraries(${_name} INTERFACE ${_name}_archive)
endforeach()
target_compile_definitions(curl INTERFACE CURL_STATICLIB)
target_compile_definitions(libyaml INTERFACE YAML_DECLARE_STATIC)
target_compile_definitions(cares INTERFACE CARES_STATICLIB)
target_link_libraries(mbedtls INTERFACE ring)
target_link_libraries(curl INTERFACE mbedtls cares)
target_link_libraries(curl_archive INTERFACE mbedtls_archive cares_archive)
target_link_libraries(mbedtls_archive INTERFACE ring_archive)
