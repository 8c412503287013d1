# For authors of environment plugins. find_package(PolyakEnv) gives
#
#   polyak_add_env(NAME SOURCE...)   builds NAME.so for `polyak train --env ./NAME.so`
#   Polyak::env                      the include directory of <polyak/env.h> alone
get_filename_component(_polyak_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET Polyak::env)
  add_library(Polyak::env INTERFACE IMPORTED)
  set_target_properties(Polyak::env PROPERTIES
                        INTERFACE_INCLUDE_DIRECTORIES "${_polyak_prefix}/include")
endif()
unset(_polyak_prefix)

function(polyak_add_env name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE Polyak::env)
  # Only polyak_env_api is seen from outside, so plugins do not get into each other's way.
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX .so C_VISIBILITY_PRESET hidden
                        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endfunction()
