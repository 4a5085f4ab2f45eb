// Attributes of groups and datasets: strings, integers, floats, and lists of them.
//
// Strings are written with a fixed length (variable ones would live in HDF5's global heap, which has no checksum);
// both kinds are read.
#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <cstring>

#include "src/hdf5/hdf5_file.hpp"
#include "src/hdf5/posix_driver.hpp"
#include "weft/error.hpp"

namespace weft::hdf5 {

namespace {

constexpr std::size_t kMaxAttributeBytes = std::size_t{64} << 20;
constexpr hsize_t kMaxAttributes = 100'000;

Handle string_type(std::size_t size) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  const bool made = type && H5Tset_size(type.id(), size) >= 0 && H5Tset_strpad(type.id(), H5T_STR_NULLPAD) >= 0 &&
                    H5Tset_cset(type.id(), H5T_CSET_UTF8) >= 0;
  check_internal(made, "HDF5 refuses a string type");
  return type;
}

struct Encoded {
  Handle file_type, memory_type;
  bool scalar = true;
  hsize_t count = 1;
  std::vector<std::byte> bytes;
};

void append(std::vector<std::byte>& out, const void* data, std::size_t size) {
  const auto* first = static_cast<const std::byte*>(data);
  out.insert(out.end(), first, first + size);
}

Encoded encode_strings(std::span<const std::string> values, bool scalar) {
  std::size_t width = 1;
  for (const std::string& s : values) width = std::max(width, s.size());
  Encoded e{string_type(width), string_type(width), scalar, values.size(), {}};
  for (const std::string& s : values) {
    append(e.bytes, s.data(), s.size());
    e.bytes.resize(e.bytes.size() + width - s.size());
  }
  return e;
}

template <class T>
Encoded encode_numbers(std::span<const T> values, bool scalar) {
  const bool integer = std::is_same_v<T, std::int64_t>;
  Encoded e{Handle(H5Tcopy(integer ? H5T_STD_I64LE : H5T_IEEE_F64LE), H5Tclose),
            Handle(H5Tcopy(integer ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE), H5Tclose),
            scalar,
            values.size(),
            {}};
  append(e.bytes, values.data(), values.size() * sizeof(T));
  return e;
}

Encoded encode(const Attribute& value) {
  return std::visit(
      []<class T>(const T& v) {
        if constexpr (std::is_same_v<T, std::string>)
          return encode_strings(std::span<const std::string>(&v, 1), true);
        else if constexpr (std::is_same_v<T, std::vector<std::string>>)
          return encode_strings(std::span<const std::string>(v), false);
        else if constexpr (std::is_arithmetic_v<T>)
          return encode_numbers(std::span<const T>(&v, 1), true);
        else
          return encode_numbers(std::span<const typename T::value_type>(v), false);
      },
      value);
}

// One attribute being read, and where it is from, for messages.
struct Reading {
  const std::string& file;
  std::string what;
  Handle attribute, type, space;
  bool scalar = true;
  std::size_t count = 1;
};

Reading open_attribute(Id object, const std::string& file, const std::string& owner, const std::string& name) {
  Reading r{file,
            fmt::format("cannot read attribute '{}' of '{}'", name, owner),
            Handle(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose),
            {},
            {}};
  check(r.attribute.id(), file, r.what);
  r.type = Handle(H5Aget_type(r.attribute.id()), H5Tclose);
  check(r.type.id(), file, r.what);
  r.space = Handle(H5Aget_space(r.attribute.id()), H5Sclose);
  check(r.space.id(), file, r.what);
  r.scalar = H5Sget_simple_extent_type(r.space.id()) == H5S_SCALAR;
  const hssize_t count = check(H5Sget_simple_extent_npoints(r.space.id()), file, r.what);
  r.count = static_cast<std::size_t>(count);
  const std::size_t size = std::max<std::size_t>(H5Tget_size(r.type.id()), 1);
  if (r.count > kMaxAttributeBytes / size)
    throw UserError(fmt::format("{}: {}: it claims {} values of {} bytes, more than {} MiB", file, r.what, r.count,
                                size, kMaxAttributeBytes >> 20));
  return r;
}

template <class T>
std::vector<T> read_numbers(const Reading& r, Id memory_type) {
  std::vector<T> values(r.count);
  if (r.count > 0) check(H5Aread(r.attribute.id(), memory_type, values.data()), r.file, r.what);
  return values;
}

std::vector<std::string> read_fixed_strings(const Reading& r) {
  const std::size_t width = H5Tget_size(r.type.id());
  std::vector<char> bytes(width * r.count);
  if (!bytes.empty()) check(H5Aread(r.attribute.id(), r.type.id(), bytes.data()), r.file, r.what);
  std::vector<std::string> values;
  for (std::size_t i = 0; i < r.count; ++i) {
    const char* first = bytes.data() + i * width;
    values.emplace_back(first, std::find(first, first + width, '\0'));
  }
  return values;
}

std::vector<std::string> read_variable_strings(const Reading& r) {
  std::vector<char*> pointers(std::max<std::size_t>(r.count, 1), nullptr);
  if (r.count > 0) check(H5Aread(r.attribute.id(), r.type.id(), pointers.data()), r.file, r.what);
  std::vector<std::string> values;
  for (std::size_t i = 0; i < r.count; ++i) values.emplace_back(pointers[i] == nullptr ? "" : pointers[i]);
  H5Dvlen_reclaim(r.type.id(), r.space.id(), H5P_DEFAULT, pointers.data());
  return values;
}

template <class T>
Attribute as_attribute(std::vector<T> values, bool scalar) {
  if (scalar && values.size() == 1) return std::move(values.front());
  return values;
}

std::optional<Attribute> decode(const Reading& r) {
  switch (H5Tget_class(r.type.id())) {
    case H5T_STRING:
      return as_attribute(H5Tis_variable_str(r.type.id()) > 0 ? read_variable_strings(r) : read_fixed_strings(r),
                          r.scalar);
    case H5T_INTEGER: return as_attribute(read_numbers<std::int64_t>(r, H5T_NATIVE_INT64), r.scalar);
    case H5T_FLOAT: return as_attribute(read_numbers<double>(r, H5T_NATIVE_DOUBLE), r.scalar);
    default: return std::nullopt;
  }
}

herr_t add_name(hid_t, const char* name, const H5A_info_t*, void* client) noexcept {
  try {
    static_cast<std::vector<std::string>*>(client)->emplace_back(name);
    return 0;
  } catch (...) {
    return -1;
  }
}

}  // namespace

void File::set_attribute(const std::string& object, const std::string& name, const Attribute& value) {
  const Lock lock;
  const Handle owner = open_object(object);
  const Encoded e = encode(value);
  const std::string what = fmt::format("cannot write attribute '{}' of '{}'", name, object);
  const Handle space(e.scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &e.count, nullptr), H5Sclose);
  check(space.id(), path_, what, true);
  const htri_t found = check(H5Aexists(owner.id(), name.c_str()), path_, what, true);
  if (found > 0) {
    // The same type and extent is rewritten in place, which needs no space.
    const Handle old(H5Aopen(owner.id(), name.c_str(), H5P_DEFAULT), H5Aclose);
    check(old.id(), path_, what);
    const Handle old_type(H5Aget_type(old.id()), H5Tclose);
    const Handle old_space(H5Aget_space(old.id()), H5Sclose);
    if (H5Tequal(old_type.id(), e.file_type.id()) > 0 && H5Sextent_equal(old_space.id(), space.id()) > 0) {
      check(H5Awrite(old.id(), e.memory_type.id(), e.bytes.data()), path_, what, true);
      status_->check(path_, what);
      return;
    }
    check(H5Adelete(owner.id(), name.c_str()), path_, what, true);
  }
  const Handle created(H5Acreate2(owner.id(), name.c_str(), e.file_type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT),
                       H5Aclose);
  check(created.id(), path_, what, true);
  if (e.count > 0) check(H5Awrite(created.id(), e.memory_type.id(), e.bytes.data()), path_, what, true);
  status_->check(path_, what);
}

std::optional<Attribute> File::attribute(const std::string& object, const std::string& name) const {
  const Lock lock;
  const Handle owner = open_object(object);
  const htri_t found = check(H5Aexists(owner.id(), name.c_str()), path_, fmt::format("cannot look up '{}'", name));
  if (found == 0) return std::nullopt;
  auto value = decode(open_attribute(owner.id(), path_, object, name));
  if (!value)
    throw UserError(fmt::format("{}: attribute '{}' of '{}' is neither text nor numbers", path_, name, object));
  return value;
}

std::map<std::string, Attribute> File::attributes(const std::string& object) const {
  const Lock lock;
  const Handle owner = open_object(object);
  const std::string what = fmt::format("cannot list the attributes of '{}'", object);
  H5O_info_t info{};
  check(H5Oget_info2(owner.id(), &info, H5O_INFO_NUM_ATTRS), path_, what);
  if (info.num_attrs > kMaxAttributes)
    throw UserError(fmt::format("{}: '{}' claims {} attributes", path_, object, info.num_attrs));
  std::vector<std::string> names;
  check(H5Aiterate2(owner.id(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add_name, &names), path_, what);
  std::map<std::string, Attribute> result;
  for (const std::string& name : names)
    if (auto value = decode(open_attribute(owner.id(), path_, object, name))) result.emplace(name, std::move(*value));
  return result;
}

}  // namespace weft::hdf5
