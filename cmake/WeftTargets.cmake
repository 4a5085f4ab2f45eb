# What every target of the project has in common, and the functions that make them.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(WEFT_CCACHE ccache)
if(WEFT_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${WEFT_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${WEFT_CCACHE})
endif()

# Warnings are errors in our own code; third-party headers are SYSTEM.
add_library(weft_options INTERFACE)
target_compile_options(weft_options INTERFACE -Wall -Wextra -Wnon-virtual-dtor -Woverloaded-virtual -ffp-contract=off)
# GCC's are errors; of clang, which the fuzzers alone need, they are not looked at.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_compile_options(weft_options INTERFACE -Wshadow -Wduplicated-cond -Werror)
endif()
# GCC 12 warns about std::string's own operator+ (its bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(weft_options INTERFACE -Wno-restrict)
endif()
target_include_directories(weft_options INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})

# Tests run with these variables, and their limits of time are multiplied.
# Threads that wait give their core up: tests share the cores, and spinning would cost most of the time.
set(WEFT_TEST_PATIENCE 1)
# Compiled kernels are kept in the build folder, not in that of whoever runs them.
set(WEFT_TEST_ENVIRONMENT OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive WEFT_CACHE=${CMAKE_BINARY_DIR}/test_cache)
if(WEFT_SANITIZE)
  include(WeftSanitizers)
endif()

# Sources of a library or test are compiled several at a time: half of a small file's compile time is its headers. Turn it off
# while working on one file again and again. So names of their own that sources of one target have must differ.
option(WEFT_UNITY "Compile several sources of a library or test together" ON)

# Sources with compile options of their own, or with SKIP_UNITY_BUILD_INCLUSION, are left out by CMake.
function(weft_unity name)
  if(WEFT_UNITY)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
  endif()
endfunction()

# weft_library(NAME SOURCES ... [DEPENDS ...] [USES ...])
# DEPENDS: Weft's own targets, visible to users of this one. USES: third-party libraries, private.
# Every library outside tests/ becomes part of the installed libweft (cmake/WeftInstall.cmake).
function(weft_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;USES" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPENDS} PRIVATE weft_options ${ARG_USES})
  # Not for programs and tests: in Boost.Program_options, nlohmann-json and gtest g++ 12 follows nulls that cannot be.
  target_compile_options(${name} PRIVATE -Wnull-dereference)
  weft_unity(${name})
  if(NOT CMAKE_CURRENT_SOURCE_DIR MATCHES "^${CMAKE_SOURCE_DIR}/tests/")
    set_property(GLOBAL APPEND PROPERTY WEFT_LIBRARIES ${name})
    set_property(GLOBAL APPEND PROPERTY WEFT_LIBRARY_USES ${ARG_USES})
  endif()
endfunction()

# weft_test_limits(NAME SECONDS): what every CTest entry runs with. SECONDS are those of a build without sanitizers.
function(weft_test_limits name seconds)
  math(EXPR seconds "${seconds} * ${WEFT_TEST_PATIENCE}")
  set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds} ENVIRONMENT "${WEFT_TEST_ENVIRONMENT}")
endfunction()

# weft_test(NAME SOURCES ... DEPENDS ... [RANKS N...] [TIMEOUT SECONDS])
# A GoogleTest program and its CTest entry; with RANKS it runs under mpirun on so many ranks of this machine, and with
# several of them there is an entry NAME_N for each.
function(weft_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPENDS;RANKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE weft_options ${ARG_DEPENDS} fmt::fmt GTest::gtest GTest::gmock)
  target_compile_definitions(${name} PRIVATE WEFT_TEST_PATIENCE=${WEFT_TEST_PATIENCE})
  # A third of a clean build was spent on optimising tests.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  weft_unity(${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(NOT ARG_RANKS)
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name})
    set(entries ${name})
  endif()
  list(LENGTH ARG_RANKS counts)
  foreach(ranks IN LISTS ARG_RANKS)
    set(entry ${name})
    if(counts GREATER 1)
      set(entry ${name}_${ranks})
    endif()
    add_test(NAME ${entry} COMMAND ${CMAKE_SOURCE_DIR}/tests/mpirun.sh ${ranks} $<TARGET_FILE:${name}>)
    set_tests_properties(${entry} PROPERTIES PROCESSORS ${ranks})
    list(APPEND entries ${entry})
  endforeach()
  foreach(entry IN LISTS entries)
    weft_test_limits(${entry} ${ARG_TIMEOUT})
  endforeach()
endfunction()
