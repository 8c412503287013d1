# What `cmake --install BUILD --prefix DIR` puts where, and what authors of plugins build against.
#
#   bin/            the programs
#   lib/polyak/     env_mujoco.so, where it was built
#   include/polyak/ env.h, the interface of a plugin
#   lib/cmake/PolyakEnv, lib/pkgconfig   how a plugin finds that header
#   share/man/man1                       what the programs say with --help, for man
#   lib/systemd/system                   units, with the path of the installed programs
#   share/doc/polyak                     documents, examples and deploy/, as they lie in the tree
#
# The build directory has the same layout, so it is a prefix for plugins as well.
include(CMakePackageConfigHelpers)

set(header_dir ${CMAKE_INSTALL_INCLUDEDIR}/polyak)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/PolyakEnv)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(doc_dir ${CMAKE_INSTALL_DATAROOTDIR}/doc/polyak)

configure_file(actor/envs/env.h ${CMAKE_BINARY_DIR}/${header_dir}/env.h COPYONLY)
configure_file(cmake/PolyakEnvConfig.cmake
               ${CMAKE_BINARY_DIR}/${package_dir}/PolyakEnvConfig.cmake COPYONLY)
configure_file(cmake/polyak-env.pc.in ${CMAKE_BINARY_DIR}/${pkgconfig_dir}/polyak-env.pc @ONLY)
write_basic_package_version_file(
  ${CMAKE_BINARY_DIR}/${package_dir}/PolyakEnvConfigVersion.cmake
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)

set(programs polyak polyak-learner polyak-actor polyak-relay polyak-plugin-check)
install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES actor/envs/env.h DESTINATION ${header_dir})
install(DIRECTORY ${CMAKE_BINARY_DIR}/${package_dir}/ DESTINATION ${package_dir})
install(FILES ${CMAKE_BINARY_DIR}/${pkgconfig_dir}/polyak-env.pc DESTINATION ${pkgconfig_dir})
install(FILES README.md LICENSE DESTINATION ${doc_dir})
install(DIRECTORY docs examples DESTINATION ${doc_dir})
install(DIRECTORY deploy DESTINATION ${doc_dir} USE_SOURCE_PERMISSIONS OPTIONAL
        PATTERN debian EXCLUDE REGEX "[.](key|pub)$|/[.]gitignore$" EXCLUDE) # no keys that were made there
install(FILES deploy/debian/README.md DESTINATION ${doc_dir}/deploy/debian OPTIONAL)

# The manual pages are what the programs print, so they can be made only where these run, and are not
# worth running them with sanitizers.
if(NOT CMAKE_CROSSCOMPILING AND NOT POLYAK_SANITIZE)
  set(man_dir ${CMAKE_BINARY_DIR}/share/man/man1)
  add_custom_command(OUTPUT ${man_dir}/polyak.1
    COMMAND sh ${CMAKE_SOURCE_DIR}/cmake/man_pages.sh ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${man_dir}
    DEPENDS cmake/man_pages.sh ${programs} VERBATIM)
  add_custom_target(man_pages ALL DEPENDS ${man_dir}/polyak.1)
  install(DIRECTORY ${man_dir}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

# The prefix is known when it is installed.
file(GLOB units RELATIVE ${CMAKE_SOURCE_DIR}/deploy/systemd CONFIGURE_DEPENDS
     deploy/systemd/*.service deploy/systemd/*.target)
install(CODE "
  set(directory \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/systemd/system\")
  foreach(unit ${units})
    file(READ \"${CMAKE_SOURCE_DIR}/deploy/systemd/\${unit}\" text)
    string(REPLACE /usr/bin/ \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/\" text \"\${text}\")
    message(STATUS \"Installing: \${directory}/\${unit}\")
    file(WRITE \"\${directory}/\${unit}\" \"\${text}\")
    file(CHMOD \"\${directory}/\${unit}\" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
    list(APPEND CMAKE_INSTALL_MANIFEST_FILES
         \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/systemd/system/\${unit}\")
  endforeach()")
