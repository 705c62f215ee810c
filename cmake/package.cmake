# Installing and packaging: units, completions, pkg-config and CMake package files, and the .deb that `cpack` makes in the build
# directory.
set(units_dir lib/systemd/system) # where systemd looks, whatever the library directory is called
set(package_prefix /usr)
install(FILES deploy/coldpath-maintain.timer DESTINATION ${units_dir})
configure_file(cmake/units.cmake.in ${CMAKE_BINARY_DIR}/units.cmake @ONLY)
install(SCRIPT ${CMAKE_BINARY_DIR}/units.cmake)
install(FILES deploy/alerts.yaml deploy/grafana.json DESTINATION ${CMAKE_INSTALL_DATADIR}/coldpath)
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.json" PATTERN "*.svg"
        PATTERN "examples/*" PATTERN "man" EXCLUDE)
install(FILES ${CMAKE_BINARY_DIR}/monitor/charts/uplot-license.txt DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(completions ${CMAKE_BINARY_DIR}/share/completions)
file(MAKE_DIRECTORY ${completions})
foreach(pair bash=coldpath zsh=_coldpath)
  string(REPLACE "=" ";" pair ${pair})
  list(GET pair 0 shell)
  list(GET pair 1 name)
  add_custom_command(
    OUTPUT ${completions}/${name}
    COMMAND sh -c "'$<TARGET_FILE:coldpath>' completion ${shell} > '${completions}/${name}'"
    DEPENDS coldpath
    VERBATIM)
  list(APPEND completion_files ${completions}/${name})
endforeach()
add_custom_target(completions ALL DEPENDS ${completion_files})
install(FILES ${completions}/coldpath DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${completions}/_coldpath DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)

# For producers: pkg-config --cflags --libs coldpath; find_package(coldpath), coldpath::coldpath. Both find themselves wherever the
# tree is moved to.
include(CMakePackageConfigHelpers)
cmake_path(SET include_from_lib ${CMAKE_INSTALL_FULL_INCLUDEDIR})
cmake_path(RELATIVE_PATH include_from_lib BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR})
configure_file(cmake/coldpath.pc.in ${CMAKE_BINARY_DIR}/coldpath.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/coldpath.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/coldpath)
install(EXPORT coldpath-targets NAMESPACE coldpath:: FILE coldpath-targets.cmake DESTINATION ${package_dir})
file(WRITE ${CMAKE_BINARY_DIR}/coldpath-config.cmake "include(\"\${CMAKE_CURRENT_LIST_DIR}/coldpath-targets.cmake\")\n")
write_basic_package_version_file(${CMAKE_BINARY_DIR}/coldpath-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/coldpath-config.cmake ${CMAKE_BINARY_DIR}/coldpath-config-version.cmake DESTINATION ${package_dir})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME coldpath)
set(CPACK_PACKAGE_VENDOR coldpath)
set(CPACK_PACKAGE_CONTACT "coldpath maintainers <root@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "recorder for trading systems: shared memory to ClickHouse")
set(CPACK_PACKAGING_INSTALL_PREFIX ${package_prefix})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
if(COLDPATH_FAILPOINTS) # programs that can be told to die: a version that any other one replaces
  set(CPACK_DEBIAN_PACKAGE_VERSION ${PROJECT_VERSION}~test)
endif()
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
foreach(script postinst prerm postrm triggers)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/debian/${script})
endforeach()
include(CPack)
