// Random nests of loops over random expressions, within the rules of ir.hpp.
#include "tests/kernels/interpreter/random_kernels.hpp"

#include <algorithm>
#include <limits>
#include <random>

#include "kernels/loops/build.hpp"
#include "tests/kernels/interpreter/scalar.hpp"

namespace weft::loops::testing {
namespace {

constexpr std::int64_t kElements = 1600;       // of an input: more than any index that `element` makes
constexpr std::int64_t kMatrixElements = 600;  // more than any index of a product
constexpr std::int64_t kLongestVector = 70;
constexpr int kInputs = 3;

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed), random_of_products_(seed + 1000), b_(result_.kernel) {}

  RandomKernel run() {
    for (int i = 0; i < kInputs; ++i) inputs_.push_back(argument(any_type(), kElements));
    table_ = argument(DType::i32, kElements);
    for (std::size_t i = 0; i < kElements; ++i)
      store(DType::i32, {0, pick(0, 6)}, result_.arguments.back().data() + i * sizeof(std::int32_t));
    for (int i = 0; i < 2; ++i) outputs_.push_back(argument(any_type(), 0));
    std::swap(random_, random_of_products_);
    matrix_ = argument(chance(50) ? DType::f32 : chance(50) ? DType::bf16 : DType::f16, kMatrixElements);
    products_ = argument(DType::f32, 0);
    std::swap(random_, random_of_products_);
    for (std::int64_t phases = pick(1, 2); phases > 0; --phases) {
      Phase phase;
      phase.index = result_.kernel.add_index();
      phase.extent = pick(1, 4);
      around_ = {{phase.index, phase.extent, LoopKind::serial}};
      phase.body = body(0);
      result_.kernel.phases.push_back(std::move(phase));
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      result_.arguments[static_cast<std::size_t>(outputs_[i])].resize(static_cast<std::size_t>(written_[i]) *
                                                                      size_of(type_of_buffer(outputs_[i])));
    result_.arguments[static_cast<std::size_t>(products_)].resize(static_cast<std::size_t>(products_written_) *
                                                                  sizeof(float));
    return std::move(result_);
  }

 private:
  struct Around {
    std::int32_t index;
    std::int64_t most;  ///< iterations at most
    LoopKind kind;
  };
  struct Named {
    std::int32_t slot;
    bool in_vector;
  };

  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool chance(int percent) { return pick(1, 100) <= percent; }
  template <class T>
  T one_of(const std::vector<T>& values) {
    return values[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(values.size()) - 1))];
  }

  DType any_type() { return static_cast<DType>(pick(0, kDTypeCount - 1)); }
  DType value_type() {
    const DType type = any_type();
    return type == DType::f16 || type == DType::bf16 ? DType::f32 : type;
  }
  DType type_of_buffer(std::int32_t slot) const { return result_.types[static_cast<std::size_t>(slot)]; }

  std::int32_t argument(DType type, std::int64_t elements) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(elements) * size_of(type));
    for (std::size_t i = 0; i < static_cast<std::size_t>(elements); ++i) {
      Scalar x{static_cast<double>(pick(-2000, 2000)) / 16, pick(-300, 300)};
      if (chance(5)) x.real = one_of<double>({0.0, -0.0, 1e5, std::numeric_limits<double>::infinity(), NAN});
      if (chance(10)) x.integer = static_cast<std::int64_t>(random_());
      store(type, is_float(type) ? cast(DType::f64, type, x) : cast(DType::i64, type, x),
            bytes.data() + i * size_of(type));
    }
    result_.arguments.push_back(std::move(bytes));
    result_.types.push_back(type);
    return result_.kernel.add_buffer({type, static_cast<int>(result_.types.size()) - 1, 0});
  }

  bool in_vector() const {
    return std::any_of(around_.begin(), around_.end(), [](const Around& a) { return a.kind == LoopKind::vector; });
  }

  /// An element of an input: indices around times small numbers, sometimes through the table. Not the vector loop's
  /// index where `uniform`.
  ExprId element(bool uniform) {
    ExprId sum = b_.integer(pick(0, 9));
    for (const Around& a : around_) {
      if ((uniform && a.kind == LoopKind::vector) || chance(35)) continue;
      const std::int64_t step = chance(50) ? 1 : pick(2, 8);
      const ExprId at = chance(20) ? b_.sub(b_.integer(a.most - 1), b_.index(a.index)) : b_.index(a.index);
      sum = chance(50) ? b_.add(b_.mul(at, b_.integer(step)), sum) : b_.add(sum, b_.mul(b_.integer(step), at));
    }
    if (chance(10)) sum = b_.binary(Op::rem, sum, b_.integer(pick(2, 60)));
    if (chance(15)) sum = b_.add(b_.cast(b_.load(table_, sum), DType::i64), sum);
    return sum;
  }

  ExprId converted(ExprId x, DType type) { return b_.type(x) == type ? x : b_.cast(x, type); }

  ExprId leaf(DType type) {
    const std::int64_t kind = pick(0, 9);
    if (kind == 0)
      return is_float(type) ? b_.real(static_cast<double>(pick(-40, 40)) / 8, type)
                            : b_.integer(type == DType::boolean ? pick(0, 1) : pick(0, 9), type);
    if (kind == 1) return converted(b_.index(one_of(around_).index), type);
    if (kind <= 4 && !values_.empty()) return converted(b_.local(one_of(values_).slot), type);
    if (kind == 5 && !stored_.empty()) {
      const auto [buffer, index] = one_of(stored_);  // what a statement before this one wrote
      return converted(b_.load(buffer, index), type);
    }
    const std::int32_t input = one_of(inputs_);
    const ExprId loaded = b_.load(input, element(chance(30)));
    if (type == DType::u32 && type_of_buffer(input) == DType::f32) return b_.bitcast(loaded, type);
    return converted(loaded, type);
  }

  ExprId value(DType type, int depth) {
    if (depth <= 0) return leaf(type);
    const auto next = [&](DType t) { return value(t, depth - static_cast<int>(pick(1, 2))); };
    if (!made_.empty() && chance(15)) return converted(one_of(made_), type);
    if (chance(10)) {
      const DType other = value_type();
      return converted(next(other), type);
    }
    if (chance(10)) return b_.select(next(DType::boolean), next(type), next(type));
    if (type == DType::boolean) return boolean(next);
    return is_float(type) ? real(type, next) : integer(type, next);
  }

  template <class Next>
  ExprId boolean(const Next& next) {
    if (chance(20)) return b_.unary(Op::logical_not, next(DType::boolean));
    if (chance(30))
      return b_.binary(one_of<Op>({Op::logical_and, Op::logical_or, Op::logical_xor}), next(DType::boolean),
                       next(DType::boolean));
    const DType of = value_type();
    const Op op = one_of<Op>({Op::equal, Op::not_equal, Op::less, Op::less_equal, Op::greater, Op::greater_equal});
    return b_.binary(op, next(of), next(of));
  }

  template <class Next>
  ExprId real(DType type, const Next& next) {
    if (chance(15)) return b_.fma(next(type), next(type), next(type));
    if (type == DType::f32 && chance(10)) return b_.round_to(next(type), chance(50) ? DType::f16 : DType::bf16);
    if (chance(5)) return b_.unary(one_of<Op>({Op::sin, Op::atan, Op::tanh}), next(type));
    if (chance(25))
      return b_.unary(one_of<Op>({Op::neg, Op::abs, Op::sqrt, Op::floor, Op::ceil, Op::round_even}), next(type));
    return b_.binary(one_of<Op>({Op::add, Op::sub, Op::mul, Op::add, Op::mul, Op::maximum, Op::minimum}), next(type),
                     next(type));
  }

  template <class Next>
  ExprId integer(DType type, const Next& next) {
    if (chance(20)) return b_.unary(one_of<Op>({Op::neg, Op::abs, Op::bit_not}), next(type));
    if (type == DType::i32 && chance(10)) return b_.bitcast(next(DType::u32), type);
    return b_.binary(one_of<Op>({Op::add, Op::sub, Op::mul, Op::div, Op::rem, Op::maximum, Op::minimum, Op::bit_and,
                                 Op::bit_or, Op::bit_xor, Op::shift_left, Op::shift_right}),
                     next(type), next(type));
  }

  ExprId make(DType type) {
    const ExprId e = value(type, static_cast<int>(pick(1, 4)));
    made_.push_back(e);
    return e;
  }

  /// Statements of one body. What it declares is known in it only; so is what reads that.
  std::vector<Stmt> body(int depth) {
    const auto values = values_, variables = variables_;
    const auto made = made_;
    const auto stored = stored_;
    std::vector<Stmt> statements;
    for (std::int64_t count = pick(2, 4); count > 0; --count) statement(depth, statements);
    statements.push_back(store_value());
    values_ = values;
    variables_ = variables;
    made_ = made;
    stored_ = stored;
    return statements;
  }

  void statement(int depth, std::vector<Stmt>& out) {
    maybe_product(out);
    const std::int64_t kind = pick(0, 9);
    if (kind <= 2 && depth < 3) return out.push_back(loop(depth));
    if (kind <= 4 && depth < 3 && !in_vector()) return vector_loop(depth, out);
    if (kind <= 6) return out.push_back(declare_local(chance(40)));
    if (kind == 7) return out.push_back(store_value());
    std::vector<Named> assignable = variables_;
    std::erase_if(assignable, [&](const Named& v) { return v.in_vector != in_vector(); });
    if (assignable.empty()) return out.push_back(declare_local(true));
    const std::int32_t slot = one_of(assignable).slot;
    out.push_back(assign(slot, make(result_.kernel.locals[static_cast<std::size_t>(slot)].dtype)));
  }

  Stmt declare_local(bool variable) {
    const DType type = value_type();
    const ExprId initial = make(type);
    const std::int32_t slot = result_.kernel.add_local({type, variable, 0});
    values_.push_back({slot, in_vector()});
    if (variable) variables_.push_back({slot, in_vector()});
    return declare(slot, initial);
  }

  /// Every iteration of the loops around has an element of its own, and so has every statement.
  Stmt store_value() {
    const auto which = static_cast<std::size_t>(pick(0, 1));
    const std::int32_t buffer = outputs_[which];
    ExprId index = b_.integer(0);
    std::int64_t count = 1;
    for (const Around& a : around_) {
      index = b_.add(b_.mul(index, b_.integer(a.most)), b_.index(a.index));
      count *= a.most;
    }
    index = b_.add(index, b_.integer(written_[which]));
    written_[which] += count;
    const DType type = type_of_buffer(buffer);
    const ExprId x = make(type == DType::f16 || type == DType::bf16 ? DType::f32 : type);
    stored_.emplace_back(buffer, index);
    return loops::store(buffer, index, x);
  }

  /// Products are drawn apart, so that all else is for a seed what it was before there were any.
  void maybe_product(std::vector<Stmt>& out) {
    std::swap(random_, random_of_products_);
    if (!in_vector() && chance(20)) out.push_back(product());
    std::swap(random_, random_of_products_);
  }

  /// Of two parts of one matrix, into elements of its own.
  Stmt product() {
    const std::int64_t rows = pick(1, 9), columns = pick(1, 40), deepest = pick(1, 6);
    Contraction t;
    ExprId start = b_.integer(0);
    std::int64_t count = rows * columns;
    for (const Around& a : around_) {
      start = b_.add(b_.mul(start, b_.integer(a.most)), b_.index(a.index));
      count *= a.most;
    }
    t.c = {products_, b_.add(b_.mul(start, b_.integer(rows * columns)), b_.integer(products_written_)), columns, 1};
    products_written_ += count;
    const auto begin = [&] { return b_.add(b_.integer(pick(0, 50)), b_.index(one_of(around_).index)); };
    t.a = chance(50) ? Tile{matrix_, begin(), 1, pick(1, 20)} : Tile{matrix_, begin(), pick(1, 20), pick(1, 3)};
    t.b = {matrix_, begin(), pick(1, 40), 1};
    t.rows = b_.integer(rows);
    t.depth = b_.integer(deepest);
    if (chance(50))
      t.depth = b_.binary(Op::minimum, b_.cast(b_.load(table_, element(true)), DType::i64), b_.integer(deepest));
    t.columns = columns;
    t.accumulate = chance(50);
    return tile_contract(t);
  }

  Stmt loop(int depth) {
    const bool unrolled = chance(40);
    const std::int64_t most = pick(1, unrolled ? 3 : 5);
    ExprId extent = b_.integer(most);
    std::int64_t reach = most;
    if (!unrolled && chance(40)) {
      extent = b_.cast(b_.load(table_, element(true)), DType::i64);  // 0 to 6
      reach = 6;
    }
    const std::int32_t index = result_.kernel.add_index();
    const LoopKind kind = unrolled ? LoopKind::unroll : LoopKind::serial;
    around_.push_back({index, reach, kind});
    Stmt made = loop_of(kind, index, extent, body(depth + 1));
    around_.pop_back();
    return made;
  }

  /// With, mostly, a local that it accumulates into and the joined lanes of it after.
  void vector_loop(int depth, std::vector<Stmt>& out) {
    const int lanes = one_of<int>({1, 2, 4, 8, 16, 16, 32, 64});
    const bool known = chance(75);
    const std::int64_t most = known ? pick(1, kLongestVector) : 12;
    ExprId extent = b_.integer(most);
    if (!known) extent = b_.mul(b_.cast(b_.load(table_, element(true)), DType::i64), b_.integer(2));
    const bool accumulates = chance(70);
    const DType type = one_of<DType>({DType::i32, DType::f32, DType::i64, DType::u8, DType::f64, DType::i16});
    const Op op = one_of<Op>({Op::add, Op::maximum, Op::minimum});
    const std::int32_t sum = result_.kernel.add_local({type, true, lanes});
    if (accumulates) out.push_back(declare(sum, b_.integer(pick(0, 5), type)));
    const std::int32_t index = result_.kernel.add_index();
    around_.push_back({index, most, LoopKind::vector});
    std::vector<Stmt> inside = body(depth + 1);
    if (accumulates) {
      // Whole numbers: sums of floats are exact in any order.
      const ExprId x = b_.cast(b_.cast(value(value_type(), 2), DType::i8), type);
      inside.push_back(assign(sum, b_.binary(op, b_.local(sum), x)));
    }
    around_.pop_back();
    out.push_back(loop_of(LoopKind::vector, index, extent, std::move(inside), lanes));
    if (!accumulates) return;
    const std::int32_t joined = result_.kernel.add_local({type, false, 0});
    out.push_back(declare(joined, b_.join_lanes(sum, op)));
    values_.push_back({joined, false});
  }

  std::mt19937_64 random_, random_of_products_;
  RandomKernel result_;
  Builder b_;
  std::vector<std::int32_t> inputs_, outputs_;
  std::int32_t table_ = -1, matrix_ = -1, products_ = -1;
  std::int64_t products_written_ = 0;
  std::int64_t written_[2] = {0, 0};
  std::vector<Around> around_;
  std::vector<Named> values_, variables_;
  std::vector<ExprId> made_;  ///< to be used again
  std::vector<std::pair<std::int32_t, ExprId>> stored_;
};

}  // namespace

RandomKernel random_kernel(unsigned seed) { return Generator(seed).run(); }

}  // namespace weft::loops::testing
