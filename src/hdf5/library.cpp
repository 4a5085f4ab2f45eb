// The lock around HDF5 and the translation of its error stack.
#include <fmt/format.h>
#include <hdf5.h>

#include <vector>

#include "src/hdf5/handle.hpp"
#include "weft/error.hpp"

namespace weft::hdf5 {

namespace {

// One per process because the library's state is: a wrapper object cannot own what every file shares.
std::recursive_mutex& library_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

// HDF5 calls back once per entry of its error stack, innermost first.
herr_t collect(unsigned, const H5E_error2_t* entry, void* client) noexcept {
  try {
    if (entry->desc != nullptr && *entry->desc != '\0')
      static_cast<std::vector<std::string>*>(client)->emplace_back(entry->desc);
    return 0;
  } catch (...) {
    return -1;  // no exception may pass through C
  }
}

}  // namespace

Lock::Lock() : lock_(library_mutex()) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);
}

void Handle::reset() noexcept {
  if (id_ < 0) return;
  try {
    const Lock lock;
    close_(id_);
  } catch (...) {  // locking failed: leaking one identifier is the lesser harm
  }
  id_ = -1;
}

void fail(std::string_view file, std::string_view what, bool writing) {
  std::vector<std::string> reasons;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &reasons);
  H5Eclear2(H5E_DEFAULT);
  bool from_system = writing;
  std::string reason = reasons.empty() ? "the HDF5 library gives no reason" : reasons.front();
  for (const std::string& r : reasons)
    if (r.find("errno = ") != std::string::npos) {
      from_system = true;
      reason = r;
    }
  // The outermost entries name the API's step; one of them tells what the innermost reason was about.
  if (reasons.size() > 2) reason += fmt::format(" ({})", reasons[reasons.size() / 2]);
  const std::string message = fmt::format("{}: {}: {}", file, what, reason);
  if (from_system) throw SystemError(message);
  throw UserError(message + "\n  The file is damaged or was not written as Weft reads it.");
}

}  // namespace weft::hdf5
