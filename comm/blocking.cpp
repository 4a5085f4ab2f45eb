// Blocking conveniences, built on the non-blocking operations of any Communicator.
#include <algorithm>
#include <cstring>

#include "weft/communicator.hpp"

namespace weft {
namespace {

OperationLabel label(std::string_view what) {
  OperationLabel label{std::string(what), 0, 0};
  label.waits = true;
  return label;
}

}  // namespace

void barrier(Communicator& comm, std::string_view what) {
  std::byte token{1};
  comm.start_all_reduce(&token, &token, 1, DType::u8, ReduceKind::max, label(what))->wait();
}

// Lengths first, then everything padded to the longest: two rounds, whatever the number of ranks.
std::vector<std::vector<std::byte>> gather_bytes(Communicator& comm, std::span<const std::byte> mine,
                                                 std::string_view what) {
  const auto ranks = static_cast<std::size_t>(comm.size());
  const std::int64_t length = static_cast<std::int64_t>(mine.size());
  std::vector<std::int64_t> lengths(ranks);
  comm.start_all_gather(reinterpret_cast<const std::byte*>(&length), reinterpret_cast<std::byte*>(lengths.data()), 1,
                        DType::i64, label(what))
      ->wait();

  const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  const auto stride = static_cast<std::size_t>(longest);
  std::vector<std::byte> padded(stride), all(stride * ranks);
  std::copy(mine.begin(), mine.end(), padded.begin());
  comm.start_all_gather(padded.data(), all.data(), longest, DType::u8, label(what))->wait();

  std::vector<std::vector<std::byte>> result(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(r * stride);
    result[r].assign(begin, begin + lengths[r]);
  }
  return result;
}

std::vector<std::byte> broadcast_bytes(Communicator& comm, std::span<const std::byte> data, int root,
                                       std::string_view what) {
  std::int64_t length = static_cast<std::int64_t>(data.size());
  comm.start_broadcast(reinterpret_cast<std::byte*>(&length), sizeof length, root, label(what))->wait();
  std::vector<std::byte> result(static_cast<std::size_t>(length));
  if (comm.rank() == root) std::copy(data.begin(), data.end(), result.begin());
  comm.start_broadcast(result.data(), length, root, label(what))->wait();
  return result;
}

}  // namespace weft
