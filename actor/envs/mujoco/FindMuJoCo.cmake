# Finds MuJoCo: POLYAK_MUJOCO_ROOT (the folder "mujoco" of its Python wheel, or an install prefix),
# else the wheel in the tree's .venv, else the system. Sets
#   MuJoCo_FOUND
#   MuJoCo_LIBRARY      the shared library
#   MuJoCo_INCLUDE_DIR  the folder that holds mujoco/mujoco.h
#   MuJoCo_VERSION
#   MuJoCo_ASSETS_DIR   Gymnasium's models in the same site-packages; empty when there are none
# and makes the target MuJoCo::MuJoCo.
set(POLYAK_MUJOCO_ROOT "" CACHE PATH "MuJoCo: the wheel's folder \"mujoco\", or an install prefix")

if(POLYAK_MUJOCO_ROOT)
  set(_roots ${POLYAK_MUJOCO_ROOT})
else()
  file(GLOB _roots ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/mujoco)
  list(APPEND _roots /usr/local /usr)
endif()

set(MuJoCo_LIBRARY "")
set(MuJoCo_INCLUDE_DIR "")
foreach(_root ${_roots})
  file(GLOB _libraries ${_root}/libmujoco.so ${_root}/libmujoco.so.* ${_root}/lib/libmujoco.so
       ${_root}/lib/libmujoco.so.* ${_root}/lib/${CMAKE_LIBRARY_ARCHITECTURE}/libmujoco.so)
  if(_libraries AND EXISTS ${_root}/include/mujoco/mujoco.h)
    list(GET _libraries 0 MuJoCo_LIBRARY)
    set(MuJoCo_INCLUDE_DIR ${_root}/include)
    file(GLOB MuJoCo_ASSETS_DIR ${_root}/../gymnasium/envs/mujoco/assets)
    break()
  endif()
endforeach()

set(MuJoCo_VERSION "")
if(MuJoCo_INCLUDE_DIR)
  file(STRINGS ${MuJoCo_INCLUDE_DIR}/mujoco/mujoco.h _line REGEX "^#define mjVERSION_HEADER ")
  string(REGEX MATCH "[0-9]+" _number "${_line}")
  if(_number GREATER 999999) # 3017000 is 3.17.0
    math(EXPR _major "${_number} / 1000000")
    math(EXPR _minor "${_number} / 1000 % 1000")
    math(EXPR _patch "${_number} % 1000")
    set(MuJoCo_VERSION ${_major}.${_minor}.${_patch})
  endif()
endif()

include(FindPackageHandleStandardArgs)
set(FIND_PACKAGE_MESSAGE_DETAILS_MuJoCo "" CACHE INTERNAL "")
find_package_handle_standard_args(MuJoCo REQUIRED_VARS MuJoCo_LIBRARY MuJoCo_INCLUDE_DIR
                                  VERSION_VAR MuJoCo_VERSION)
if(MuJoCo_FOUND AND NOT TARGET MuJoCo::MuJoCo)
  add_library(MuJoCo::MuJoCo SHARED IMPORTED GLOBAL)
  set_target_properties(MuJoCo::MuJoCo PROPERTIES IMPORTED_LOCATION ${MuJoCo_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${MuJoCo_INCLUDE_DIR})
endif()
