// A small training state to save and load, and helpers to compare and to damage files.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "src/checkpoint/load.hpp"
#include "src/checkpoint/save.hpp"
#include "weft/error.hpp"

namespace weft::test {

/// Values that depend on every bit of name and index.
inline Tensor pattern(DType type, const Shape& shape, std::uint64_t salt) {
  Tensor tensor(type, shape);
  std::byte* bytes = tensor.mutable_data();
  for (std::size_t i = 0; i < tensor.bytes(); ++i)
    bytes[i] = type == DType::boolean ? static_cast<std::byte>((i + salt) % 2)
                                      : static_cast<std::byte>((i * 2654435761u + salt * 40503u) >> 11);
  return tensor;
}

/// All element types, an empty tensor, a scalar, names that must be escaped; `salt` varies the values.
inline StateSource sample_states(std::uint64_t salt = 1) {
  StateSource states;
  states.push_back(state_item("/layer1/conv1/weight", StateRole::parameter, pattern(DType::f32, {8, 3, 3, 3}, salt)));
  states.push_back(state_item("fc.bias", StateRole::parameter, pattern(DType::f32, {10}, salt + 1)));
  states.push_back(state_item("bn.running_mean", StateRole::statistic, pattern(DType::f64, {7}, salt + 2)));
  states.push_back(state_item("optimizer/momentum//layer1/conv1/weight", StateRole::other,
                              pattern(DType::f32, {8, 3, 3, 3}, salt + 3)));
  states.push_back(state_item("optimizer/momentum/fc.bias", StateRole::other, pattern(DType::f32, {10}, salt + 4)));
  states.push_back(state_item("accumulate/fc.bias", StateRole::other, pattern(DType::f32, {10}, salt + 5)));
  states.push_back(state_item("step", StateRole::other, Tensor::scalar<std::int64_t>(7)));
  states.push_back(state_item("empty", StateRole::statistic, Tensor(DType::f32, {0, 4})));
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto type = static_cast<DType>(i);
    states.push_back(state_item(std::string("types/") + std::string(name_of(type)), StateRole::parameter,
                                pattern(type, {3, 5}, salt + static_cast<std::uint64_t>(10 + i))));
  }
  return states;
}

inline CheckpointMeta sample_meta(std::int64_t step) {
  CheckpointMeta meta;
  meta.step = step;
  meta.epoch = 2;
  meta.batch_in_epoch = 17;
  meta.samples_seen = step * 128;
  meta.seed = -5;
  meta.job = "name: größe\noptimizer: {name: sgd}\n";
  meta.plan = R"({"mesh": "data=4"})";
  meta.model_fingerprint = "00112233aabbccdd";
  meta.weft_version = "0.1.0";
  return meta;
}

/// The state's bytes as its item gives them.
inline Tensor value_of(const StateItem& item) {
  Tensor tensor(item.type.dtype, item.type.shape);
  if (tensor.bytes() != 0) item.read(0, {tensor.mutable_data(), tensor.bytes()});
  return tensor;
}

inline void expect_holds(const LoadedCheckpoint& loaded, const StateSource& states, const CheckpointMeta& meta) {
  EXPECT_EQ(loaded.meta, meta);
  ASSERT_EQ(loaded.states.size(), states.size());
  EXPECT_NO_THROW(check_fits(loaded, states));
  for (const StateItem& item : states) {
    const auto found = std::find_if(loaded.states.begin(), loaded.states.end(),
                                    [&](const LoadedState& state) { return state.name == item.name; });
    ASSERT_NE(found, loaded.states.end()) << item.name;
    EXPECT_EQ(found->role, item.role) << item.name;
    EXPECT_TRUE(found->value.identical(value_of(item))) << item.name;
  }
}

inline std::string read_bytes(const std::filesystem::path& path) {
  PosixFileSystem files;
  return read_whole_file(files, path);
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  PosixFileSystem files;
  files.open(path, OpenMode::create)->write_at(std::as_bytes(std::span(bytes)), 0);
}

/// The message of the `Kind` that `action` throws.
template <class Kind>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Kind& error) {
    return error.what();
  } catch (const Error& error) {
    return std::string("an error of another kind: ") + error.what();
  }
  return "no error";
}

}  // namespace weft::test
