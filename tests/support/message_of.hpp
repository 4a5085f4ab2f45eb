// The message of an expected error, for tests that assert on what users read.
#pragma once
#include <gtest/gtest.h>

#include <exception>
#include <string>

#include "weft/error.hpp"

namespace weft::testing {

/// What the error of kind `Kind` that `action` throws says. A test failure where it throws none, or another.
template <class Kind = UserError, class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const Kind& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "an error of another kind: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace weft::testing
