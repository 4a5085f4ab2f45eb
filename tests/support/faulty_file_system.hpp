// A file system that fails when told: on the n-th call, when so many bytes are written, by losing what was not synced.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/files/file_system.hpp"
#include "weft/error.hpp"

namespace weft::testing {

/// The machine went down. Not an Error: nothing may handle it.
struct Crash {};

/// Which call fails, and how. Calls that may fail are counted from 0.
struct Fault {
  enum class Kind : std::uint8_t {
    none,
    error,       ///< the call throws SystemError with `cause`
    crash,       ///< this call and all later ones throw Crash; bytes not synced are lost
    short_write  ///< the call, when a write, keeps only half of its bytes and says nothing
  };
  Kind kind = Kind::none;
  std::int64_t call = 0;
  int cause = 0;
  std::optional<std::int64_t> capacity;  ///< bytes that may be written before ENOSPC
};

class FaultyFileSystem final : public FileSystem {
 public:
  explicit FaultyFileSystem(Fault fault = {}) : state_(std::make_shared<State>()) { state_->fault = fault; }

  /// The calls so far, as "write step-1.h5".
  const std::vector<std::string>& calls() const { return state_->calls; }

  std::unique_ptr<File> open(const std::filesystem::path& path, OpenMode mode) override {
    state_->enter("open", path);
    return std::make_unique<FaultyFile>(state_, real_.open(path, mode), path);
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    state_->enter("rename", from);
    real_.rename(from, to);
  }
  void remove(const std::filesystem::path& path) override {
    state_->enter("remove", path);
    real_.remove(path);
  }
  void make_folders(const std::filesystem::path& path) override {
    state_->enter("make_folders", path);
    real_.make_folders(path);
  }
  void sync_folder(const std::filesystem::path& path) override {
    state_->enter("sync_folder", path);
    real_.sync_folder(path);
  }
  bool exists(const std::filesystem::path& path) const override { return real_.exists(path); }
  std::vector<std::string> list(const std::filesystem::path& folder) const override { return real_.list(folder); }

 private:
  struct State {
    Fault fault;
    bool down = false;
    std::int64_t written = 0;
    std::vector<std::string> calls;
    std::vector<std::function<void()>> losses;  ///< undo what is not synced

    /// True when this call must do only half.
    bool enter(const std::string& what, const std::filesystem::path& path) {
      if (down) throw Crash{};
      const auto index = static_cast<std::int64_t>(calls.size());
      calls.push_back(what + " " + path.filename().string());
      if (index != fault.call) return false;
      if (fault.kind == Fault::Kind::error)
        throw SystemError::from_errno("cannot " + what + " '" + path.string() + "'", fault.cause);
      if (fault.kind == Fault::Kind::crash) {
        for (const auto& lose : losses) lose();
        down = true;
        throw Crash{};
      }
      return fault.kind == Fault::Kind::short_write;
    }
  };

  class FaultyFile final : public File {
   public:
    FaultyFile(std::shared_ptr<State> state, std::unique_ptr<File> file, std::filesystem::path path)
        : state_(std::move(state)), file_(std::move(file)), path_(std::move(path)) {}

    void write_at(std::span<const std::byte> bytes, std::int64_t offset) override {
      const bool half = state_->enter("write", path_);
      if (half) bytes = bytes.first(bytes.size() / 2);
      if (const auto capacity = state_->fault.capacity) {
        const auto room = static_cast<std::size_t>(std::max<std::int64_t>(*capacity - state_->written, 0));
        if (bytes.size() > room) {
          file_->write_at(bytes.first(room), offset);
          state_->written += static_cast<std::int64_t>(room);
          throw SystemError::from_errno("cannot write '" + path_.string() + "'", 28);
        }
      }
      state_->written += static_cast<std::int64_t>(bytes.size());
      file_->write_at(bytes, offset);
      state_->losses.emplace_back([file = file_, offset, size = bytes.size(), synced = synced_] {
        if (!*synced) file->write_at(std::vector<std::byte>(size, std::byte{0x5a}), offset);
      });
    }
    void read_at(std::span<std::byte> to, std::int64_t offset) const override {
      state_->enter("read", path_);
      file_->read_at(to, offset);
    }
    std::int64_t size() const override { return file_->size(); }
    void reserve(std::int64_t bytes) override {
      state_->enter("reserve", path_);
      file_->reserve(bytes);
    }
    void truncate(std::int64_t bytes) override {
      state_->enter("truncate", path_);
      file_->truncate(bytes);
    }
    void sync() override {
      state_->enter("sync", path_);
      file_->sync();
      *synced_ = true;
      synced_ = std::make_shared<bool>(false);
    }

   private:
    std::shared_ptr<State> state_;
    std::shared_ptr<File> file_;
    std::filesystem::path path_;
    std::shared_ptr<bool> synced_ = std::make_shared<bool>(false);
  };

  std::shared_ptr<State> state_;
  PosixFileSystem real_;
};

}  // namespace weft::testing
