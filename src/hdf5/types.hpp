// Weft's element types as HDF5 types, and back. Used inside src/hdf5 only.
//
// In files: little-endian integers and IEEE floats; f16 is IEEE binary16 and bf16 a custom 16-bit float (8 exponent
// bits); bool is an enumeration of FALSE and TRUE over one byte, as h5py writes it.
#pragma once

#include <optional>

#include "src/hdf5/handle.hpp"
#include "weft/dtype.hpp"

namespace weft::hdf5 {

/// A new type identifier for `type` as files hold it; on a little-endian machine also how memory holds it.
Handle make_type(DType type);

struct StoredType {
  DType type;
  bool native = true;  ///< the stored bytes are the machine's own representation
};

/// What a stored type is in Weft's terms; nothing where Weft has no such type (strings, compounds, …).
std::optional<StoredType> stored_type(Id type);

/// "string", "compound", … for messages.
const char* class_name(Id type);

}  // namespace weft::hdf5
