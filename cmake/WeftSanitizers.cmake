# What a build with WEFT_SANITIZE compiles with, and what its tests run with. Only such a build reads this file.

# -O1 and -g1 compile in less than half the time of -O2 and -g, and reports name functions and lines just as well.
target_compile_options(weft_options INTERFACE -fsanitize=${WEFT_SANITIZE} -O1 -g1 -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_compile_options(weft_options INTERFACE -Wno-error=maybe-uninitialized -Wno-error=null-dereference)
endif()
target_link_options(weft_options INTERFACE -fsanitize=${WEFT_SANITIZE})

# Tests get the options of all sanitizers; mpirun and every program that a test starts inherit them. A finding ends the
# program with a code that no part of Weft uses, so that a test that waits for a failure does not take it for one.
# use_sigaltstack=0: MPI_Init of a program started without mpirun leaves a signal stack of its own on its thread, which
# AddressSanitizer would take for the one that it made, and unmap.
set(weft_suppressions ${CMAKE_SOURCE_DIR}/tests/support)
list(APPEND WEFT_TEST_ENVIRONMENT
  "ASAN_OPTIONS=exitcode=86:detect_stack_use_after_return=1:strict_string_checks=1:use_sigaltstack=0"
  "LSAN_OPTIONS=exitcode=86:suppressions=${weft_suppressions}/lsan.supp:print_suppressions=0"
  "UBSAN_OPTIONS=exitcode=86:halt_on_error=1:print_stacktrace=1"
  "TSAN_OPTIONS=exitcode=86:suppressions=${weft_suppressions}/tsan.supp:print_suppressions=0:second_deadlock_stack=1")

# How much longer a test may take; tests/support/patience.hpp hands it to those that set limits of their own.
if(WEFT_SANITIZE MATCHES thread)
  set(WEFT_TEST_PATIENCE 8)
else()
  set(WEFT_TEST_PATIENCE 4)
endif()
