# cp_generate_rows(TARGET ddl/quotes.sql …): the typed rows of tables for a target, as #include "rows/quotes.h".
# Each header is made once, in <build>/generated/rows, by the first target that asks for it; the others depend on it.
function(cp_generate_rows target)
  set(dir ${CMAKE_BINARY_DIR}/generated/rows)
  file(MAKE_DIRECTORY ${dir})
  foreach(ddl ${ARGN})
    cmake_path(ABSOLUTE_PATH ddl NORMALIZE)
    cmake_path(GET ddl STEM name)
    if(NOT TARGET rows_${name})
      add_custom_command(
        OUTPUT ${dir}/${name}.h
        COMMAND coldpath-schemagen ${ddl} ${dir}/${name}.h
        DEPENDS coldpath-schemagen ${ddl}
        COMMENT "Generating rows/${name}.h"
        VERBATIM)
      add_custom_target(rows_${name} DEPENDS ${dir}/${name}.h)
      set_target_properties(rows_${name} PROPERTIES CP_DDL ${ddl})
    endif()
    get_target_property(known rows_${name} CP_DDL)
    if(NOT known STREQUAL ddl)
      message(FATAL_ERROR "rows/${name}.h would come from both ${known} and ${ddl}; rename one")
    endif()
    add_dependencies(${target} rows_${name})
  endforeach()
  target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated ${CMAKE_SOURCE_DIR}/schema/include)
endfunction()
