// Writes an archive for read_npz.py: write_npz FILE
#include <vector>

#include "src/data/npz_writer.hpp"
#include "weft/tensor.hpp"

int main(int count, char** values) {
  using namespace weft;
  if (count != 2) return 2;
  PosixFileSystem files;
  std::vector<Tensor> tensors;
  std::vector<NpzArray> arrays;
  for (int t = 0; t < kDTypeCount; ++t) {
    const auto type = static_cast<DType>(t);
    if (type == DType::bf16) continue;
    tensors.push_back(Tensor::from<double>(Shape{2, 3}, {0, 1, 2, 3, 4, 5}).cast(type));
    arrays.push_back({std::string(name_of(type)), type, tensors.back().shape()});
  }
  tensors.push_back(Tensor::scalar(2.5));
  arrays.push_back({"scalar", DType::f64, Shape{}});
  tensors.push_back(Tensor(DType::f32, Shape{0, 4}));
  arrays.push_back({"empty", DType::f32, Shape{0, 4}});
  NpzWriter writer(files, values[1], arrays);
  for (std::size_t i = 0; i < tensors.size(); ++i) writer.append(i, {tensors[i].data(), tensors[i].bytes()});
  writer.finish();
}
