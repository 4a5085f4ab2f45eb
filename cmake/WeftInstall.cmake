# `cmake --install`: the executable, one shared library made of all of Weft's targets, its headers, and the package
# files with which `find_package(Weft)` gives Weft::weft.
#
# The library is shared so that a user's program links one file and needs none of the third-party packages to build.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(weft_libraries GLOBAL PROPERTY WEFT_LIBRARIES)
get_property(weft_uses GLOBAL PROPERTY WEFT_LIBRARY_USES)
list(REMOVE_DUPLICATES weft_uses)

# All objects go in: what is called, programs outside decide.
add_library(weft_shared SHARED)
foreach(library IN LISTS weft_libraries)
  target_sources(weft_shared PRIVATE $<TARGET_OBJECTS:${library}>)
endforeach()
set_target_properties(weft_shared PROPERTIES
  OUTPUT_NAME weft EXPORT_NAME weft VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE CXX)
target_link_libraries(weft_shared PRIVATE weft_options ${weft_uses})
if(NOT WEFT_SANITIZE)
  target_link_options(weft_shared PRIVATE -Wl,--no-undefined)
endif()
target_compile_features(weft_shared INTERFACE cxx_std_20)

# Headers keep the repository's folders, as they include each other that way.
set(weft_headers ${CMAKE_INSTALL_INCLUDEDIR}/weft-${PROJECT_VERSION})
target_include_directories(weft_shared INTERFACE $<INSTALL_INTERFACE:${weft_headers}>)
install(DIRECTORY include/weft DESTINATION ${weft_headers} FILES_MATCHING PATTERN "*.hpp")
install(DIRECTORY graph kernels comm scheduler src DESTINATION ${weft_headers} FILES_MATCHING PATTERN "*.hpp"
  PATTERN cli EXCLUDE)

install(TARGETS weft RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS weft_shared EXPORT WeftTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

set(weft_package ${CMAKE_INSTALL_LIBDIR}/cmake/Weft)
install(EXPORT WeftTargets NAMESPACE Weft:: DESTINATION ${weft_package})
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/WeftConfig.cmake
  CONTENT "include(\"\${CMAKE_CURRENT_LIST_DIR}/WeftTargets.cmake\")\n")
write_basic_package_version_file(${CMAKE_BINARY_DIR}/WeftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/WeftConfig.cmake ${CMAKE_BINARY_DIR}/WeftConfigVersion.cmake
  DESTINATION ${weft_package})
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/weft)
