# What `cmake --install BUILD --prefix DIR` puts where, and what authors of plugins build against.
#
#   bin/            the programs
#   lib/polyak/     env_mujoco.so, where it was built
#   include/polyak/ env.h, the interface of a plugin
#   lib/cmake/PolyakEnv, lib/pkgconfig   how a plugin finds that header
#   share/doc/polyak                     documents and examples, as they lie in the tree
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

install(TARGETS polyak polyak-learner polyak-actor polyak-relay polyak-plugin-check
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES actor/envs/env.h DESTINATION ${header_dir})
install(DIRECTORY ${CMAKE_BINARY_DIR}/${package_dir}/ DESTINATION ${package_dir})
install(FILES ${CMAKE_BINARY_DIR}/${pkgconfig_dir}/polyak-env.pc DESTINATION ${pkgconfig_dir})
install(FILES README.md LICENSE DESTINATION ${doc_dir})
install(DIRECTORY docs examples DESTINATION ${doc_dir})
