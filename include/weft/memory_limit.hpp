// How much memory this process may take: what the machine has, within the limits of its control groups.
//
// Batch systems and containers give a job a part of a node through control groups (version 1 or 2, often both mounted,
// often nested: a job's group within a user's). What goes past the smallest limit on the way up is killed, so plans go
// by that limit and not by the machine's memory.
#pragma once

#include <cstdint>
#include <filesystem>

namespace weft {

/// Bytes that this process may hold at most: the machine's memory, or the smallest limit of its control groups. The
/// same however much is in use. `root` holds proc/ and sys/; what cannot be read there sets no limit.
std::int64_t memory_limit(const std::filesystem::path& root = "/");

/// Bytes that this process may still take: what the machine has available, or what the tightest of its control groups
/// leaves beside what it uses.
std::int64_t available_memory(const std::filesystem::path& root = "/");

}  // namespace weft
