// The file driver below HDF5: POSIX reads and writes whose failures the library does not get to see. Used inside
// src/hdf5 only.
//
// HDF5 cannot close a file whose last writes fail (a full disk): it keeps the broken file and crashes at exit. This
// driver therefore remembers the first failed write, answers "done" from then on, and lets the owner of the
// WriteStatus report the errno after every step that writes.
#pragma once

#include <string>

#include "src/hdf5/handle.hpp"

namespace weft::hdf5 {

/// The first failure of a write to one file; 0: none.
struct WriteStatus {
  int error = 0;

  /// Throws SystemError with file and errno if a write has failed.
  void check(const std::string& file, const std::string& what) const;
};

/// Makes files opened with `access_properties` use the driver and report to `status`, which must outlive them.
void use_posix_driver(Id access_properties, WriteStatus& status);

}  // namespace weft::hdf5
