// A world of ranks that are threads of one process: any number of them, for tests of what ranks do together.
//
// Sends are buffered; receives, and collectives, wait for at most a minute.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#include "weft/communicator.hpp"
#include "weft/error.hpp"

namespace weft::testing {

class ThreadWorld {
 public:
  explicit ThreadWorld(int ranks) : ranks_(ranks) {}

  /// Runs `work` on every rank; rethrows what the lowest that failed threw.
  void run(const std::function<void(Communicator&)>& work) {
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(ranks_));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks_; ++rank)
      threads.emplace_back([&, rank] {
        try {
          Rank comm(*this, rank);
          work(comm);
        } catch (...) {
          failures[static_cast<std::size_t>(rank)] = std::current_exception();
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures)
      if (failure) std::rethrow_exception(failure);
  }

  std::int64_t bytes_sent() const { return bytes_sent_; }  ///< by start_send, on all ranks

 private:
  enum class Channel : std::uint8_t { messages, collectives };
  using Key = std::tuple<Channel, int, int>;  // from, to

  void post(Key key, const std::byte* data, std::int64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (std::get<0>(key) == Channel::messages) bytes_sent_ += bytes;
    mail_[key].emplace_back(data, data + bytes);
    arrived_.notify_all();
  }
  void take(Key key, std::byte* to, std::int64_t bytes) {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::minutes(1), [&] { return !mail_[key].empty(); }))
      throw SystemError("a rank waited for a minute");
    check_internal(std::ssize(mail_[key].front()) == bytes, "a message of another length");
    if (bytes != 0) std::memcpy(to, mail_[key].front().data(), static_cast<std::size_t>(bytes));
    mail_[key].pop_front();
  }

  class Finished final : public Request {
   public:
    bool done() override { return true; }
    void wait() override {}
  };
  class Receiving final : public Request {
   public:
    Receiving(ThreadWorld& world, Key key, std::byte* to, std::int64_t bytes)
        : world_(world), key_(key), to_(to), bytes_(bytes) {}
    bool done() override { return bytes_ < 0; }
    void wait() override {
      if (bytes_ >= 0) world_.take(key_, to_, bytes_);
      bytes_ = -1;
    }

   private:
    ThreadWorld& world_;
    Key key_;
    std::byte* to_;
    std::int64_t bytes_;
  };

  class Rank final : public Communicator {
   public:
    Rank(ThreadWorld& world, int rank) : world_(world), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return world_.ranks_; }
    int node_rank() const override { return rank_; }
    int node_size() const override { return world_.ranks_; }
    bool accepts(CollectiveKind, MemorySpace, DType, std::string*) const override { return true; }

    std::unique_ptr<Request> start_all_reduce(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                              ReduceKind kind, OperationLabel label) override {
      check_internal(size_of(type) == 1 || type == DType::u32, "not needed so far: " + label.name);
      check_internal(kind == ReduceKind::max, "not needed so far: " + label.name);
      const auto bytes = count * static_cast<std::int64_t>(size_of(type));
      std::vector<std::byte> all(static_cast<std::size_t>(bytes * size()));
      start_all_gather(from, all.data(), count, type, label)->wait();
      std::memcpy(to, all.data(), static_cast<std::size_t>(bytes));
      for (int r = 1; r < size(); ++r)
        for (std::int64_t i = 0; i < count; ++i)
          if (type == DType::u32) {
            std::uint32_t mine = 0, theirs = 0;
            std::memcpy(&mine, to + i * 4, 4);
            std::memcpy(&theirs, all.data() + r * bytes + i * 4, 4);
            mine = std::max(mine, theirs);
            std::memcpy(to + i * 4, &mine, 4);
          } else {
            to[i] = std::max(to[i], all[static_cast<std::size_t>(r * bytes + i)]);
          }
      return std::make_unique<Finished>();
    }
    std::unique_ptr<Request> start_all_gather(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                              OperationLabel) override {
      const auto bytes = count * static_cast<std::int64_t>(size_of(type));
      for (int r = 0; r < size(); ++r) world_.post({Channel::collectives, rank_, r}, from, bytes);
      for (int r = 0; r < size(); ++r) world_.take({Channel::collectives, r, rank_}, to + r * bytes, bytes);
      return std::make_unique<Finished>();
    }
    std::unique_ptr<Request> start_broadcast(std::byte* data, std::int64_t bytes, int root, OperationLabel) override {
      if (rank_ == root)
        for (int r = 0; r < size(); ++r) world_.post({Channel::collectives, root, r}, data, bytes);
      world_.take({Channel::collectives, root, rank_}, data, bytes);
      return std::make_unique<Finished>();
    }
    std::unique_ptr<Request> start_send(const std::byte* data, std::int64_t bytes, int to, OperationLabel) override {
      world_.post({Channel::messages, rank_, to}, data, bytes);
      return std::make_unique<Finished>();
    }
    std::unique_ptr<Request> start_receive(std::byte* data, std::int64_t bytes, int from, OperationLabel) override {
      return std::make_unique<Receiving>(world_, Key{Channel::messages, from, rank_}, data, bytes);
    }
    std::unique_ptr<Request> start_reduce_scatter(const std::byte*, std::byte*, std::int64_t, DType, ReduceKind,
                                                  OperationLabel label) override {
      throw InternalError("not needed so far: " + label.name);
    }
    std::unique_ptr<Request> start_all_to_all(const std::byte*, std::byte*, std::int64_t, DType,
                                              OperationLabel label) override {
      throw InternalError("not needed so far: " + label.name);
    }
    std::unique_ptr<Communicator> split(int, int) override { throw InternalError("not needed so far: split"); }

   private:
    ThreadWorld& world_;
    int rank_;
  };

  int ranks_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::map<Key, std::deque<std::vector<std::byte>>> mail_;
  std::int64_t bytes_sent_ = 0;
};

}  // namespace weft::testing
