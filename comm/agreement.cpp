// Outcomes of all ranks, exchanged as bytes: a kind, then the result or the message.
#include "comm/agreement.hpp"

#include <fmt/format.h>

#include "weft/error.hpp"

namespace weft {
namespace {

enum class Outcome : std::uint8_t { done, user, system, internal };

std::vector<std::byte> tagged(Outcome kind, std::span<const std::byte> content) {
  std::vector<std::byte> bytes;
  bytes.reserve(content.size() + 1);
  bytes.push_back(static_cast<std::byte>(kind));
  for (const std::byte byte : content) bytes.push_back(byte);
  return bytes;
}

std::vector<std::byte> failure(Outcome kind, std::string_view message) {
  return tagged(kind, std::as_bytes(std::span(message.data(), message.size())));
}

std::vector<std::byte> outcome_of(const std::function<std::vector<std::byte>()>& work) {
  try {
    return tagged(Outcome::done, work());
  } catch (const UserError& error) {
    return failure(Outcome::user, error.what());
  } catch (const SystemError& error) {
    return failure(Outcome::system, error.what());
  } catch (const std::bad_alloc&) {
    return failure(Outcome::system, "out of memory");
  } catch (const std::exception& error) {
    return failure(Outcome::internal, error.what());
  }
}

/// Throws when `bytes` are a failure of `rank`; otherwise the result.
std::vector<std::byte> result_of(std::vector<std::byte> bytes, int rank, int size) {
  check_internal(!bytes.empty(), "an outcome without a kind");
  const auto kind = static_cast<Outcome>(bytes.front());
  bytes.erase(bytes.begin());
  if (kind == Outcome::done) return bytes;
  std::string message(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (size > 1) message = fmt::format("rank {}: {}", rank, message);
  if (kind == Outcome::user) throw UserError(message);
  if (kind == Outcome::system) throw SystemError(message);
  throw InternalError(message);
}

}  // namespace

std::vector<std::vector<std::byte>> together(Communicator& comm, std::string_view what,
                                             const std::function<std::vector<std::byte>()>& work) {
  auto outcomes = gather_bytes(comm, outcome_of(work), what);
  for (std::size_t rank = 0; rank < outcomes.size(); ++rank)
    outcomes[rank] = result_of(std::move(outcomes[rank]), static_cast<int>(rank), comm.size());
  return outcomes;
}

std::vector<std::byte> on_rank_0(Communicator& comm, std::string_view what,
                                 const std::function<std::vector<std::byte>()>& work) {
  std::vector<std::byte> outcome;
  if (comm.rank() == 0) outcome = outcome_of(work);
  return result_of(broadcast_bytes(comm, outcome, 0, what), 0, comm.size());
}

}  // namespace weft
